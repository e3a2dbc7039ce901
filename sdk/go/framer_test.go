package wirehost_test

import (
	"bytes"
	"strings"
	"testing"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

// The protocols of these tests write what they were told, so that a transcript
// of the callbacks is the connection's output.

// note writes one callback's line of the transcript.
func note(b *wirehost.Base, kind string, data []byte) {
	_, _ = b.Transport.WriteString(kind + "<" + string(data) + ">")
}

// starter makes servers for the protocols of make.
func starter(build func() wirehost.Protocol) func() (*sdktest.Server, error) {
	return func() (*sdktest.Server, error) { return sdktest.Start(factoryOf(build), sdktest.Options{}) }
}

func factoryOf(build func() wirehost.Protocol) wirehost.Factory {
	return wirehost.FactoryFunc(func(*wirehost.Transport) wirehost.Protocol { return build() })
}

type lineProto struct {
	wirehost.LineReceiver
	held int
}

func (p *lineProto) LineReceived(line []byte) {
	note(&p.Base, "line", line)
	switch string(line) {
	case "close":
		_ = p.Transport.LoseConnection()
	case "abort":
		_ = p.Transport.AbortConnection()
	case "raw":
		p.held = 5
		p.SetRawMode()
	case "comma":
		p.Delimiter = []byte(",")
	}
}

// RawDataReceived takes five bytes, noted as one.
func (p *lineProto) RawDataReceived(data []byte) {
	n := min(p.held, len(data))
	p.held -= n
	_, _ = p.Transport.Write(data[:n])
	if p.held == 0 {
		p.SetLineMode(data[n:])
	}
}

// tolerant goes on after a line that was too long.
type tolerant struct{ lineProto }

func (p *tolerant) LineLengthExceeded(held []byte) { note(&p.Base, "long", held) }

type lineOnlyProto struct{ wirehost.LineOnlyReceiver }

func (p *lineOnlyProto) LineReceived(line []byte) {
	note(&p.Base, "line", line)
	if string(line) == "close" {
		_ = p.Transport.LoseConnection()
	}
}

func newLines(delimiter string, most int) func() wirehost.Protocol {
	return func() wirehost.Protocol {
		p := &lineProto{}
		p.Delimiter, p.MaxLength = []byte(delimiter), most
		return p
	}
}

func newTolerant(delimiter string, most int) func() wirehost.Protocol {
	return func() wirehost.Protocol {
		p := &tolerant{}
		p.Delimiter, p.MaxLength = []byte(delimiter), most
		return p
	}
}

func newLinesOnly(delimiter string, most int) func() wirehost.Protocol {
	return func() wirehost.Protocol {
		p := &lineOnlyProto{}
		p.Delimiter, p.MaxLength = []byte(delimiter), most
		return p
	}
}

func TestLineReceiver(t *testing.T) {
	x := strings.Repeat
	for _, c := range []struct {
		name   string
		build  func() wirehost.Protocol
		input  string
		want   string
		closes bool
	}{
		{"lines", newLines("", 0), "a\r\nbc\r\n", "line<a>line<bc>", false},
		{"empty line", newLines("", 0), "\r\n\r\na\r\n", "line<>line<>line<a>", false},
		{"partial line at the end", newLines("", 0), "a\r\nb", "line<a>", false},
		{"bare LF and bare CR are data", newLines("", 0), "a\nb\rc\r\r\n", "line<a\nb\rc\r>", false},
		{"default length", newLines("", 0), x("x", 16384) + "\r\n", "line<" + x("x", 16384) + ">", false},
		{"one over the default", newLines("", 0), "a\r\n" + x("x", 16385) + "\r\n", "line<a>", true},
		{"longest", newLines("", 3), "abc\r\nd\r\n", "line<abc>line<d>", false},
		{"one too long", newLines("", 3), "a\r\nabcd\r\nd\r\n", "line<a>", true},
		{"held: as many as may be", newLines("", 3), "a\r\nabcd", "line<a>", false},
		{"held: one more", newLines("", 3), "a\r\nabcde", "line<a>", true},
		{"held: CR in the last place", newLines("", 3), "abcd\r", "", true},
		{"held: delimiter cut", newLines("", 3), "abc\r", "", false},
		{"long delimiter", newLines("----", 3), "a---b----", "", true},
		{"long delimiter, found", newLines("----", 4), "a--b----c----", "line<a--b>line<c>", false},
		{"delimiter within itself", newLines("aab", 9), "aaab-aab", "line<a>line<->", false},
		{"another delimiter from a line on", newLines("", 0), "comma\r\na\r\n,b,", "line<comma>line<a\r\n>line<b>",
			false},
		{"nothing after loseConnection", newLines("", 0), "a\r\nclose\r\nb\r\n", "line<a>line<close>", true},
		{"nothing after abortConnection", newLines("", 0), "abort\r\nb\r\n", "", true},
		{"raw", newLines("", 0), "raw\r\n1\r\n45a\r\n", "line<raw>1\r\n45line<a>", false},
		{"raw twice", newLines("", 3), "raw\r\n12345raw\r\n67890a\r\n", "line<raw>12345line<raw>67890line<a>", false},
		{"overridden", newTolerant("", 3), "a\r\nabcdefg\r\nb\r\n", "line<a>long<abcde>line<fg>line<b>", false},
		{"overridden, one over", newTolerant("", 3), "abcd\r\nb\r\n", "long<abcd\r>line<\nb>", false},
		{"line only", newLinesOnly("", 3), "abc\r\n\r\nraw\r\nclose\r\n", "line<abc>line<>line<raw>", true},
		{"line only: delimiter cut at the limit", newLinesOnly("", 3), "abc\r\nab", "line<abc>", false},
		{"line only: too long", newLinesOnly("", 3), "abc\r\nabcdef", "line<abc>", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := sdktest.ChunkLaw(t, starter(c.build), []byte(c.input))
			// An aborted connection's output is dropped.
			if r.Output != c.want || r.Disconnecting != c.closes {
				t.Errorf("found %s\nwanted %.200q, closes %t", r, c.want, c.closes)
			}
		})
	}
}

