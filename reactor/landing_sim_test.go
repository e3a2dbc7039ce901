package reactor_test

import (
	"bytes"
	"testing"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/reactor"
)

// landing is a protocol of a connection inside the process, with a buffer of 1 KiB to which
// the other end's writes go, or, where it is dry, from which the loop reads alone.
type landing struct {
	told
	dry bool
	buf [1 << 10]byte
	got []byte
}

func newLanding() *landing { return &landing{told: told{h: &hand{}}} }

func (p *landing) ReceiveBuffer() []byte { return p.buf[:] }

func (p *landing) LandingBuffer() []byte {
	if p.dry {
		return nil
	}
	return p.buf[:]
}

func (p *landing) DataReceived(b []byte) {
	p.got = append(p.got, b...)
	p.told.DataReceived(b)
}

func (p *landing) ConnectionFailed(reason reactor.Reason, err error) { p.ConnectionLost(reason, err) }

// inside connects two of them, of which server takes share's time.
func (h *hand) inside(client, server *landing, share *reactor.Share) {
	h.t.Helper()
	ln, err := h.r.ListenInside("server", factory(func(reactor.Transport) (reactor.Protocol, error) {
		return server, nil
	}), reactor.ListenOptions{Loop: -1, Share: func(*reactor.Loop) *reactor.Share { return share }})
	h.check(err)
	h.do(func() {
		h.r.Loops()[0].ConnectInside(ln, "server", client, reactor.ConnectOptions{From: "client"})
	})
	if client.t == nil || server.t == nil {
		h.t.Fatalf("not connected: %v, %v", client.reason, client.err)
	}
}

// TestHandOverBehindWrite: what was written before a connection is handed over is not lost, also
// where it lies in the other protocol's buffer.
func TestHandOverBehindWrite(t *testing.T) {
	h := newHand(t, "tcp", memnet.Options{}, reactor.Config{})
	client, server, next := newLanding(), newLanding(), newLanding()
	h.inside(client, server, nil)
	next.h.made = func(p *told) {
		if _, err := p.t.Write([]byte(" behind")); err != nil {
			t.Error(err)
		}
	}
	h.do(func() {
		if _, err := server.t.Write([]byte("before,")); err != nil {
			t.Error(err)
		}
		if err := server.t.HandOver(reactor.Destination{Loop: -1, Factory: factory(
			func(reactor.Transport) (reactor.Protocol, error) { return next, nil })}, nil); err != nil {
			t.Error(err)
		}
	})
	if string(client.got) != "before, behind" {
		t.Errorf("found %q", client.got)
	}
	h.do(func() { next.t.LoseConnection(); client.t.LoseConnection() })
	client.want(t, true, reactor.Done)
	server.want(t, true, reactor.HandedOver)
}

// last is a push producer that writes a last piece when it is to go on.
type last struct {
	t      reactor.Transport
	paused bool
}

func (p *last) PauseProducing() { p.paused = true }
func (p *last) StopProducing()  {}
func (p *last) ResumeProducing() {
	_, _ = p.t.Write([]byte("the end")) // the test misses it
	p.t.UnregisterProducer()
	p.t.LoseConnection()
}

// TestLandedBeforeClose: a close waits for what lies in the other protocol's buffer.
func TestLandedBeforeClose(t *testing.T) {
	h := newHand(t, "tcp", memnet.Options{}, reactor.Config{HighWater: 1 << 10, LowWater: 1})
	client, server := newLanding(), newLanding()
	share := h.r.Loops()[0].NewShare()
	h.inside(client, server, share)
	producer := &last{t: server.t}
	much := bytes.Repeat([]byte("x"), 100<<10)
	h.do(func() {
		client.t.PauseProducing()
		if err := server.t.RegisterProducer(producer, true); err != nil {
			t.Error(err)
		}
		if _, err := server.t.Write(much); err != nil {
			t.Error(err)
		}
	})
	if !producer.paused {
		t.Fatal("the producer is not paused")
	}
	l := h.r.Loops()[0]
	h.check(l.CallFromThread(func() {
		share.Hold() // so that all is read before the producer goes on
		client.t.ResumeProducing()
	}))
	for n := 0; len(client.got) < len(much); n++ {
		if h.r.Step(); n > 10_000 {
			t.Fatalf("found %d bytes", len(client.got))
		}
	}
	h.do(share.Release)
	if string(client.got[len(much):]) != "the end" {
		t.Errorf("found %q behind what was queued", client.got[len(much):])
	}
	h.do(func() { client.t.LoseConnection() })
	client.want(t, true, reactor.Done)
	server.want(t, true, reactor.Done)
}

