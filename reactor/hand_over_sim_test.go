package reactor_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/internal/script"
	"github.com/wirehost/wirehost/reactor"
)

// factory makes a protocol.
type factory func(reactor.Transport) (reactor.Protocol, error)

func (f factory) BuildProtocol(t reactor.Transport) (reactor.Protocol, error) { return f(t) }

// TestHandOverToAndFro: protocols that hand a connection to each other without end hold no loop.
func TestHandOverToAndFro(t *testing.T) {
	h := newHand(t, "tcp", memnet.Options{}, reactor.Config{})
	_, p := h.dial()
	other, quiet := h.dial()
	hands := 0
	var again factory
	again = func(reactor.Transport) (reactor.Protocol, error) {
		q := &told{h: &hand{}}
		q.h.made = func(q *told) {
			hands++
			if err := q.t.HandOver(reactor.Destination{Factory: again, Loop: -1}, nil); err != nil {
				t.Error(err)
			}
		}
		return q, nil
	}
	h.check(h.r.Loops()[0].CallFromThread(func() {
		if err := p.t.HandOver(reactor.Destination{Factory: again, Loop: -1}, nil); err != nil {
			t.Error(err)
		}
	}))
	n, err := other.Write([]byte("x"))
	if n != 1 || err != nil {
		t.Fatal(n, err)
	}
	const turns = 20
	for range turns {
		h.r.Step()
	}
	if len(quiet.events) == 0 {
		t.Error("another connection was not heard")
	}
	if hands == 0 || hands > turns {
		t.Errorf("found %d hand-overs in %d turns, wanted one in each", hands, turns)
	}
	p.want(t, true, reactor.HandedOver)
}

// TestHandOverTooMuch: what is not delivered is bounded over any number of hand-overs.
func TestHandOverTooMuch(t *testing.T) {
	h := newHand(t, "tcp", memnet.Options{}, reactor.Config{})
	_, p := h.dial()
	part := make([]byte, reactor.MaxUnread/2)
	var last *told
	next := factory(func(reactor.Transport) (reactor.Protocol, error) {
		last = &told{h: &hand{}}
		last.h.made = func(q *told) { q.t.PauseProducing() }
		return last, nil
	})
	give := func(p *told, first []byte) (err error) {
		h.do(func() { err = p.t.HandOver(reactor.Destination{Factory: next, Loop: -1}, first) })
		return err
	}
	h.check(give(p, part))
	h.check(give(last, part))
	if err := give(last, part[:1]); !errors.Is(err, reactor.ErrOverLimit) {
		t.Errorf("found %v, wanted %v", err, reactor.ErrOverLimit)
	}
	got := 0
	last.onData = func(b []byte) { got += len(b) }
	h.do(func() { last.t.ResumeProducing() })
	if got != reactor.MaxUnread {
		t.Errorf("found %d bytes, wanted %d", got, reactor.MaxUnread)
	}
	last.want(t, false, 0)
}

// TestHandOverEnds: what ends a connection between the call and the next protocol.
func TestHandOverEnds(t *testing.T) {
	for name, end := range map[string]func(p *told, peer *memnet.Peer){
		"aborted by another": func(p *told, _ *memnet.Peer) { p.t.Abort(reactor.ProtocolFailed, nil) },
		"a panic":            func(*told, *memnet.Peer) { panic("told to") },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHand(t, "tcp", memnet.Options{}, reactor.Config{})
			peer, p := h.dial()
			p.onData = func([]byte) {
				err := p.t.HandOver(reactor.Destination{Factory: factory(func(reactor.Transport) (reactor.Protocol,
					error) {
					t.Error("it is built")
					return nil, errors.New("not wanted")
				}), Loop: -1}, nil)
				if err != nil {
					t.Error(err)
				}
				end(p, peer)
			}
			h.send(peer, []byte("x"))
			p.want(t, true, reactor.ProtocolFailed)
		})
	}
}

// hopper hands its connection to the other loop for each byte that comes, and echoes the rest.
type hopper struct {
	hops *chan int
	t    reactor.Transport
}

func (p *hopper) ConnectionMade(t reactor.Transport) {
	p.t = t
	*p.hops <- t.Loop().Index()
}
func (p *hopper) ConnectionLost(reactor.Reason, error) {}
func (p *hopper) DataReceived(b []byte) {
	_, _ = p.t.Write(b[:1]) // the test misses it
	to := reactor.Destination{Loop: 1 - p.t.Loop().Index(),
		Factory: factory(func(reactor.Transport) (reactor.Protocol, error) { return &hopper{hops: p.hops}, nil })}
	if p.t.HandOver(to, b[1:]) != nil {
		p.t.AbortConnection()
	}
}

// TestHandOverChangesLoops: a connection goes from loop to loop, with its queue and what has
// come for it.
func TestHandOverChangesLoops(t *testing.T) {
	for _, sys := range []string{"epoll", "portable", "memory"} {
		t.Run(sys, func(t *testing.T) {
			if sys == "epoll" && !reactor.HasEpoll {
				t.Skip("there is no epoll")
			}
			cfg := reactor.Config{Loops: 2, Backend: sys}
			dial := func(network, address string) (net.Conn, error) { return net.Dial(network, address) }
			if sys == "memory" {
				m := memnet.New(memnet.Options{})
				cfg.Backend, cfg.Sys = "", m
				dial = func(network, address string) (net.Conn, error) {
					p, err := m.Dial(network, address)
					if err != nil {
						return nil, err
					}
					return p.Conn(), nil
				}
			}
			const conns, hops = 20, 50
			made := make(chan int, conns*(hops+1))
			r, err := reactor.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			ln, err := r.Listen(reactor.Endpoint{Scheme: "tcp", Host: "127.0.0.1"}, factory(
				func(reactor.Transport) (reactor.Protocol, error) { return &hopper{hops: &made}, nil }),
				reactor.ListenOptions{Loop: -1})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(r.Start(), ln.Start()); err != nil {
				t.Fatal(err)
			}
			failed := make(chan error, conns)
			for range conns {
				c, err := dial(reactor.Address(ln.Endpoint()))
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				go func() { failed <- hop(c, hops) }()
			}
			for range conns {
				if err := <-failed; err != nil {
					t.Error(err)
				}
			}
			seen := [2]int{}
			for range conns * hops {
				seen[<-made]++
			}
			if seen[0] == 0 || seen[1] == 0 {
				t.Errorf("found %v protocols by loop, wanted some on each", seen)
			}
			if n := r.Connections(); n != conns {
				t.Errorf("found %d connections, wanted %d", n, conns)
			}
			if n := ln.Stats().Connections; n != conns {
				t.Errorf("found %d connections of the listener, wanted %d", n, conns)
			}
		})
	}
}

// hop sends bytes, and wants them back.
func hop(c net.Conn, n int) error {
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	want := script.Pattern(0, n)
	if _, err := c.Write(want); err != nil {
		return err
	}
	got := make([]byte, n)
	if k, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		return fmt.Errorf("found %d bytes, %w, wanted %d", k, err, n)
	}
	return nil
}
