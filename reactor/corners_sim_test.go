package reactor_test

import (
	"errors"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/reactor"
)

// The corners are combinations of two things that a protocol or a peer may do.

// TestFinWhileClosing: the peer's FIN lies behind bytes that a protocol which
// paused and then closed will never read. A slow reader gets everything.
func TestFinWhileClosing(t *testing.T) {
	h := newHand(t, "tcp", memnet.Options{Buffer: 4 << 10}, reactor.Config{ClosedTimeout: 4 * time.Second,
		CloseTimeout: 3 * time.Second})
	peer, p := h.dial()
	h.do(p.t.PauseProducing)
	h.send(peer, []byte("request"))
	h.check(peer.CloseWrite())
	h.steps()
	const n = 64 << 10
	h.do(func() { p.t.Write(make([]byte, n)); p.t.LoseConnection() })
	got := 0
	for range n >> 10 {
		buf := make([]byte, 1<<10)
		k, err := io.ReadFull(peer, buf)
		h.check(err)
		got += k
		h.pass(time.Second)
	}
	if got != n {
		t.Errorf("got %d bytes of %d", got, n)
	}
	if _, err := h.drain(peer); err != io.EOF {
		t.Errorf("found %v, wanted the end", err)
	}
	p.want(t, true, reactor.Done)
}

// TestPauseAfterFin: closed_timeout counts from when the protocol has paused,
// not from a FIN that an automatic pause has kept from it.
func TestPauseAfterFin(t *testing.T) {
	h := newHand(t, "tcp", memnet.Options{Buffer: 4 << 10}, reactor.Config{ClosedTimeout: 4 * time.Second,
		HighWater: 4 << 10})
	peer, p := h.dial()
	h.do(func() { p.t.Write(make([]byte, 64<<10)) })
	h.send(peer, []byte("x"))
	h.check(peer.CloseWrite())
	h.steps()
	h.pass(10 * time.Second)
	h.do(p.t.PauseProducing)
	h.pass(3 * time.Second)
	p.want(t, false, 0)
	h.pass(2 * time.Second)
	p.want(t, true, reactor.Timeout)
}

// TestFinOutlivesAutomaticPause: the end of an automatic pause does not begin the
// time of a FIN anew for a protocol that has paused too.
func TestFinOutlivesAutomaticPause(t *testing.T) {
	h := newHand(t, "tcp", memnet.Options{Buffer: 4 << 10}, reactor.Config{ClosedTimeout: 4 * time.Second,
		HighWater: 4 << 10})
	peer, p := h.dial()
	h.do(func() { p.t.Write(make([]byte, 16<<10)); p.t.PauseProducing() })
	h.send(peer, []byte("x"))
	h.check(peer.CloseWrite())
	h.steps()
	h.pass(3 * time.Second)
	if n, err := h.drain(peer); n != 16<<10 || err != syscall.EAGAIN {
		t.Errorf("got %d bytes, %v", n, err)
	}
	h.pass(time.Second)
	p.want(t, true, reactor.Timeout)
}

// TestWatermarks: above high water a producer is paused, at low water resumed.
func TestWatermarks(t *testing.T) {
	const kib = 1 << 10
	h := newHand(t, "tcp", memnet.Options{Buffer: 3 * kib}, reactor.Config{HighWater: 6 * kib, LowWater: 3 * kib})
	peer, p := h.dial()
	r := &producer{}
	h.do(func() { h.check(p.t.RegisterProducer(r, true)) })
	write := func(n int) func() { return func() { p.t.Write(make([]byte, n)) } }
	read := func(n int) {
		_, err := io.ReadFull(peer, make([]byte, n))
		h.check(err)
		h.steps()
	}
	for _, step := range []struct {
		do   func()
		told int
	}{
		{func() { h.do(write(9 * kib)) }, 0}, // 6 queued
		{func() { h.do(write(1)) }, 1},
		{func() { read(3 * kib) }, 1}, // 3 and a byte
		{func() { h.do(write(3*kib - 1)); read(3 * kib) }, 2},
	} {
		step.do()
		if len(r.told) != step.told {
			t.Fatalf("told %v with %d bytes queued, wanted %d", r.told, p.t.Stats().Queued, step.told)
		}
	}
}

