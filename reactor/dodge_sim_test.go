package reactor_test

import (
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/reactor"
)

// ticking is a Sys whose clock goes on with each look at it, as a real one does.
type ticking struct{ *memnet.Sys }

func (s ticking) Now() time.Duration {
	s.Advance(100 * time.Microsecond)
	return s.Sys.Now()
}

// again is a pull producer that is registered again each time that it is asked.
type again struct {
	t     reactor.Transport
	asked int
}

func (a *again) PauseProducing() {}
func (a *again) StopProducing()  {}
func (a *again) ResumeProducing() {
	a.asked++
	a.t.UnregisterProducer()
	a.t.RegisterProducer(a, false)
}

// TestProducerThatIsRegisteredAgain: it puts off no timeout, and is asked at once
// only if there was a byte since it was asked last.
func TestProducerThatIsRegisteredAgain(t *testing.T) {
	sys := memnet.New(memnet.Options{})
	r, err := reactor.New(reactor.Config{Loops: 1, Sys: ticking{sys}, CloseTimeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	h := &hand{t: t, sys: sys, r: r}
	t.Cleanup(func() { h.check(r.Close()) })
	ep := reactor.Endpoint{Scheme: "tcp", Host: "127.0.0.1", Port: 7}
	if h.ln, err = r.Listen(ep, h, reactor.ListenOptions{Loop: -1}); err != nil {
		t.Fatal(err)
	}
	h.check(h.ln.Start())
	var p *told
	a := &again{}
	h.made = func(q *told) {
		p, a.t = q, q.t
		h.check(q.t.RegisterProducer(a, false))
	}
	peer, err := sys.Dial("tcp", "127.0.0.1:7")
	h.check(err)
	for range 20 {
		r.Step()
	}
	peer.CloseWrite()
	h.check(r.Loops()[0].CallFromThread(func() { p.t.LoseConnection() }))
	busy := func() {}
	busy = func() { // has its timer looked at in each turn
		p.t.SetTimeout(0)
		r.Loops()[0].CallLater(0, busy)
	}
	h.check(r.Loops()[0].CallFromThread(busy))
	for turns := 0; !p.lost; turns++ {
		if turns > 1e5 {
			t.Fatalf("it lives on, asked %d times", a.asked)
		}
		r.Step()
	}
	p.want(t, true, reactor.Timeout)
	if a.asked < 2 || a.asked > 250 {
		t.Errorf("asked %d times in 2 s, wanted once each 10 ms", a.asked)
	}
}

// TestResumeIsNoProgress: a FIN behind bytes that nobody reads ends the connection,
// however often the protocol resumes and pauses again; and bytes that it reads are
// progress.
func TestResumeIsNoProgress(t *testing.T) {
	for _, reads := range []bool{false, true} {
		h := newHand(t, "tcp", memnet.Options{}, reactor.Config{ClosedTimeout: 4 * time.Second})
		peer, p := h.dial()
		p.onData = func([]byte) { p.t.PauseProducing() }
		h.do(p.t.PauseProducing)
		h.send(peer, make([]byte, 60<<10))
		h.check(peer.CloseWrite())
		h.steps()
		for range 12 {
			h.pass(time.Second)
			if p.lost {
				break
			}
			h.do(func() {
				p.t.ResumeProducing()
				if !reads {
					p.t.PauseProducing()
				}
			})
		}
		if reads {
			if p.lost && p.reason == reactor.Timeout {
				t.Errorf("it read, and was told %v, %v", p.reason, p.err)
			}
			continue
		}
		p.want(t, true, reactor.Timeout)
	}
}

// TestSetTimeoutIsNoProgress: a connection without a byte is idle to CloseIdle,
// whatever its protocol has set.
func TestSetTimeoutIsNoProgress(t *testing.T) {
	h := newHand(t, "tcp", memnet.Options{}, reactor.Config{})
	_, p := h.dial()
	for range 10 {
		h.pass(time.Second)
		h.do(func() { p.t.SetTimeout(2 * time.Second) })
	}
	if p.lost {
		t.Fatal("it timed out")
	}
	h.do(func() {
		if n := h.r.Loops()[0].CloseIdle(1, 5*time.Second, nil); n != 1 {
			t.Errorf("%d connections were idle, wanted 1", n)
		}
	})
}
