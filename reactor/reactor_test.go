package reactor

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// protocolFuncs is a Protocol made of functions; a nil one does nothing.
type protocolFuncs struct {
	t    Transport
	made func(Transport)
	data func(Transport, []byte)
	lost func(Reason, error)
}

func (p *protocolFuncs) ConnectionMade(t Transport) {
	p.t = t
	if p.made != nil {
		p.made(t)
	}
}
func (p *protocolFuncs) DataReceived(b []byte) {
	if p.data != nil {
		p.data(p.t, b)
	}
}
func (p *protocolFuncs) ConnectionLost(r Reason, err error) {
	if p.lost != nil {
		p.lost(r, err)
	}
}

type factoryFunc func(Transport) (Protocol, error)

func (f factoryFunc) BuildProtocol(t Transport) (Protocol, error) { return f(t) }

func echo(Transport) (Protocol, error) {
	return &protocolFuncs{data: func(t Transport, b []byte) { t.Write(b) }}, nil
}

// serve starts a reactor with one listener, and ends it with the test.
func serve(t testing.TB, cfg Config, endpoint string, f Factory, o ListenOptions) (*Reactor, *Listener) {
	t.Helper()
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if n := r.Connections(); n != 0 {
			t.Errorf("%d connections left", n)
		}
	})
	ep, err := ParseEndpoint(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := r.Listen(ep, f, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	if err := ln.Start(); err != nil {
		t.Fatal(err)
	}
	return r, ln
}

func dial(t *testing.T, ln *Listener) net.Conn {
	t.Helper()
	c, err := net.Dial(ln.Endpoint().network(), ln.Endpoint().address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

// dialBriefly is dial, to a listener that may be done with a connection before its client
// knows that it has one: then it gives nil.
func dialBriefly(t *testing.T, ln *Listener) net.Conn {
	t.Helper()
	c, err := net.Dial(ln.Endpoint().network(), ln.Endpoint().address())
	switch {
	case errors.Is(err, syscall.ECONNRESET):
		return nil
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestEchoHalfClose sends much, closes its writing side while another goroutine
// reads, and wants every byte back, then end of file.
func TestEchoHalfClose(t *testing.T) {
	_, ln := serve(t, Config{Loops: 2}, "tcp://127.0.0.1:0", factoryFunc(echo), ListenOptions{Loop: -1})
	c := dial(t, ln)
	want := bytes.Repeat([]byte("0123456789abcdef"), 2<<20)
	go func() {
		if _, err := c.Write(want); err != nil {
			t.Error(err)
		}
		c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("got %d bytes back of %d", len(got), len(want))
	}
}

func TestShutdownDrains(t *testing.T) {
	lost := make(chan Reason, 1)
	f := factoryFunc(func(Transport) (Protocol, error) {
		return &protocolFuncs{data: func(t Transport, b []byte) { t.Write(b) },
			lost: func(r Reason, _ error) { lost <- r }}, nil
	})
	r, ln := serve(t, Config{Loops: 1}, "tcp://127.0.0.1:0", f, ListenOptions{Loop: -1})
	c := dial(t, ln)
	c.Write([]byte("x"))
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.Shutdown(ctx); err == nil {
		t.Error("found no error, wanted the context's")
	}
	if got := <-lost; got != ShuttingDown {
		t.Errorf("lost with %v, wanted %v", got, ShuttingDown)
	}
}

// TestPlace: Place says which loop gets a connection, but for a pinned listener's.
func TestPlace(t *testing.T) {
	placed := 0
	cfg := Config{Loops: 2, Place: func(loops int) int {
		placed++
		return (loops + placed) % loops
	}}
	for _, pinned := range []int{-1, 1} {
		made := make(chan int, 1)
		f := factoryFunc(func(Transport) (Protocol, error) {
			return &protocolFuncs{made: func(tr Transport) { made <- tr.Loop().Index() }}, nil
		})
		_, ln := serve(t, cfg, "tcp://127.0.0.1:0", f, ListenOptions{Loop: pinned})
		for n, want := range []int{1, 0, 1} {
			if pinned >= 0 {
				want = pinned
			}
			dial(t, ln)
			if got := <-made; got != want {
				t.Errorf("pinned to %d: connection %d is on loop %d, wanted %d", pinned, n, got, want)
			}
		}
	}
}
