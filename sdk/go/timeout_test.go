package wirehost_test

import (
	"testing"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

// patient has a time-out that each x begins anew, and an own or the mixin's end.
type patient struct {
	wirehost.LineReceiver
	wirehost.TimeoutMixin
}

func (p *patient) ConnectionMade() { _ = p.SetTimeout(10 * time.Second) }

func (p *patient) LineReceived(line []byte) {
	switch string(line) {
	case "reset":
		_ = p.ResetTimeout()
	case "longer":
		_ = p.SetTimeout(time.Minute)
	case "off":
		_ = p.SetTimeout(0)
	}
}

// rude says so first.
type rude struct{ patient }

func (p *rude) TimeoutConnection() {
	_ = p.SendLine([]byte("too slow"))
	p.TimeoutMixin.TimeoutConnection()
}

func TestTimeoutMixin(t *testing.T) {
	for name, c := range map[string]struct {
		line   string
		p      wirehost.Protocol
		ends   time.Duration // 0 never; counted from the line, at 9 s
		output string
	}{
		"none":       {"", &patient{}, time.Second, ""},
		"reset":      {"reset", &patient{}, 10 * time.Second, ""},
		"longer":     {"longer", &patient{}, time.Minute, ""},
		"off":        {"off", &patient{}, 0, ""},
		"overridden": {"reset", &rude{}, 10 * time.Second, "too slow\r\n"},
	} {
		s, conn := open(t, c.p, sdktest.Options{})
		s.Advance(9 * time.Second)
		conn.Send(c.line + "\r\n")
		if c.ends == 0 {
			s.Advance(time.Hour)
			if conn.Disconnecting() {
				t.Errorf("%s: found it closed", name)
			}
			continue
		}
		s.Advance(c.ends - time.Millisecond)
		early := conn.Disconnecting()
		s.Advance(time.Millisecond)
		if early || !conn.Disconnecting() || conn.Output() != c.output {
			t.Errorf("%s: found closed early %t, in time %t, output %q", name, early, conn.Disconnecting(),
				conn.Output())
		}
	}
}

// The time-out ends with the connection.
func TestTimeoutMixinEnds(t *testing.T) {
	s, c := open(t, &patient{}, sdktest.Options{})
	c.Break(wirehost.Lost)
	if s.Timers() != 0 || len(s.Lines) != 0 {
		t.Errorf("found %d timers left, log %v", s.Timers(), s.Lines)
	}
}

// lasting takes its time-out along.
type lasting struct{ patient }

func (p *lasting) SaveState() ([]byte, bool) { return p.AppendTimeout(p.AppendState(nil)), true }

func (p *lasting) RestoreState(_ int32, b []byte) error {
	rest, err := p.LoadState(b)
	if err == nil {
		_, err = p.LoadTimeout(rest)
	}
	return err
}

// A reload does not end the time-out, nor begin it anew.
func TestTimeoutMixinMoves(t *testing.T) {
	for line, ends := range map[string]time.Duration{"": time.Second, "reset": 10 * time.Second, "off": 0} {
		f := factoryOf(func() wirehost.Protocol { return &lasting{} })
		s, err := sdktest.Start(f, sdktest.Options{})
		must(t, err)
		c := s.Accept()
		s.Advance(5 * time.Second)
		if line == "off" {
			c.Send("off\r\n")
		}
		must(t, s.Reload(f))
		s.Advance(4 * time.Second)
		if line == "reset" {
			c.Send("reset\r\n")
		}
		if ends == 0 {
			s.Advance(time.Hour)
		} else {
			s.Advance(ends - time.Millisecond)
		}
		early := c.Disconnecting()
		s.Advance(time.Millisecond)
		if early || c.Disconnecting() != (line != "off") || s.Timers() != 0 || len(s.Lines) != 0 {
			t.Errorf("%q: found closed early %t, in time %t, %d timers, log %v", line, early, c.Disconnecting(),
				s.Timers(), s.Lines)
		}
	}
	var p lasting
	for _, b := range [][]byte{nil, {1}, {0x80}, {0xff, 0xff, 0xff, 0xff, 0xff, 1, 0}} {
		if _, err := p.LoadTimeout(b); err == nil {
			t.Errorf("%x: found it taken", b)
		}
	}
}
