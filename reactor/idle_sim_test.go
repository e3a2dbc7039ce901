package reactor_test

import (
	"errors"
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/reactor"
)

// losses notes why its connection ended.
type losses struct{ why *[]reactor.Reason }

func (p losses) ConnectionMade(reactor.Transport)              {}
func (p losses) DataReceived([]byte)                           {}
func (p losses) ConnectionLost(reason reactor.Reason, _ error) { *p.why = append(*p.why, reason) }

func (p losses) BuildProtocol(reactor.Transport) (reactor.Protocol, error) { return p, nil }

// TestCloseIdle: those that have waited longest go first, and active ones stay.
func TestCloseIdle(t *testing.T) {
	sys := memnet.New(memnet.Options{})
	r, err := reactor.New(reactor.Config{Loops: 1, Sys: sys})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var why []reactor.Reason
	ln, err := r.Listen(reactor.Endpoint{Scheme: "tcp", Host: "127.0.0.1"}, losses{&why},
		reactor.ListenOptions{Loop: -1})
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Start(); err != nil {
		t.Fatal(err)
	}
	steps := func() {
		for r.Step() {
		}
	}
	var peers []*memnet.Peer
	for range 4 {
		p, err := sys.Dial("tcp", ln.Endpoint().String()[len("tcp://"):])
		if err != nil {
			t.Fatal(err)
		}
		peers = append(peers, p)
		steps()
		sys.Advance(time.Second)
	}
	if _, err := peers[0].Write([]byte("x")); err != nil { // no longer the oldest
		t.Fatal(err)
	}
	steps()
	l, closed := r.Loops()[0], 0
	for _, want := range []int{2, 0} { // of three that are idle, two are asked for; the third is not idle enough
		if err := l.CallFromThread(func() { closed = l.CloseIdle(2, 2*time.Second, errors.New("idle")) }); err != nil {
			t.Fatal(err)
		}
		steps()
		if closed != want {
			t.Fatalf("%d were closed, wanted %d", closed, want)
		}
	}
	if len(why) != 2 || why[0] != reactor.OverLimit {
		t.Errorf("ended: %v", why)
	}
	for n, want := range []bool{true, false, false, true} {
		_, err := peers[n].Write([]byte("x"))
		if (err == nil) != want {
			t.Errorf("connection %d: %v", n, err)
		}
	}
}
