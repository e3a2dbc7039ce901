package host

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/meter"
)

// trap makes a guest trap once, with a connection of its own.
func (v *virtual) trap(t *testing.T) {
	t.Helper()
	c := v.dial(t)
	if _, err := io.WriteString(c, "x"); err != nil {
		t.Fatal(err)
	}
	expectEnd(t, c)
}

// TestLinesCost: a line without a byte costs as well, and a callback that does
// nothing but log ends in time. What was cut is told when the second is over, line
// or none.
func TestLinesCost(t *testing.T) {
	for _, guest := range []string{"logs_newlines", "logs_nothing"} {
		t.Run(guest, func(t *testing.T) {
			p := hostile(guest)
			p.Limits.LogBytes = 10_000
			v := serveVirtual(t, configuration(p))
			v.trap(t)
			if line := v.logs.await(t, trapNote, 1); line["cause"] != string(CauseTime) {
				t.Errorf("found %v", line)
			}
			if n := len(v.logs.all("guest")); n == 0 || n > 10_000/lineOverhead {
				t.Errorf("%d empty lines went out in a second, wanted those that take 10,000 bytes", n)
			}
			const cut = "guest log lines were cut: over limits.log_bytes"
			v.plugins["guest"].tellUntold(false)
			if lines := v.logs.all(cut); len(lines) > 0 {
				t.Errorf("told in the same second: %v", lines)
			}
			v.turn(t, time.Second)
			v.plugins["guest"].tellUntold(false)
			line := v.logs.await(t, cut, 1)
			if lines, size := line["lines"].(float64), line["bytes"].(float64); lines < 100 || size < lines*lineOverhead {
				t.Errorf("%v lines of %v bytes were cut", lines, size)
			}
		})
	}
}

// TestTrapsAreTold: each trap is in the log, or the count of those that are not,
// though the plugin's budget is used up and one kind of line has a rate.
func TestTrapsAreTold(t *testing.T) {
	p := hostile("unreachable")
	p.Limits.LogBytes = 1
	v := serveVirtual(t, configuration(p))
	const traps = notesPerSecond + 5
	for range traps {
		v.trap(t)
	}
	if n := len(v.logs.all(trapNote)); n != notesPerSecond {
		t.Errorf("%d traps of a second are logged, wanted %d", n, notesPerSecond)
	}
	v.turn(t, time.Second)
	v.trap(t)
	if line := v.logs.await(t, trapNote, notesPerSecond+1); line["cut before"] != 5.0 {
		t.Errorf("found %v, wanted that 5 were cut", line)
	}
	for range traps {
		v.trap(t)
	}
	v.turn(t, time.Second)
	v.plugins["guest"].tellUntold(false)
	line := v.logs.await(t, "lines of a kind were cut: too many a second", 1)
	if line["kind"] != trapNote || line["lines"] != 6.0 {
		t.Errorf("found %v, wanted 6", line)
	}
}

// TestGrowthsRefused: a guest that asks for memory without end does not flood the
// log with the host's answers.
func TestGrowthsRefused(t *testing.T) {
	v := serveVirtual(t, configuration(hostile("memory_grow_without_end")))
	v.trap(t)
	if line := v.logs.await(t, trapNote, 1); line["cause"] != string(CauseTime) {
		t.Errorf("found %v", line)
	}
	if n := len(v.logs.all(growthNote)); n != notesPerSecond {
		t.Errorf("%d refusals are logged, wanted %d", n, notesPerSecond)
	}
	if n := v.plugins["guest"].growthsRefused.Load(); n < 100 {
		t.Errorf("%d growths were refused", n)
	}
}

// TestNoteAtTheEnd: what was cut last is told when the host ends.
func TestNoteAtTheEnd(t *testing.T) {
	v := serveVirtual(t, configuration(config.Plugin{Module: "testdata/echo.wasm"}))
	for range notesPerSecond + 1 {
		v.plugins["guest"].note(hclog.Warn, moveNote)
	}
	if err := v.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if line := v.logs.await(t, "lines of a kind were cut: too many a second", 1); line["kind"] != moveNote || line["lines"] != 1.0 {
		t.Errorf("found %v", line)
	}
}

// TestLogged: no text takes more of a line than it is said to.
func TestLogged(t *testing.T) {
	for _, text := range []string{
		"", "a", "a b", strings.Repeat("\n", 50), strings.Repeat("a\n", 50), strings.Repeat("\n ", 50) + "x", `"\"\`, "<&>",
		"\t\t", "é€😀", "\ufffd\ufffd", "\u00ad\ue000\U0010ffff\u200b", "\u2028",
	} {
		text = clean([]byte(text))
		for _, asJSON := range []bool{false, true} {
			length := func(text string) int {
				var b bytes.Buffer
				hclog.New(&hclog.LoggerOptions{Output: &b, JSONFormat: asJSON, Level: hclog.Trace}).With("plugin", "guest").
					Warn("guest", "version", "guest@12345678", "prefix", "prefix", "stream", "stdout", "bytes", 5000, "text", text)
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
	p := unserved(t, config.Plugin{Module: "testdata/echo.wasm"}, func(h *Host) {
		h.log = hclog.New(&hclog.LoggerOptions{Output: &b, DisableTime: true})
	})
	i, err := p.slots[0].instance()
	if err != nil {
		t.Fatal(err)
	}
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
	p.budget.setRate(1)
	p.budget.left = 0
	i.stdout.write(i, []byte("h\ni\nj\nk"))
	if got := text(); got != "" || p.budget.cut.lines != 3 {
		t.Errorf("found %q, and %d lines cut, wanted 3", got, p.budget.cut.lines)
	}
	p.budget.setRate(0)
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
	err := &TrapError{Plugin: "p", Version: "v", Export: "dataReceived", Cause: causeOf(long), Err: cutError(fmt.Errorf("start: %w", long))}
	if err.Cause != CauseTime || !errors.Is(err, meter.ErrTime) {
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

// TestRefusalsAreCounted: of the connections that a guest refuses one a second is
// told, and the number of the others.
func TestRefusalsAreCounted(t *testing.T) {
	v := serveVirtual(t, configuration(hostile("refuses_connections")))
	for range 5 {
		expectEnd(t, v.dial(t))
	}
	if n := len(v.logs.all("connection refused")); n != 1 {
		t.Errorf("%d of 5 refusals are logged, wanted 1", n)
	}
	v.turn(t, time.Second)
	expectEnd(t, v.dial(t))
	if line := v.logs.await(t, "connection refused", 2); line["more before"] != 4.0 {
		t.Errorf("found %v, wanted 4 before", line)
	}
}

// TestReasons: why connections were kept is told by so many reasons, whatever
// numbers a guest makes of them.
func TestReasons(t *testing.T) {
	var o Outcome
	for n := range 100 {
		o.keep(1, (&refusal{int32(n)}).Error())
	}
	if len(o.Kept) != maxReasons+1 || o.Kept["other reasons"] != 100-maxReasons {
		t.Errorf("found %v", o.Kept)
	}
}