// TestDelayedCallsOfNow: a delayed call that makes another for now does not hold
// the loop.
func TestDelayedCallsOfNow(t *testing.T) {
	h := newHand(t, "tcp", memnet.Options{}, reactor.Config{})
	l, calls := h.r.Loops()[0], 0
	var chain func()
	chain = func() {
		if calls++; calls < 10 {
			l.CallLater(0, chain)
		}
	}
	h.check(l.CallFromThread(chain))
	for turn := range 10 {
		h.r.Step()
		if want := min(turn+2, 10); calls != want {
			t.Fatalf("%d calls after %d turns, wanted %d", calls, turn+1, want)
		}
	}
}

// TestPauseAfterEnd: a FIN that was read is none that waits, though a Unix
// socket whose peer is gone polls as hung up.
func TestPauseAfterEnd(t *testing.T) {
	h := newHand(t, "unix", memnet.Options{}, reactor.Config{ClosedTimeout: 4 * time.Second})
	peer, p := h.dial()
	h.check(peer.Close())
	h.steps()
	h.do(p.t.PauseProducing)
	h.pass(time.Minute)
	p.want(t, false, 0)
	h.do(p.t.LoseConnection)
	p.want(t, true, reactor.Done)
}

// producer is one that does nothing.
type producer struct {
	told []string
	stop func()
}

func (p *producer) PauseProducing()  { p.told = append(p.told, "pause") }
func (p *producer) ResumeProducing() { p.told = append(p.told, "resume") }
func (p *producer) StopProducing() {
	p.told = append(p.told, "stop")
	if p.stop != nil {
		p.stop()
	}
}

// TestProducerAfterWriteClosed: closing waits for a producer within the close
// timeout, also for one that was registered when the writing side was closed.
func TestProducerAfterWriteClosed(t *testing.T) {
	h := newHand(t, "tcp", memnet.Options{}, reactor.Config{CloseTimeout: 3 * time.Second})
	_, p := h.dial()
	h.do(p.t.LoseWriteConnection)
	h.do(func() { h.check(p.t.RegisterProducer(&producer{}, true)) })
	h.do(p.t.LoseConnection)
	h.pass(4 * time.Second)
	p.want(t, true, reactor.Timeout)
}

// TestAbortBeforeLossIsTold: what closes in order and is aborted before its
// protocol was told is aborted.
func TestAbortBeforeLossIsTold(t *testing.T) {
	h := newHand(t, "tcp", memnet.Options{}, reactor.Config{})
	_, a := h.dial()
	peer, b := h.dial()
	a.onLost = func() { b.t.AbortConnection() }
	h.do(func() { a.t.LoseConnection(); b.t.Write(make([]byte, 100)); b.t.LoseConnection() })
	a.want(t, true, reactor.Done)
	b.want(t, true, reactor.Aborted)
	if _, err := h.drain(peer); err != syscall.ECONNRESET {
		t.Errorf("found %v, wanted a reset", err)
	}
}

