package wirehost_test

import (
	"strings"
	"testing"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

// pausing stops at each line "pause" for a second, and may be reloaded in that
// time.
type pausing struct {
	wirehost.LineReceiver
	call *wirehost.DelayedCall
}

func (p *pausing) LineReceived(line []byte) {
	note(&p.Base, "line", line)
	switch string(line) {
	case "pause":
		_ = p.PauseProducing()
		p.call, _ = p.Reactor().CallLater(time.Second, p.resume)
	case "blink": // resumes from inside of its own line
		_ = p.PauseProducing()
		_ = p.ResumeProducing()
		note(&p.Base, "blinked", nil) // before the next line
	case "clear":
		note(&p.Base, "cleared", p.ClearLineBuffer())
	}
}

func (p *pausing) resume() { _ = p.ResumeProducing() }

func (p *pausing) SaveState() ([]byte, bool) {
	handle := byte(0)
	if p.call != nil && p.call.Active() {
		handle = byte(p.call.Handle())
	}
	return append(p.AppendState(nil), handle), true
}

func (p *pausing) RestoreState(_ int32, state []byte) error {
	rest, err := p.LoadState(state)
	if err == nil && rest[0] != 0 {
		p.call = p.Reactor().RestoreCall(int32(rest[0]), p.resume)
	}
	return err
}

func newPausing() wirehost.Protocol { return new(pausing) }

func TestPauseInMidBuffer(t *testing.T) {
	const input = "a\r\npause\r\nb\r\nblink\r\nc\r\npause\r\npause\r\nd\r\ne"
	reload := func(s *sdktest.Server) {
		if err := s.Reload(factoryOf(newPausing)); err != nil {
			t.Fatal(err)
		}
	}
	for _, between := range []func(*sdktest.Server){func(*sdktest.Server) {}, reload} {
		s, err := starter(newPausing)()
		if err != nil {
			t.Fatal(err)
		}
		c := s.Accept()
		c.Send(input)
		for _, want := range []string{
			"line<a>line<pause>", "line<b>line<blink>blinked<>line<c>line<pause>", "line<pause>", "line<d>", "",
		} {
			between(s)
			if got := c.Take(); got != want {
				t.Fatalf("found %q, wanted %q", got, want)
			}
			if want != "line<d>" && want != "" && c.State()&wirehost.StatePaused == 0 {
				t.Fatalf("after %q: reading is not paused", want)
			}
			s.Advance(time.Second)
		}
		c.Send("\r\n")
		if got := c.Take(); got != "line<e>" {
			t.Errorf("found %q, wanted the line whose half came before the pauses", got)
		}
	}
}

// What comes while paused waits; closing drops it.
func TestPauseAndClose(t *testing.T) {
	s, err := starter(newPausing)()
	if err != nil {
		t.Fatal(err)
	}
	c := s.Accept()
	c.Send("pause\r\na\r\n")
	c.Send("b\r\n")
	if got := c.Take(); got != "line<pause>" {
		t.Errorf("found %q while paused", got)
	}
	c.Break(wirehost.Lost)
	s.Advance(time.Second)
	if got := c.Take(); got != "" {
		t.Errorf("found %q after the connection was lost", got)
	}
}

// After LoseConnection no framer delivers anything, whatever it has.
func TestNothingAfterClose(t *testing.T) {
	var told []string
	tell := func(b *wirehost.Base, data []byte) {
		told = append(told, string(data))
		if string(data) == "end" {
			_ = b.Transport.LoseConnection()
		}
	}
	for input, p := range map[string]wirehost.Protocol{
		"a\r\nend\r\nb\r\n":          &tellLines{tell: tell},
		"1:a,3:end,1:b,":             &tellNetstrings{tell: tell},
		"\x01a\x03end\x01b":          &tellInts{tell: tell},
		"a  enda  ":                  &tellStates{tell: tell},
		"a\r\nend\r\nb\r\nmore\r\nx": &tellLines{tell: tell},
	} {
		told = nil
		sdktest.Feed(t, starter(func() wirehost.Protocol { return p }), []byte(input))
		if len(told) != 2 || strings.TrimSpace(told[0]) != "a" || told[1] != "end" {
			t.Errorf("%T: found %q", p, told)
		}
	}
}

type teller func(b *wirehost.Base, data []byte)

type tellLines struct {
	wirehost.LineReceiver
	tell teller
}
type tellNetstrings struct {
	wirehost.NetstringReceiver
	tell teller
}
type tellInts struct {
	wirehost.Int8StringReceiver
	tell teller
}
type tellStates struct {
	wirehost.StatefulProtocol
	tell teller
}

func (p *tellLines) LineReceived(line []byte)     { p.tell(&p.Base, line) }
func (p *tellNetstrings) StringReceived(s []byte) { p.tell(&p.Base, s) }
func (p *tellInts) StringReceived(s []byte)       { p.tell(&p.Base, s) }
func (p *tellStates) InitialState() (wirehost.StateFunc, int) {
	return func(data []byte) (wirehost.StateFunc, int) { p.tell(&p.Base, data); return nil, 0 }, 3
}

func TestClearLineBuffer(t *testing.T) {
	for input, want := range map[string]string{
		"clear\r\na\r\nb":      "line<clear>cleared<a\r\nb>",
		"a\r\nclear\r\n":       "line<a>line<clear>cleared<>",
		"pause\r\nclear\r\nhi": "line<pause>",
	} {
		if r := sdktest.Feed(t, starter(newPausing), []byte(input)); r.Output != want {
			t.Errorf("%q: found %q, wanted %q", input, r.Output, want)
		}
	}
}

// A long line that comes byte by byte costs each byte once: the test fails by
// taking minutes if the whole line is searched or copied for each.
func TestLongLineByteByByte(t *testing.T) {
	const size = 4 << 20
	p := &lineProto{}
	p.MaxLength = size
	s, err := starter(func() wirehost.Protocol { return p })()
	if err != nil {
		t.Fatal(err)
	}
	c := s.Accept()
	piece := []byte("\r")
	for range size {
		p.DataReceived(piece)
	}
	c.Send("\r\n")
	if got := len(c.Output()); got != size+len("line<>") {
		t.Errorf("found %d bytes, wanted %d", got, size+len("line<>"))
	}
}

// bare embeds a framer and forgot its callback.
type bareLines struct{ wirehost.LineReceiver }
type bareStrings struct{ wirehost.Int16StringReceiver }
type bareStates struct{ wirehost.StatefulProtocol }

func TestForgottenCallback(t *testing.T) {
	for want, p := range map[string]wirehost.Protocol{
		"no LineReceived(line []byte)":           &bareLines{},
		"no StringReceived(s []byte)":            &bareStrings{},
		"no InitialState() (StateFunc, int)":     &bareStates{},
		"SetRawMode: *wirehost_test.lineOfRaw":   &lineOfRaw{},
		"a state that wants nothing stays for e": &stuck{},
	} {
		func() {
			defer func() {
				if got, _ := recover().(string); !strings.Contains(got, want) {
					t.Errorf("found panic %q, wanted %q", got, want)
				}
			}()
			sdktest.Feed(t, starter(func() wirehost.Protocol { return p }), []byte("raw\r\n"))
		}()
	}
}

// lineOfRaw has no RawDataReceived.
type lineOfRaw struct{ wirehost.LineReceiver }

func (p *lineOfRaw) LineReceived([]byte) { p.SetRawMode() }

// stuck would loop for ever.
type stuck struct{ wirehost.StatefulProtocol }

func (p *stuck) InitialState() (wirehost.StateFunc, int) {
	return func([]byte) (wirehost.StateFunc, int) { return nil, 0 }, 0
}
