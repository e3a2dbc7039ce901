package wirehost_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

// beginning is a server whose factory's start gets a Reactor for the test.
func beginning(t *testing.T) (*sdktest.Server, *wirehost.Reactor) {
	t.Helper()
	var r *wirehost.Reactor
	s, err := sdktest.Start(&starting{start: func(given *wirehost.Reactor) error { r = given; return nil }},
		sdktest.Options{})
	must(t, err)
	return s, r
}

func TestLoopingCall(t *testing.T) {
	s, r := beginning(t)
	var at []float64
	l := wirehost.NewLoopingCall(func() { at = append(at, s.Seconds()) })
	must(t, l.Start(r, 300*time.Millisecond, true))
	if err := l.Start(r, time.Second, true); err != wirehost.ErrBusy || !l.Running() {
		t.Errorf("a second start: found %v", err)
	}
	for range 10 {
		s.Advance(100 * time.Millisecond)
	}
	if want := []float64{0, 0.3, 0.6, 0.9}; !slices.Equal(at, want) {
		t.Errorf("called at %v, wanted %v", at, want)
	}
	must(t, l.Stop())
	must(t, l.Stop())
	if s.Advance(time.Hour); l.Running() || s.Timers() != 0 || len(at) != 4 {
		t.Errorf("stopped: running %t, %d timers, %d calls", l.Running(), s.Timers(), len(at))
	}
	if err := l.Start(r, -1, true); err != wirehost.ErrInvalid || l.Running() {
		t.Errorf("a negative time: found %v", err)
	}
}

// What a slow call has missed it does not make up for, and it does not drift.
func TestLoopingCallSkips(t *testing.T) {
	s, r := beginning(t)
	var at []float64
	var l *wirehost.LoopingCall
	l = wirehost.NewLoopingCall(func() {
		at = append(at, s.Seconds())
		switch len(at) {
		case 1:
			s.Advance(2500 * time.Millisecond) // it takes until 3.5
		case 3:
			must(t, l.Stop())
		}
	})
	must(t, l.Start(r, time.Second, false))
	s.Advance(10 * time.Second)
	if want := []float64{1, 4, 5}; !slices.Equal(at, want) || l.Running() {
		t.Errorf("called at %v, wanted %v; running %t", at, want, l.Running())
	}
}

// A call that begins anew in its own function is one call.
func TestLoopingCallAnew(t *testing.T) {
	s, r := beginning(t)
	var at []float64
	var l *wirehost.LoopingCall
	l = wirehost.NewLoopingCall(func() {
		at = append(at, s.Seconds())
		if len(at) < 3 {
			must(t, l.Stop())
			must(t, l.Start(r, 2*time.Second, false))
		}
	})
	must(t, l.Start(r, time.Second, true))
	if n := s.Timers(); n != 1 {
		t.Errorf("found %d timers, wanted 1", n)
	}
	s.Advance(7 * time.Second)
	if want := []float64{0, 2, 4, 6}; !slices.Equal(at, want) || s.Timers() != 1 {
		t.Errorf("called at %v, wanted %v; %d timers", at, want, s.Timers())
	}
}

// A loop goes on in the next version, at its times.
func TestLoopingCallMoves(t *testing.T) {
	s, r := beginning(t)
	l := wirehost.NewLoopingCall(func() {})
	must(t, l.Start(r, time.Second, true))
	s.Advance(500 * time.Millisecond)
	var at []float64
	next := wirehost.NewLoopingCall(func() { at = append(at, s.Seconds()) })
	must(t, s.Reload(&starting{start: func(r *wirehost.Reactor) error {
		next.Restore(r, l.Handle(), time.Second)
		return nil
	}}))
	if s.Advance(2500 * time.Millisecond); !slices.Equal(at, []float64{1, 2, 3}) || !next.Running() {
		t.Errorf("called at %v", at)
	}
	never := wirehost.NewLoopingCall(func() {})
	if never.Restore(r, never.Handle(), time.Second); never.Running() {
		t.Error("found a call that was not running, running")
	}
}

func TestClientService(t *testing.T) {
	var got []string
	told := func(name string) func(wirehost.Protocol, error) {
		return func(p wirehost.Protocol, err error) {
			if err != nil {
				name += ": " + err.Error()
			}
			got = append(got, name)
		}
	}
	expect := func(step string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: found %q, wanted %q", step, got, want)
		}
		got = nil
	}
	s, r := beginning(t)
	c := &wirehost.ClientService{}
	c.Endpoint, c.Jitter, c.Factor = "tcp://db:1", -1, 2
	c.Build = func() wirehost.Protocol { return &probe{} }
	must(t, c.Start(r))
	c.WhenConnected(0, told("patient"))
	c.WhenConnected(2, told("hasty"))
	expect("being made")
	s.Outgoing()[0].Fail(wirehost.Refused)
	expect("failed once")
	s.Advance(2 * time.Second)
	s.Outgoing()[0].Fail(wirehost.Refused)
	expect("failed twice", "hasty: connect tcp://db:1: "+wirehost.Refused.String())
	s.Advance(4 * time.Second)
	conn := s.Outgoing()[0]
	conn.Establish()
	expect("made", "patient")
	c.WhenConnected(1, told("late"))
	expect("at once", "late")
	conn.Break(wirehost.Lost)
	c.WhenConnected(0, told("next"))
	if due, _ := s.Due(); due != 2*time.Second {
		t.Errorf("lost: tries again in %v, wanted the first delay", due)
	}
	s.Advance(2 * time.Second)
	s.Outgoing()[0].Establish()
	expect("made again", "next")
	must(t, c.Stop())
	if s.Advance(time.Hour); len(s.Outgoing()) != 0 || s.Timers() != 0 {
		t.Errorf("stopped: %d attempts, %d timers", len(s.Outgoing()), s.Timers())
	}
	c.WhenConnected(0, func(p wirehost.Protocol, err error) {
		if p != nil || !errors.Is(err, wirehost.ErrServiceStopped) {
			t.Errorf("stopped: found %v, %v", p, err)
		}
	})
}

// Who waits is told where it gives up.
func TestClientServiceGivesUp(t *testing.T) {
	s, r := beginning(t)
	c := &wirehost.ClientService{}
	c.Endpoint, c.MaxRetries, c.Build = "tcp://db:1", 1, func() wirehost.Protocol { return &probe{} }
	must(t, c.Start(r))
	var told error
	c.WhenConnected(0, func(_ wirehost.Protocol, err error) { told = err })
	waits(s, 2)
	if told != wirehost.ErrServiceStopped {
		t.Errorf("found %v", told)
	}
}
