package wirehost_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

func TestCallLater(t *testing.T) {
	var log []string
	var moved, gone *wirehost.DelayedCall
	s, c := open(t, &probe{made: func(p *probe) {
		r := p.Reactor()
		later := func(name string, d time.Duration) *wirehost.DelayedCall {
			call, err := r.CallLater(d, func() { log = append(log, fmt.Sprintf("%s at %g", name, r.Seconds())) })
			must(t, err)
			return call
		}
		later("soon", 0)
		moved = later("moved", time.Second)
		gone = later("gone", time.Second)
		later("rounded up", 1999*time.Millisecond+1)
		must(t, moved.Reset(3*time.Second))
		must(t, gone.Cancel())
		for _, d := range []time.Duration{-time.Second, 25 * 24 * time.Hour} {
			if call, err := r.CallLater(d, func() {}); call != nil || err != wirehost.ErrInvalid {
				t.Errorf("CallLater(%v): found %v, %v", d, call, err)
			}
			if err := moved.Reset(d); err != wirehost.ErrInvalid {
				t.Errorf("Reset(%v): found %v", d, err)
			}
		}
		if !moved.Active() || gone.Active() {
			t.Error("Active: found the contrary")
		}
	}}, sdktest.Options{})
	s.Advance(0)
	c.Break(wirehost.Lost) // a call may outlive its connection
	s.Advance(10 * time.Second)
	if got, want := strings.Join(log, ", "), "soon at 0, rounded up at 2, moved at 3"; got != want {
		t.Errorf("found %q, wanted %q", got, want)
	}
	for _, call := range []*wirehost.DelayedCall{moved, gone} {
		if err := errors.Join(call.Cancel(), call.Reset(time.Second)); !errors.Is(err, wirehost.ErrNoTimer) ||
			call.Active() {
			t.Errorf("after the call: found %v, active %t", err, call.Active())
		}
	}
	if s.Timers() != 0 {
		t.Errorf("found %d timers left", s.Timers())
	}
}

// client is the protocol of an outgoing connection.
type client struct {
	probe
	failed []wirehost.Reason
}

func (p *client) ClientConnectionFailed(reason wirehost.Reason) {
	p.failed = append(p.failed, reason)
	if _, err := p.Transport.Write([]byte("x")); err != nil {
		p.failed = append(p.failed, -1)
	}
}

// connect lets a protocol connect from a timer's callback.
func connect(t *testing.T, o sdktest.Options, timeout time.Duration, p *client) (*sdktest.Server, *wirehost.Transport,
	error) {
	t.Helper()
	accepted := &probe{}
	s, _ := open(t, accepted, o)
	var tr *wirehost.Transport
	var err error
	_, lerr := accepted.Reactor().CallLater(0,
		func() { tr, err = accepted.Reactor().Connect("tcp://db:1", timeout, p) })
	must(t, lerr)
	s.Advance(0)
	return s, tr, err
}

func TestConnect(t *testing.T) {
	p := &client{probe: probe{made: func(p *probe) { _, _ = p.Transport.WriteString("hello") }}}
	s, tr, err := connect(t, sdktest.Options{}, 0, p)
	must(t, err)
	c := s.Outgoing()[0]
	if _, err := tr.State(); err != wirehost.ErrNoConnection || p.Connected || c.Endpoint != "tcp://db:1" {
		t.Errorf("before it is made: found state error %v, Connected %t, endpoint %q", err, p.Connected, c.Endpoint)
	}
	c.Establish()
	state, err := tr.State()
	if err != nil || state != wirehost.StateOutgoing || !p.Connected || c.Take() != "hello" || len(s.Outgoing()) != 0 {
		t.Errorf("made: found state %b, %v, Connected %t", state, err, p.Connected)
	}
	c.Break(wirehost.Lost)
	if len(p.failed) != 0 {
		t.Errorf("found ClientConnectionFailed %v after the connection was made", p.failed)
	}
}

func TestConnectFails(t *testing.T) {
	for name, c := range map[string]struct {
		fail func(*sdktest.Server, *wirehost.Transport)
		want wirehost.Reason
	}{
		"refused": {func(s *sdktest.Server, _ *wirehost.Transport) { s.Outgoing()[0].Fail(wirehost.Refused) },
			wirehost.Refused},
		"time-out": {func(s *sdktest.Server, _ *wirehost.Transport) { s.Advance(2 * time.Second) }, wirehost.Timeout},
		"cancelled": {func(s *sdktest.Server, t *wirehost.Transport) {
			_, _ = t.Reactor().CallLater(0, func() { _ = t.LoseConnection() })
			s.Advance(0)
		}, wirehost.Aborted},
		"aborted": {func(s *sdktest.Server, t *wirehost.Transport) {
			_, _ = t.Reactor().CallLater(0, func() { _ = t.AbortConnection() })
			s.Advance(0)
		}, wirehost.Aborted},
	} {
		p := &client{}
		s, tr, err := connect(t, sdktest.Options{}, 2*time.Second, p)
		must(t, err)
		c.fail(s, tr)
		if len(p.failed) != 1 || p.failed[0] != c.want || len(s.Outgoing()) != 0 {
			t.Errorf("%s: found %v", name, p.failed)
		}
		if err := tr.AbortConnection(); err != wirehost.ErrNoConnection {
			t.Errorf("%s: afterwards: found %v", name, err)
		}
	}
	p := &client{}
	if _, tr, err := connect(t, sdktest.Options{Deny: true}, 0, p); err != wirehost.ErrNotAllowed || tr != nil ||
		len(p.failed) != 0 {
		t.Errorf("denied: found %v", err)
	}
}