// TestLandedAndAborted: of what an end has written that then drops its output, the other one gets
// nothing: not what was queued behind what had landed, either, where the end is told late.
func TestLandedAndAborted(t *testing.T) {
	h := newHand(t, "tcp", memnet.Options{}, reactor.Config{})
	client, server := newLanding(), newLanding()
	share := h.r.Loops()[0].NewShare()
	h.inside(client, server, share)
	h.check(h.r.Loops()[0].CallFromThread(func() {
		share.Hold()
		if _, err := server.t.Write(bytes.Repeat([]byte("x"), 3*len(client.buf)/2)); err != nil {
			t.Error(err)
		}
		server.t.AbortConnection()
	}))
	for range 10 { // while it is held, they spin
		h.r.Step()
	}
	h.do(share.Release)
	if len(client.got) > 0 {
		t.Errorf("found %d bytes, wanted none", len(client.got))
	}
	client.want(t, true, reactor.Lost)
	server.want(t, true, reactor.Aborted)
}

// TestLandedAndFrozen: what was written before one of the ends is frozen comes, though its bytes lie
// in the other protocol's buffer.
func TestLandedAndFrozen(t *testing.T) {
	for _, frozen := range []func(client, server *landing) reactor.Transport{
		func(client, _ *landing) reactor.Transport { return client.t },
		func(_, server *landing) reactor.Transport { return server.t },
	} {
		landedAndFrozen(t, frozen)
	}
}

func landedAndFrozen(t *testing.T, which func(client, server *landing) reactor.Transport) {
	t.Helper()
	h := newHand(t, "tcp", memnet.Options{}, reactor.Config{})
	client, server := newLanding(), newLanding()
	h.inside(client, server, nil)
	l := h.r.Loops()[0]
	h.do(func() {
		if _, err := server.t.Write([]byte("before")); err != nil {
			t.Error(err)
		}
		if _, err := l.Freeze(which(client, server)); err != nil {
			t.Error(err)
		}
	})
	h.do(func() { l.Thaw(which(client, server)) })
	if string(client.got) != "before" {
		t.Errorf("found %q, wanted what was written before", client.got)
	}
	h.do(func() { server.t.LoseConnection(); client.t.LoseConnection() })
	client.want(t, true, reactor.Done)
	server.want(t, true, reactor.Done)
}

// TestLinkBehindPanic: a panic of another connection's protocol costs a connection inside the
// process no byte.
func TestLinkBehindPanic(t *testing.T) {
	h := newHand(t, "tcp", memnet.Options{}, reactor.Config{})
	_, other := h.dial()
	other.onLost = func() { panic("told to") }
	client, server := newLanding(), newLanding()
	server.dry = true
	h.inside(client, server, nil)
	server.onData = func([]byte) { other.t.AbortConnection() }
	much := bytes.Repeat([]byte("x"), 10*len(server.buf))
	h.do(func() {
		if _, err := client.t.Write(much); err != nil {
			t.Error(err)
		}
	})
	h.steps() // the panic has ended a turn
	if !other.lost || !bytes.Equal(server.got, much) {
		t.Errorf("found %d bytes, wanted %d; the other is lost: %t", len(server.got), len(much), other.lost)
	}
}
