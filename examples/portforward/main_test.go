package main

import (
	"strings"
	"testing"

	"github.com/wirehost/wirehost/examples/internal/exampletest"
	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

const target = `{"target": "tcp://127.0.0.1:7007"}`

// open accepts a connection and returns it with the one to the target, which
// is not made yet.
func open(t *testing.T, o sdktest.Options) (s *sdktest.Server, in, out *sdktest.Conn) {
	t.Helper()
	o.Config = target
	s, err := sdktest.Start(&factory{}, o)
	if err != nil {
		t.Fatal(err)
	}
	in = s.Accept()
	if pending := s.Outgoing(); len(pending) == 1 {
		return s, in, pending[0]
	}
	t.Fatalf("found %d outgoing connections, wanted 1", len(s.Outgoing()))
	return nil, nil, nil
}

func expect(t *testing.T, c *sdktest.Conn, want string) {
	t.Helper()
	if got := c.Take(); got != want {
		t.Errorf("found %.200q, wanted %.200q", got, want)
	}
}

func expectEnd(t *testing.T, c *sdktest.Conn, want wirehost.Reason) {
	t.Helper()
	if r, ended := c.Ended(); !ended || r != want {
		t.Errorf("found reason %v, ended %t, wanted %v", r, ended, want)
	}
}

// expectHalf wants our writing side closed, and the connection open.
func expectHalf(t *testing.T, c *sdktest.Conn) {
	t.Helper()
	if _, ended := c.Ended(); ended || c.State()&wirehost.StateWriteClosed == 0 || c.Disconnecting() {
		t.Errorf("found state %b, ended %t, wanted the writing side closed alone", c.State(), ended)
	}
}

// What is sent before the target answers is not lost, and a reload at any
// moment makes no difference.
func TestForward(t *testing.T) {
	for reload := range 6 {
		s, in, out := open(t, sdktest.Options{})
		step := func(n int) {
			if n == reload {
				if err := s.Reload(&factory{}); err != nil {
					t.Fatalf("step %d: %v", n, err)
				}
			}
		}
		if out.Endpoint != "tcp://127.0.0.1:7007" {
			t.Errorf("found endpoint %s", out.Endpoint)
		}
		in.Send("early ")
		step(0)
		out.Establish()
		expect(t, out, "early ")
		step(1)
		in.Send("hello")
		expect(t, out, "hello")
		out.Send("world")
		expect(t, in, "world")
		step(2)
		in.Finish()
		expectHalf(t, out)
		step(3)
		out.Send("still")
		expect(t, in, "still")
		out.Finish()
		step(4)
		expectEnd(t, in, wirehost.Done)
		expectEnd(t, out, wirehost.Done)
		if len(s.Lines) > 0 {
			t.Errorf("logged %v", s.Lines)
		}
	}
}

// The target may be the one that ends first.
func TestHalfCloseOfTarget(t *testing.T) {
	_, in, out := open(t, sdktest.Options{})
	out.Establish()
	out.Send("bye")
	out.Finish()
	expect(t, in, "bye")
	expectHalf(t, in)
	in.Send("rest")
	expect(t, out, "rest")
	in.Finish()
	expectEnd(t, in, wirehost.Done)
	expectEnd(t, out, wirehost.Done)
}

// A peer may send all it has and its end before the target answers.
func TestEndBeforeTarget(t *testing.T) {
	_, in, out := open(t, sdktest.Options{})
	in.Send("request")
	in.Finish()
	out.Establish()
	expect(t, out, "request")
	expectHalf(t, out)
	out.Send("answer")
	out.Finish()
	expect(t, in, "answer")
	expectEnd(t, in, wirehost.Done)
}

// A stream that is cut is not made to look whole.
func TestReset(t *testing.T) {
	for name, end := range map[string]func(in, out *sdktest.Conn) *sdktest.Conn{
		"client": func(in, out *sdktest.Conn) *sdktest.Conn { in.Break(wirehost.Lost); return out },
		"target": func(in, out *sdktest.Conn) *sdktest.Conn { out.Break(wirehost.Lost); return in },
	} {
		t.Run(name, func(t *testing.T) {
			_, in, out := open(t, sdktest.Options{})
			out.Establish()
			expectEnd(t, end(in, out), wirehost.Aborted)
		})
	}
}

func TestClientGoesBeforeTarget(t *testing.T) {
	s, in, out := open(t, sdktest.Options{})
	in.Break(wirehost.Lost)
	expectEnd(t, out, wirehost.Aborted)
	if len(s.Outgoing()) > 0 || len(s.Lines) > 0 {
		t.Errorf("%d connections are being made still, logged %v", len(s.Outgoing()), s.Lines)
	}
}

func TestTargetRefuses(t *testing.T) {
	s, in, out := open(t, sdktest.Options{})
	out.Fail(wirehost.Refused)
	expectEnd(t, in, wirehost.Aborted)
	if len(s.Lines) != 1 || !strings.Contains(s.Lines[0].Text, "connect to tcp://127.0.0.1:7007: ") {
		t.Errorf("logged %v", s.Lines)
	}
}

func TestNotAllowed(t *testing.T) {
	s, err := sdktest.Start(&factory{}, sdktest.Options{Config: target, Deny: true})
	if err != nil {
		t.Fatal(err)
	}
	expectEnd(t, s.Accept(), wirehost.Aborted)
	if len(s.Lines) != 1 || !strings.Contains(s.Lines[0].Text, "not allowed") {
		t.Errorf("logged %v", s.Lines)
	}
}

// TestSlowTarget sends a megabyte to a target that reads slowly: a little of it
// is queued at a time, and all of it arrives, across a reload too.
func TestSlowTarget(t *testing.T) {
	s, in, out := open(t, sdktest.Options{Stalled: true})
	out.Establish()
	in.Send(strings.Repeat("x", 1<<20))
	in.Finish()
	total := 0
	for i := 0; total < 1<<20; i++ {
		if out.Queued() == 0 || out.Queued() > 192<<10 {
			t.Fatalf("%d bytes are queued, of %d sent", out.Queued(), total)
		}
		if i == 3 {
			if err := s.Reload(&factory{}); err != nil {
				t.Fatal(err)
			}
		}
		total += len(out.Take())
		out.Drain()
	}
	if total != 1<<20 {
		t.Errorf("found %d bytes, wanted 1 MiB", total)
	}
	expectHalf(t, out)
}

func TestConfigRefused(t *testing.T) {
	for config, want := range map[string]string{
		`{}`:                                     `config.target: found "", wanted an endpoint`,
		`{"target": "tcp://h:1", "timeout": -1}`: "config.timeout: found less than 0",
	} {
		if _, err := sdktest.Start(&factory{}, sdktest.Options{Config: config}); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: found error %v, wanted %q", config, err, want)
		}
	}
}

// FuzzRestore restores two connections from what need not be a state.
func FuzzRestore(f *testing.F) {
	f.Add([]byte{1})
	f.Add([]byte{2})
	f.Add([]byte{0})
	f.Add([]byte{})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, state []byte) {
		s, err := sdktest.Start(&exampletest.Saved{State: state}, sdktest.Options{Config: target})
		if err != nil {
			t.Fatal(err)
		}
		a, b := s.Accept(), s.Accept()
		if err := s.Reload(&factory{}); err == nil {
			a.Send("hello")
			a.Finish()
			b.Finish()
		}
	})
}
