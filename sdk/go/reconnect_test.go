package wirehost_test

import (
	"testing"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

// reconnecting starts f in the factory's start, without jitter unless f has one.
func reconnecting(t *testing.T, f *wirehost.ReconnectingClientFactory) *sdktest.Server {
	t.Helper()
	if f.Jitter == 0 {
		f.Jitter = -1
	}
	f.Endpoint = "tcp://db:1"
	if f.Build == nil {
		f.Build = func() wirehost.Protocol { return &probe{} }
	}
	started := &starting{start: func(*wirehost.Reactor) error { return nil }}
	var r *wirehost.Reactor
	started.start = func(given *wirehost.Reactor) error { r = given; return f.Start(given) }
	s, err := sdktest.Start(started, sdktest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Start(r); err != wirehost.ErrBusy {
		t.Errorf("a second Start: found %v", err)
	}
	return s
}

// waits fails the attempts and returns the delays in between, in milliseconds.
func waits(s *sdktest.Server, n int) []int {
	var list []int
	for range n {
		out := s.Outgoing()
		if len(out) != 1 {
			return append(list, -len(out))
		}
		out[0].Fail(wirehost.Refused)
		due, ok := s.Due()
		if !ok {
			return append(list, 0)
		}
		list = append(list, int(due/time.Millisecond))
		s.Advance(due)
	}
	return list
}

func TestReconnectDelays(t *testing.T) {
	high, low := func() float64 { return 1 }, func() float64 { return -100 }
	for name, c := range map[string]struct {
		f    wirehost.ReconnectingClientFactory
		want []int
	}{
		"Twisted's": {wirehost.ReconnectingClientFactory{}, []int{2719, 7390, 20086, 54599}},
		"cap": {wirehost.ReconnectingClientFactory{Factor: 2, MaxDelay: 5 * time.Second},
			[]int{2000, 4000, 5000, 5000}},
		"cap of jitter": {wirehost.ReconnectingClientFactory{Factor: 2, MaxDelay: 5 * time.Second, Jitter: 0.5,
			Random: high}, []int{3000, 5000, 5000, 5000}},
		"low jitter": {wirehost.ReconnectingClientFactory{Factor: 2, MaxDelay: 5 * time.Second, Jitter: 0.5,
			Random: low}, []int{0, 0, 0, 0}},
		"initial": {wirehost.ReconnectingClientFactory{InitialDelay: 10 * time.Millisecond, Factor: 1},
			[]int{10, 10, 10}},
		"few retries": {wirehost.ReconnectingClientFactory{Factor: 2, MaxRetries: 2}, []int{2000, 4000, 0}},
	} {
		s := reconnecting(t, &c.f)
		got := waits(s, len(c.want))
		for i := range c.want {
			if len(got) != len(c.want) || got[i] != c.want[i] {
				t.Errorf("%s: found %v ms, wanted %v", name, got, c.want)
				break
			}
		}
	}
}

// Random numbers that are random: the delays of the default jitter differ.
func TestReconnectJitter(t *testing.T) {
	seen := map[int]bool{}
	for range 20 {
		seen[waits(reconnecting(t, &wirehost.ReconnectingClientFactory{Jitter: 0.12}), 1)[0]] = true
	}
	if len(seen) < 10 {
		t.Errorf("found %d different first delays in 20", len(seen))
	}
}

// ResetDelay goes back to the start; a lost connection is made again.
func TestReconnectReset(t *testing.T) {
	f := &wirehost.ReconnectingClientFactory{Factor: 2}
	f.Build = func() wirehost.Protocol { return &probe{made: func(*probe) { f.ResetDelay() }} }
	s := reconnecting(t, f)
	waits(s, 3)
	c := s.Outgoing()[0]
	c.Establish()
	c.Break(wirehost.Lost)
	if due, _ := s.Due(); due != 2*time.Second {
		t.Errorf("found %v, wanted the first delay", due)
	}
}

func TestReconnectStop(t *testing.T) {
	for name, c := range map[string]struct {
		before func(s *sdktest.Server)
		ends   bool // the connection goes on
	}{
		"waiting":    {func(s *sdktest.Server) { s.Outgoing()[0].Fail(wirehost.Refused) }, true},
		"being made": {func(*sdktest.Server) {}, true},
		"made":       {func(s *sdktest.Server) { s.Outgoing()[0].Establish() }, false},
	} {
		f := &wirehost.ReconnectingClientFactory{}
		p := &probe{}
		f.Build = func() wirehost.Protocol { return p }
		s := reconnecting(t, f)
		c.before(s)
		_, err := p.Reactor().CallLater(0, func() { must(t, f.StopTrying()) })
		must(t, err)
		s.Advance(0)
		if s.Timers() != 0 || len(s.Outgoing()) != 0 || p.Connected == c.ends {
			t.Errorf("%s: found %d timers, %d attempts, Connected %t", name, s.Timers(), len(s.Outgoing()), p.Connected)
		}
	}
}

// A nil of Build stops; a refusal by the server does too, and says so.
func TestReconnectGivesUp(t *testing.T) {
	n := 0
	f := &wirehost.ReconnectingClientFactory{Build: func() wirehost.Protocol {
		if n++; n > 1 {
			return nil
		}
		return &probe{}
	}}
	s := reconnecting(t, f)
	waits(s, 1)
	if s.Timers() != 0 || len(s.Outgoing()) != 0 {
		t.Errorf("found %d timers, %d attempts", s.Timers(), len(s.Outgoing()))
	}
	started := &starting{start: func(r *wirehost.Reactor) error {
		return (&wirehost.ReconnectingClientFactory{Endpoint: "x",
			Build: func() wirehost.Protocol { return &probe{} }}).Start(r)
	}}
	if _, err := sdktest.Start(started, sdktest.Options{Deny: true}); err == nil {
		t.Error("denied: found no error")
	}
}

// upstream is a plugin with one outgoing connection, begun in its start.
type upstream struct {
	wirehost.ReconnectingClientFactory
	made []*link
}

func (f *upstream) StartFactory(r *wirehost.Reactor) error {
	f.Endpoint, f.Jitter = "tcp://db:1", -1
	f.Build = func() wirehost.Protocol { return f.add(&link{}) }
	return f.Start(r)
}

func (f *upstream) add(c *link) *link {
	f.made = append(f.made, c)
	return c
}

func (f *upstream) BuildProtocol(*wirehost.Transport) wirehost.Protocol { return nil }

func (f *upstream) BuildClientProtocol(t *wirehost.Transport) wirehost.ClientProtocol {
	f.Adopt(t)
	return f.add(&link{})
}

// link has a state, which is nothing.
type link struct{ probe }

func (c *link) SaveState() ([]byte, bool)              { return []byte("x"), true }
func (c *link) RestoreState(int32, []byte) error       { return nil }
func (c *link) ClientConnectionFailed(wirehost.Reason) {}

// A plugin that connects in its start is reloaded as others are: with one
// connection, the old one where it was there.
func TestReconnectReload(t *testing.T) {
	for name, prepare := range map[string]func(c *sdktest.Conn){
		"made":       (*sdktest.Conn).Establish,
		"being made": func(*sdktest.Conn) {},
		"waiting":    func(c *sdktest.Conn) { c.Fail(wirehost.Refused) },
	} {
		s, err := sdktest.Start(&upstream{}, sdktest.Options{})
		must(t, err)
		old := s.Outgoing()[0]
		prepare(old)
		next := &upstream{}
		must(t, s.Reload(next))
		s.Advance(time.Hour)
		out := s.Outgoing()
		if name == "made" {
			if len(out) != 0 || !next.made[len(next.made)-1].Connected {
				t.Errorf("%s: found %d attempts", name, len(out))
			}
			old.Break(wirehost.Lost)
			s.Advance(3 * time.Second)
			out = s.Outgoing()
		}
		if len(out) != 1 || (name == "being made") != (out[0] == old) {
			t.Errorf("%s: found %d attempts", name, len(out))
		}
	}
}
