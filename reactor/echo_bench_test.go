package reactor_test

import (
	"testing"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/reactor"
)

// echoing is a protocol that writes what came.
type echoing struct{ t reactor.Transport }

func (e *echoing) ConnectionMade(t reactor.Transport)         { e.t = t }
func (e *echoing) DataReceived(p []byte)                      { _, _ = e.t.Write(p) } // the peer sees what is missing
func (e *echoing) ConnectionLost(_ reactor.Reason, err error) {}

type echoingAll struct{}

func (echoingAll) BuildProtocol(reactor.Transport) (reactor.Protocol, error) { return &echoing{}, nil }

// echoServer is a reactor over memory, to be stepped.
func echoServer(b *testing.B) (sys *memnet.Sys, r *reactor.Reactor, address string) {
	b.Helper()
	sys = memnet.New(memnet.Options{})
	r, err := reactor.New(reactor.Config{Loops: 1, Sys: sys})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { r.Close() })
	ln, err := r.Listen(reactor.Endpoint{Scheme: "tcp", Host: "127.0.0.1"}, echoingAll{},
		reactor.ListenOptions{Loop: -1})
	if err != nil {
		b.Fatal(err)
	}
	if err := ln.Start(); err != nil {
		b.Fatal(err)
	}
	return sys, r, ln.Endpoint().String()[len("tcp://"):]
}

// BenchmarkEcho is a turn in which one connection is read and answered: the
// loop's own cost, with that of the network in memory.
func BenchmarkEcho(b *testing.B) {
	sys, r, address := echoServer(b)
	p, err := sys.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Write(buf); err != nil {
			b.Fatal(err)
		}
		for r.Step() {
		}
		if n, err := p.Read(buf); n != len(buf) {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkConnection is a connection's whole life: it is accepted, made, and
// closed by its peer.
func BenchmarkConnection(b *testing.B) {
	sys, r, address := echoServer(b)
	b.ReportAllocs()
	for b.Loop() {
		p, err := sys.Dial("tcp", address)
		if err != nil {
			b.Fatal(err)
		}
		for r.Step() {
		}
		p.Close()
		for r.Step() {
		}
	}
}
