package guest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/internal/meter"
)

// TestLogged: no text takes more of a line than it is said to.
func TestLogged(t *testing.T) {
	for _, text := range []string{
		"", "a", "a b", strings.Repeat("\n", 50), strings.Repeat("a\n", 50), strings.Repeat("\n ", 50) + "x", `"\"\`,
		"<&>",
		"\t\t", "é€😀", "\ufffd\ufffd", "\u00ad\ue000\U0010ffff\u200b", "\u2028",
	} {
		text = Clean(text)
		for _, asJSON := range []bool{false, true} {
			length := func(text string) int {
				var b bytes.Buffer
				hclog.New(&hclog.LoggerOptions{Output: &b, JSONFormat: asJSON, Level: hclog.Trace}).
					With("plugin", "guest").
					Warn("guest", "version", "guest@12345678", "prefix", "prefix", "stream", "stdout", "bytes", 5000,
						"text", text)
				return b.Len()
			}
			plain := length("x") - 1
			if names := len("guest" + "guest@12345678" + "prefix"); plain > lineOverhead+names {
				t.Errorf("a line without text takes %d bytes, wanted at most %d", plain, lineOverhead+names)
			}
			if got, want := length(text)-plain, logged(text)+16; got > want { // a field in lines of its own
				t.Errorf("%q takes %d bytes, said to be %d", text, got, want)
			}
		}
	}
}

// TestStdoutInPieces: a line is what stands between two newlines, also across writes
// of which some were cut.
func TestStdoutInPieces(t *testing.T) {
	var b bytes.Buffer
	s := standing(t, "echo", func(s *Settings) {
		s.Account = NewAccount("guest", hclog.New(&hclog.LoggerOptions{Output: &b, DisableTime: true}), 64<<10,
			s.Clocks.Now)
	})
	i, budget := s.instance(t), &s.account.budget
	i.guard.Arm(time.Minute)
	text := func() string {
		var list []string
		for _, line := range strings.Split(b.String(), "\n") {
			if _, field, ok := strings.Cut(line, " text="); ok {
				list = append(list, field)
			}
		}
		b.Reset()
		return strings.Join(list, " ")
	}
	for _, c := range []struct{ write, want string }{
		{"a\nb\r\nc", "a b"}, {"d", ""}, {"e\n", "cde"}, {"\n", `""`}, {"f\n\ng", `f ""`},
	} {
		i.stdout.write(i, []byte(c.write))
		if got := text(); got != c.want {
			t.Errorf("%q: found %s, wanted %s", c.write, got, c.want)
		}
	}
	budget.setRate(1)
	budget.left = 0
	i.stdout.write(i, []byte("h\ni\nj\nk"))
	if got := text(); got != "" || budget.cut.lines != 3 {
		t.Errorf("found %q, and %d lines cut, wanted 3", got, budget.cut.lines)
	}
	budget.setRate(0)
	i.stdout.write(i, []byte("l\n"))
	if got := text(); got != "kl" {
		t.Errorf("found %s, wanted what no newline ended before", got)
	}
}

// TestTrapText: of a trap's text so much is kept as can be read, and its cause.
func TestTrapText(t *testing.T) {
	frame := strings.Repeat("name", 5000) + "(i32)"
	stack := strings.Repeat(frame+"\n\t", 50)
	long := fmt.Errorf("%w of 1s (recovered by wazero)\n%s%s", meter.ErrTime, stackHeading, stack)
	err := &TrapError{Plugin: "p", Version: "v", Export: "dataReceived", Cause: causeOf(long),
		Err: cutError(fmt.Errorf("start: %w", long))}
	if err.Cause != causeTime || !errors.Is(err, meter.ErrTime) {
		t.Errorf("the cause is lost: %v", err)
	}
	lines := strings.Split(err.Stack(), "\n")
	if len(lines) != maxFrames {
		t.Errorf("%d frames are kept, wanted %d", len(lines), maxFrames)
	}
	for _, line := range lines {
		if !strings.HasPrefix(line, "namename") || len(line) > maxFrame+len("…") {
			t.Fatalf("a frame of %d bytes: %.20q", len(line), line)
		}
	}
	if text := err.Error(); !strings.HasSuffix(text, "time: start: meter: callback over its time limit of 1s") {
		t.Errorf("found %q", text)
	}
	for e := error(err.Err); e != nil; e = errors.Unwrap(e) {
		if len(e.Error()) > maxTrapLine+maxFrames*(maxFrame+8)+100 {
			t.Errorf("%d bytes are kept: %.40q", len(e.Error()), e)
		}
	}
	short := errors.New("short")
	if cutError(short) != short {
		t.Error("a short error is another")
	}
}
