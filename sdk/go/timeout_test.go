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
			t.Errorf("%s: found closed early %t, in time %t, output %q", name, early, conn.Disconnecting(), conn.Output())
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
