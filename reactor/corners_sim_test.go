package reactor_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/reactor"
	"github.com/wirehost/wirehost/reactor/reactortest"
)

// The corners are combinations of two things that a protocol or a peer may do.

// TestFinWhileClosing: the peer's FIN lies behind bytes that a protocol which
// paused and then closed will never read. A slow reader gets everything.
func TestFinWhileClosing(t *testing.T) {
	h := newHand(t, "tcp", reactortest.Options{Buffer: 4 << 10}, reactor.Config{ClosedTimeout: 4 * time.Second, CloseTimeout: 3 * time.Second})
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
	h := newHand(t, "tcp", reactortest.Options{Buffer: 4 << 10}, reactor.Config{ClosedTimeout: 4 * time.Second, HighWater: 4 << 10})
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

// TestPauseAfterEnd: a FIN that was read is none that waits, though a Unix
// socket whose peer is gone polls as hung up.
func TestPauseAfterEnd(t *testing.T) {
	h := newHand(t, "unix", reactortest.Options{}, reactor.Config{ClosedTimeout: 4 * time.Second})
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
	h := newHand(t, "tcp", reactortest.Options{}, reactor.Config{CloseTimeout: 3 * time.Second})
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
	h := newHand(t, "tcp", reactortest.Options{}, reactor.Config{})
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
	h := newHand(t, "tcp", reactortest.Options{}, reactor.Config{})
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
	h := newHand(t, "tcp", reactortest.Options{}, reactor.Config{})
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
	h := newHand(t, "tcp", reactortest.Options{}, reactor.Config{})
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
	h := newHand(t, "tcp", reactortest.Options{}, reactor.Config{HighWater: 1 << 10, LowWater: 512, MaxQueued: 4 << 10})
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

// TestRestingIsLoggedSeldom: with descriptors that come and go, a listener rests
// a hundred times a second.
func TestRestingIsLoggedSeldom(t *testing.T) {
	var log bytes.Buffer
	h := newHand(t, "tcp", reactortest.Options{MaxFDs: 2}, reactor.Config{Logger: hclog.New(&hclog.LoggerOptions{Output: &log})})
	peer, _ := h.dial()
	for range 100 {
		peer.Reset()
		h.steps()
		var err error
		if peer, err = h.sys.Dial(reactor.Address(h.ln.Endpoint())); err != nil {
			t.Fatal(err)
		}
		if _, err = h.sys.Dial(reactor.Address(h.ln.Endpoint())); err != nil {
			t.Fatal(err)
		}
		h.pass(10 * time.Millisecond)
	}
	if n := h.ln.Stats().Accepted; n != 101 { // each rest is a short one
		t.Errorf("found %d connections accepted, wanted 101", n)
	}
	if n := strings.Count(log.String(), "resting"); n != 1 {
		t.Errorf("found %d lines, wanted 1 in a second:\n%.300s", n, log.String())
	}
}

// deaf is a Sys whose pollers take no more sockets while it is on, and whose next
// accepts fail with errs.
type deaf struct {
	*reactortest.Sys
	on   bool
	errs []error
}

func (s *deaf) Accept(l reactor.FD) (reactor.FD, error) {
	if len(s.errs) > 0 {
		err := s.errs[0]
		s.errs = s.errs[1:]
		return 0, err
	}
	return s.Sys.Accept(l)
}

func (s *deaf) NewPoller() (reactor.Poller, error) {
	p, err := s.Sys.NewPoller()
	return &deafPoller{p, s}, err
}

type deafPoller struct {
	reactor.Poller
	s *deaf
}

func (p *deafPoller) Add(fd reactor.FD, token uint64, want reactor.Events) error {
	if p.s.on {
		return syscall.ENOMEM
	}
	return p.Poller.Add(fd, token, want)
}

// TestListenerIsPolledAgain: a system that is short of memory when a listener
// starts, or has rested, does not make it deaf for ever.
func TestListenerIsPolledAgain(t *testing.T) {
	s := &deaf{Sys: reactortest.NewSys(reactortest.Options{}), on: true}
	h := newHand(t, "tcp", reactortest.Options{}, reactor.Config{Sys: s})
	if _, err := h.sys.Dial(reactor.Address(h.ln.Endpoint())); err != nil {
		t.Fatal(err)
	}
	h.pass(time.Minute)
	s.on = false
	h.pass(time.Second)
	if n := h.r.Connections(); n != 1 {
		t.Errorf("found %d connections, wanted 1", n)
	}
}

// TestSlowerThanTheBuffer: the system reports a full socket writable only when
// much of its buffer is free. A reader that takes longer for that than the close
// timeout still gets everything, and one that stops is not waited for.
func TestSlowerThanTheBuffer(t *testing.T) {
	for _, lose := range []bool{true, false} {
		h := newHand(t, "tcp", reactortest.Options{Buffer: 60 << 10}, reactor.Config{CloseTimeout: 3 * time.Second, WriteTimeout: 3 * time.Second})
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
			h.pass(time.Second) // a quarter of the limit, when the reader was last looked at
			p.want(t, true, reactor.Timeout)
		}
	}
}

// TestLingerIsBounded: a peer that does not close is waited for as long as the
// close timeout, and counts as a connection until then.
func TestLingerIsBounded(t *testing.T) {
	h := newHand(t, "tcp", reactortest.Options{}, reactor.Config{CloseTimeout: 3 * time.Second})
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

// TestAcceptGoesOn: peers that have gone before they were accepted do not make a
// listener rest.
func TestAcceptGoesOn(t *testing.T) {
	s := &deaf{Sys: reactortest.NewSys(reactortest.Options{}), errs: []error{syscall.ECONNABORTED, syscall.EINTR}}
	newHand(t, "tcp", reactortest.Options{}, reactor.Config{Sys: s}).dial()
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
	h := newHand(t, "tcp", reactortest.Options{}, reactor.Config{})
	_, a := h.dial()
	_, b := h.dial()
	resumed := make(chan struct{})
	h.check(h.r.Loops()[0].CallFromThread(func() {
		h.check(errors.Join(a.t.RegisterProducer(&stumbler{}, false), b.t.RegisterProducer(&resumer{resumed: resumed}, false)))
	}))
	h.check(h.r.Start())
	select {
	case <-resumed:
	case <-time.After(10 * time.Second):
		t.Error("the second producer was not resumed")
	}
}
