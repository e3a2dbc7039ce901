package main

// This file joins examples/http for BenchmarkServer: its server over connections
// in the guest's own memory, with no wirenet and no server outside.

import (
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"time"
)

var bare struct {
	conns []*bareConn
	next  int
}

// bareConn is a connection that gives a request each time it is asked to.
type bareConn struct {
	mu       sync.Mutex
	readable sync.Cond
	in       string
	expired  bool // the deadline for reading has passed
	answers  int
}

func (c *bareConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.in == "" {
		if c.expired {
			return 0, os.ErrDeadlineExceeded
		}
		c.readable.Wait()
	}
	n := copy(p, c.in)
	c.in = c.in[n:]
	return n, nil
}

func (c *bareConn) Write(p []byte) (int, error) {
	c.answers++
	return len(p), nil
}

func (c *bareConn) Close() error                     { return nil }
func (c *bareConn) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }
func (c *bareConn) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5000} }
func (c *bareConn) SetDeadline(time.Time) error      { return nil }
func (c *bareConn) SetWriteDeadline(time.Time) error { return nil }

// SetReadDeadline ends a Read if t has passed, as net/http's server needs it; others do
// not come in the time that the benchmark takes.
func (c *bareConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expired = !t.IsZero() && !t.After(time.Now())
	if c.expired {
		c.readable.Broadcast()
	}
	return nil
}

// bareListener gives the connections of a channel.
type bareListener chan net.Conn

func (l bareListener) Accept() (net.Conn, error) {
	c, ok := <-l
	if !ok {
		return nil, io.EOF
	}
	return c, nil
}
func (l bareListener) Close() error   { return nil }
func (l bareListener) Addr() net.Addr { return &net.TCPAddr{} }

// bareStart starts the server with so many connections.
//
//go:wasmexport bareStart
func bareStart(conns int32) {
	server := &http.Server{Handler: routes(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	l := make(bareListener, conns)
	go server.Serve(l)
	for range conns {
		c := &bareConn{}
		c.readable.L = &c.mu
		bare.conns = append(bare.conns, c)
		l <- c
	}
	runtime.Gosched()
}

// bareRequest has the next connection ask, and waits for its answer.
//
//go:wasmexport bareRequest
func bareRequest() {
	c := bare.conns[bare.next]
	bare.next = (bare.next + 1) % len(bare.conns)
	before := c.answers
	c.in = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	c.readable.Signal()
	for c.answers == before {
		runtime.Gosched()
	}
}