// lineModel is what a line receiver does, byte by byte and as plainly as can be.
func lineModel(input, delimiter string, most int, goOn bool) (transcript string, closes bool) {
	var held, out strings.Builder
	for i := range len(input) {
		held.WriteByte(input[i])
		line, found := strings.CutSuffix(held.String(), delimiter)
		switch {
		case found && len(line) <= most:
			out.WriteString("line<" + line + ">")
			if line == "close" {
				return out.String(), true
			}
		case held.Len() >= most+len(delimiter) && goOn:
			out.WriteString("long<" + held.String() + ">")
		case held.Len() >= most+len(delimiter):
			return out.String(), true
		default:
			continue
		}
		held.Reset()
	}
	return out.String(), false
}

func FuzzLineReceiver(f *testing.F) {
	f.Add([]byte("a\r\nbc\r\n\r\nclose\r\nd"), uint8(2), uint8(3), uint8(1))
	f.Add([]byte("aaaaaaaaaaaa"), uint8(7), uint8(1), uint8(0))
	f.Add([]byte("a\raa\r\n\r\r\n\raaaa"), uint8(0), uint8(2), uint8(2))
	f.Fuzz(func(t *testing.T, input []byte, cut, most, kind uint8) {
		delimiter := []string{"\r\n", "\n", "aa", "aab"}[kind>>2&3]
		longest := int(most)%16 + 1
		if bytes.Contains(input, []byte("raw")) || bytes.Contains(input, []byte("comma")) ||
			bytes.Contains(input, []byte("abort")) {
			t.Skip("changes the mode")
		}
		build := []func(string, int) func() wirehost.Protocol{newLines, newTolerant, newLinesOnly}[kind%3]
		want, closes := lineModel(string(input), delimiter, longest, kind%3 == 1)
		for _, pieces := range cuts(input, int(cut)) {
			r := sdktest.Feed(t, starter(build(delimiter, longest)), pieces...)
			if r.Output != want || r.Disconnecting != closes {
				t.Fatalf("%q: found %s\nwanted %q, closes %t", pieces, r, want, closes)
			}
		}
	})
}

// cuts are ways to cut an input: whole, in two, byte by byte.
func cuts(input []byte, at int) [][][]byte {
	at = min(at, len(input))
	single := make([][]byte, len(input))
	for i := range input {
		single[i] = input[i : i+1]
	}
	return [][][]byte{{input}, {input[:at], input[at:]}, single}
}