func TestConfig(t *testing.T) {
	type section struct {
		Name string
		Size int
	}
	long := strings.Repeat("n", 3000) // more than the first try's buffer
	for _, c := range []struct {
		json string
		want section
		err  string
	}{
		{"{}", section{"default", 7}, ""},
		{"null", section{"default", 7}, ""},
		{`{"name": "x"}`, section{"x", 7}, ""},
		{`{"name": "` + long + `", "size": 1}`, section{long, 1}, ""},
		{`{"nmae": "x"}`, section{"default", 7}, `config: json: unknown field "nmae"`},
		{`{"size": "x"}`, section{"default", 7}, "config: json: cannot unmarshal"},
		{`[1]`, section{"default", 7}, "config: json: cannot unmarshal"},
	} {
		got := section{"default", 7}
		f := &starting{start: func(r *wirehost.Reactor) error { return r.Config(&got) }}
		_, err := sdktest.Start(f, sdktest.Options{Config: c.json})
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%.40s: found %.40v, %v; wanted %.40v, %s", c.json, got, err, c.want, c.err)
		}
	}
}

// starting is a factory with all that a factory may have.
type starting struct {
	start   func(r *wirehost.Reactor) error
	stopped bool
	refuse  bool
}

func (f *starting) StartFactory(r *wirehost.Reactor) error { return f.start(r) }
func (f *starting) StopFactory()                           { f.stopped = true }
func (f *starting) LogPrefix() string                      { return "starting" }
func (f *starting) StateVersion() int32                    { return 42 }

func (f *starting) BuildProtocol(*wirehost.Transport) wirehost.Protocol {
	if f.refuse {
		return nil
	}
	return &probe{}
}

func TestFactory(t *testing.T) {
	f := &starting{start: func(r *wirehost.Reactor) error { return r.Logf(wirehost.LevelDebug, "%d+%d", 1, 2) }}
	s, err := sdktest.Start(f, sdktest.Options{})
	if err != nil || len(s.Lines) != 1 || s.Lines[0] != (sdktest.Line{Level: wirehost.LevelDebug, Text: "1+2"}) {
		t.Fatalf("found %v, log %v", err, s.Lines)
	}
	if s.Accept() == nil {
		t.Error("found the connection refused")
	}
	f.refuse = true
	if s.Accept() != nil {
		t.Error("nil of BuildProtocol: found a connection")
	}
	if s.Stop(); !f.stopped {
		t.Error("StopFactory was not called")
	}
	if err := (&starting{start: func(r *wirehost.Reactor) error { return r.Log(99, "") }}).start; err != nil {
		if _, err := sdktest.Start(&starting{start: err}, sdktest.Options{}); err == nil ||
			!strings.Contains(err.Error(), "bad argument") {
			t.Errorf("log level 99: found %v", err)
		}
	}
}

// logOnly is a server that takes what is logged, and nothing else.
type logOnly struct {
	wirehost.Host
	lines []string
}

func (s *logOnly) Emit(_ int32, text string) int32 {
	s.lines = append(s.lines, text)
	return 0
}

// What an instance answers where the plugin has nothing to say.
func TestDeclines(t *testing.T) {
	s := &logOnly{}
	g := wirehost.NewGuest(s, factoryOf(func() wirehost.Protocol { return &probe{} }))
	if g.LogPrefix() != nil || g.StateVersion() != 1 {
		t.Errorf("found prefix %q, state version %d", g.LogPrefix(), g.StateVersion())
	}
	if g.BuildProtocol(1) != 0 {
		t.Error("BuildProtocol: found a refusal")
	}
	for _, conn := range []int32{0, 1} {
		if state, ok := g.SaveState(conn); ok {
			t.Errorf("SaveState(%d): found %q, wanted it declined", conn, state)
		}
	}
	if g.RestoreState(0, 1, nil) == 0 {
		t.Error("RestoreState of a factory with none: found it taken")
	}
	if wirehost.NewGuest(s, nil).StartFactory() == 0 {
		t.Error("no factory: found it started")
	}
	if n := len(g.RestoreBuffer(100)); n != 100 || g.RestoreBuffer(0) != nil || g.RestoreBuffer(1<<31) != nil {
		t.Errorf("RestoreBuffer: found %d bytes", n)
	}
	if n := len(g.ReceiveBuffer()); n != 64<<10 {
		t.Errorf("ReceiveBuffer: found %d bytes", n)
	}
	if prefix := wirehost.NewGuest(s, &starting{}).LogPrefix(); string(prefix) != "starting" {
		t.Errorf("LogPrefix: found %q", prefix)
	}
}

// A timer that no RestoreState claimed is told, not lost in silence.
func TestUnclaimedTimer(t *testing.T) {
	s := &logOnly{}
	wirehost.NewGuest(s, &starting{}).DelayedCall(7)
	if len(s.lines) != 1 || !strings.Contains(s.lines[0], "timer 7") {
		t.Errorf("found log %v", s.lines)
	}
}

func TestRegister(t *testing.T) {
	wirehost.Register(&starting{})
	defer func() {
		if recover() == nil {
			t.Error("Register(nil): found no panic")
		}
	}()
	wirehost.Register(nil)
}