// TestAbortInConnectionLost: nothing that a protocol does when it is told of an
// orderly end takes away what was sent.
func TestAbortInConnectionLost(t *testing.T) {
	h := newHand(t, "tcp", memnet.Options{}, reactor.Config{})
	peer, p := h.dial()
	p.onData = func(b []byte) { p.t.Write(b); p.t.LoseConnection() }
	p.onLost = func() { p.t.AbortConnection() }
	h.check(errors.Join(func() error { _, err := peer.Write([]byte("request")); return err }(), peer.CloseWrite()))
	h.steps()
	p.want(t, true, reactor.Done)
	if n, err := h.drain(peer); n != len("request") || err != io.EOF {
		t.Errorf("got %d bytes, %v", n, err)
	}
	// One that is read to its end before it closes does not linger.
	peer, p = h.dial()
	p.onLost = func() { p.t.AbortConnection() }
	h.check(peer.CloseWrite())
	h.steps()
	h.do(func() { p.t.Write([]byte("reply")); p.t.LoseConnection() })
	p.want(t, true, reactor.Done)
	if n, err := h.drain(peer); n != len("reply") || err != io.EOF {
		t.Errorf("got %d bytes, %v", n, err)
	}
	// A stale transport must not end what lingers either.
	peer, p = h.dial()
	h.do(func() { p.t.Write([]byte("reply")); p.t.LoseConnection() })
	h.do(p.t.AbortConnection)
	h.send(peer, []byte("more"))
	if n, err := h.drain(peer); n != len("reply") || err != io.EOF {
		t.Errorf("got %d bytes, %v", n, err)
	}
	h.check(peer.Close())
	h.steps()
}

// TestRegisterInStopProducing: nothing comes after ConnectionLost.
func TestRegisterInStopProducing(t *testing.T) {
	h := newHand(t, "tcp", memnet.Options{}, reactor.Config{})
	_, p := h.dial()
	second := &producer{stop: func() { p.events = append(p.events, "stop") }}
	first := &producer{stop: func() {
		if err := p.t.RegisterProducer(second, true); err != reactor.ErrNotConnected {
			t.Errorf("found %v, wanted %v", err, reactor.ErrNotConnected)
		}
	}}
	h.do(func() { h.check(p.t.RegisterProducer(first, true)) })
	h.do(p.t.AbortConnection)
	if k := len(p.events); k == 0 || p.events[k-1] != "lost" {
		t.Errorf("told %v, wanted lost to be the last", p.events)
	}
}

// TestRegisterWhileConnecting: a connection that is not made has no producer,
// which could be told to write and would not be told again.
func TestRegisterWhileConnecting(t *testing.T) {
	h := newHand(t, "tcp", memnet.Options{}, reactor.Config{})
	h.do(func() {
		c := h.r.Loops()[0].Connect(h.ln.Endpoint(), &client{told{h: h}}, reactor.ConnectOptions{})
		if err := c.RegisterProducer(&producer{}, false); err != reactor.ErrNotConnected {
			t.Errorf("found %v, wanted %v", err, reactor.ErrNotConnected)
		}
	})
}

// client is told of outgoing connections too.
type client struct{ told }

func (p *client) ConnectionFailed(reason reactor.Reason, err error) { p.ConnectionLost(reason, err) }

// TestCapBesideGather: what the socket takes at once is not over the cap, also
// when the callback has written to another connection before.
func TestCapBesideGather(t *testing.T) {
	h := newHand(t, "tcp", memnet.Options{}, reactor.Config{HighWater: 1 << 10, LowWater: 512, MaxQueued: 4 << 10})
	_, a := h.dial()
	peer, b := h.dial()
	h.do(func() {
		a.t.Write([]byte("x"))
		for _, n := range []int{5000, 3000, 5000} {
			if _, err := b.t.Write(make([]byte, n)); err != nil {
				t.Errorf("%d bytes: %v", n, err)
			}
		}
	})
	if n, err := h.drain(peer); n != 13000 || err != syscall.EAGAIN {
		t.Errorf("got %d bytes, %v", n, err)
	}
	b.want(t, false, 0)
}

// TestAllThatIsQueued: what connections have queued is bounded in all. Past that the
// one that writes much ends, those that write little go on, and room comes back.
func TestAllThatIsQueued(t *testing.T) {
	const all = 1 << 20
	for _, scheme := range []string{"tcp", "unix"} {
		h := newHand(t, scheme, memnet.Options{Buffer: 4 << 10},
			reactor.Config{HighWater: 16 << 10, MaxQueued: 512 << 10,
				MaxQueuedAll: all})
		var list []*told
		queued := func() (n int) {
			for _, p := range list {
				n += p.t.Stats().Queued
			}
			return n
		}
		for round := range 3 {
			ended := 0
			for range 20 {
				_, p := h.dial()
				list = append(list, p)
				h.do(func() {
					if _, err := p.t.Write(make([]byte, 200<<10)); err == reactor.ErrOverLimit {
						ended++
					} else {
						h.check(err)
					}
				})
			}
			if n := queued(); n > all+512<<10 || n < all/2 {
				t.Errorf("%s, round %d: %d bytes are queued, wanted at most %d and the last write", scheme, round, n,
					all)
			}
			if ended < 10 || ended == 20 {
				t.Errorf("%s, round %d: %d of 20 writes ended their connection", scheme, round, ended)
			}
			_, small := h.dial()
			h.do(func() {
				_, err := small.t.Write(make([]byte, 8<<10))
				h.check(err)
			})
			small.want(t, false, 0)
			for _, p := range append(list, small) {
				h.do(p.t.AbortConnection)
			}
			list = nil
		}
	}
}

// TestSlowerThanTheBuffer: the system reports a full socket writable only when
// much of its buffer is free. A reader that takes longer for that than the close
// timeout still gets everything, and one that stops is not waited for.
func TestSlowerThanTheBuffer(t *testing.T) {
	for _, lose := range []bool{true, false} {
		h := newHand(t, "tcp", memnet.Options{Buffer: 60 << 10}, reactor.Config{CloseTimeout: 3 * time.Second,
			WriteTimeout: 3 * time.Second})
		peer, p := h.dial()
		p.t.SetTimeout(3 * time.Second)
		h.do(func() {
			p.t.Write(make([]byte, 100<<10))
			if lose {
				p.t.LoseConnection()
			}
		})
		buf := make([]byte, 1<<10)
		for range 40 {
			_, err := io.ReadFull(peer, buf)
			h.check(err)
			h.pass(time.Second)
		}
		p.want(t, lose, reactor.Done)
		h.do(func() { p.t.SetTimeout(0); p.t.Write(make([]byte, 80<<10)) })
		if !lose {
			h.pass(3*time.Second - time.Millisecond)
			p.want(t, false, 0)
			h.pass(time.Millisecond)
			p.want(t, true, reactor.Timeout)
		}
	}
}

// TestLingerIsBounded: a peer that does not close is waited for as long as the
// close timeout, and counts as a connection until then.
func TestLingerIsBounded(t *testing.T) {
	h := newHand(t, "tcp", memnet.Options{}, reactor.Config{CloseTimeout: 3 * time.Second})
	peer, p := h.dial()
	h.do(p.t.LoseConnection)
	p.want(t, true, reactor.Done)
	h.pass(3*time.Second - time.Millisecond)
	h.send(peer, []byte("x"))
	if n := h.r.Connections(); n != 1 {
		t.Errorf("found %d connections, wanted 1", n)
	}
	h.pass(time.Millisecond)
	if n := h.r.Connections(); n != 0 {
		t.Errorf("found %d connections, wanted none", n)
	}
}

// stumbler is a producer that panics when it is resumed.
type stumbler struct{ producer }

func (*stumbler) ResumeProducing() { panic("stumbled") }

// resumer tells when it is resumed.
type resumer struct {
	producer
	resumed chan struct{}
}

func (p *resumer) ResumeProducing() { close(p.resumed) }

// TestNextAfterPanic: a loop does not sleep on what a panic has kept it from.
func TestNextAfterPanic(t *testing.T) {
	h := newHand(t, "tcp", memnet.Options{}, reactor.Config{})
	_, a := h.dial()
	_, b := h.dial()
	resumed := make(chan struct{})
	h.check(h.r.Loops()[0].CallFromThread(func() {
		h.check(errors.Join(a.t.RegisterProducer(&stumbler{}, false),
			b.t.RegisterProducer(&resumer{resumed: resumed}, false)))
	}))
	h.check(h.r.Start())
	select {
	case <-resumed:
	case <-time.After(time.Minute):
		t.Error("the second producer was not resumed")
	}
}
