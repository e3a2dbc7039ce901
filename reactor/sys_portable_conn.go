package reactor

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	// portableSmall is the buffer with which an idle connection is read, and
	// portableLarge the one for a connection that has just filled the last.
	portableSmall, portableLarge = 1 << 10, 64 << 10
	// portableAhead is what is read ahead of the protocol, in bytes of
	// buffers; a peer that sends more is held back by the system. It is also
	// how far behind unread bytes a FIN or a reset is seen.
	portableAhead = 64 << 10
	// portableBehind is what a socket takes and writes behind.
	portableBehind = 64 << 10
	// portablePiece is what one write of package net gets. After each there
	// is progress to be seen, and this much room makes a socket writable.
	portablePiece = 16 << 10
	// portableRest is how long a large buffer waits for bytes.
	portableRest = 100 * time.Millisecond
)

// portableBufs lends the buffers of one Sys, in the two sizes.
type portableBufs struct{ small, large sync.Pool }

// portableBuf is a buffer and the part of it that is filled and not taken.
type portableBuf struct {
	b    []byte
	r, w int
}

func (s *portableBufs) get(large bool) *portableBuf {
	pool, size := &s.small, portableSmall
	if large {
		pool, size = &s.large, portableLarge
	}
	if b, ok := pool.Get().(*portableBuf); ok {
		return b
	}
	return &portableBuf{b: make([]byte, size)}
}

func (s *portableBufs) put(b *portableBuf) {
	b.r, b.w = 0, 0
	if len(b.b) == portableLarge {
		s.large.Put(b)
	} else {
		s.small.Put(b)
	}
}

// portableStream is a connection, or one that is being made.
type portableStream struct {
	readiness
	sys    *portableSys
	conn   net.Conn // nil while dialing; set once
	cancel context.CancelFunc

	dialing bool
	closed  bool
	givenUp bool  // the writer is to end
	err     error // a failure that is to be told, once
	dead    bool  // failed: nothing more can be sent

	in      []*portableBuf // read and not taken
	ahead   int            // bytes of their buffers
	reading bool           // readIn runs
	eof     bool           // the peer's end of file, behind in; or a failure's

	out      []byte // taken and not yet with the writer
	behind   int    // bytes of out and of what the writer has
	held     int    // of a closed socket: what the system had to send
	writing  bool   // writeOut runs
	shut     bool   // ShutdownWrite was called
	shutDone bool

	halted chan struct{} // not nil: of halt, closed when the goroutines have ended
}

func (c *portableStream) attach(reg *registration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.set(reg) {
		return false
	}
	if reg != nil {
		c.startRead()
	}
	return true
}

func (c *portableStream) events() Events {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dialing {
		return 0
	}
	var ev Events
	if len(c.in) > 0 || c.eof {
		ev |= ReadEvent
	}
	if c.eof {
		ev |= FinEvent
	}
	if c.dead || portableBehind-c.behind >= portablePiece {
		ev |= WriteEvent
	}
	if c.eof && (c.dead || c.shutDone) {
		ev |= HangupEvent
	}
	// While the reader runs it brings the bytes that came before the failure.
	if c.err != nil && !c.reading {
		ev |= ErrorEvent
	}
	return ev
}

// takeDialed takes Connect's outcome.
func (c *portableStream) takeDialed(conn net.Conn, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dialing = false
	if c.closed {
		if err == nil {
			conn.Close() // nobody has it
		}
		return
	}
	if err != nil {
		c.err, c.dead, c.eof = portableErrno(err), true, true
	} else {
		c.conn = conn
		if c.reg != nil {
			c.startRead()
		}
	}
	c.changed()
}

func (c *portableStream) connectResult() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dialing {
		return syscall.EINPROGRESS
	}
	if c.conn == nil {
		return c.takeErrorLocked()
	}
	return nil
}

func (c *portableStream) takeErrorLocked() error {
	err := c.err
	c.err = nil
	return err
}

func (c *portableStream) takeError() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.takeErrorLocked()
}

func (c *portableStream) netConn() net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn
}

func (c *portableStream) netSocket() any { return c.netConn() }

func (c *portableStream) addr() net.Addr {
	if conn := c.netConn(); conn != nil {
		return conn.LocalAddr()
	}
	return nil
}

func (c *portableStream) read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil && c.err == nil {
		return 0, syscall.ENOTCONN
	}
	n := 0
	for n < len(p) && len(c.in) > 0 {
		b := c.in[0]
		k := copy(p[n:], b.b[b.r:b.w])
		n += k
		b.r += k
		if b.r == b.w {
			c.in = c.in[:copy(c.in, c.in[1:])]
			c.ahead -= len(b.b)
			c.sys.bufs.put(b)
		}
	}
	if len(c.in) == 0 {
		c.in = nil
	}
	c.startRead()
	switch {
	case n > 0:
		return n, nil
	case c.err != nil && !c.reading:
		return 0, c.takeErrorLocked()
	case c.eof:
		return 0, nil
	}
	return 0, syscall.EAGAIN
}

// startRead reads on where there is room and nobody does. mu is held.
func (c *portableStream) startRead() {
	if c.reading || c.eof || c.closed || c.conn == nil || c.halted != nil || c.ahead >= portableAhead {
		return
	}
	c.reading = true
	go c.readIn()
}

// readIn reads ahead until there is no more room, or no more to come.
func (c *portableStream) readIn() {
	large := false
	for {
		b := c.sys.bufs.get(large)
		if large {
			c.readDeadline(portableRest)
		}
		n, err := c.conn.Read(b.b)
		if large {
			c.readDeadline(0)
		}
		c.mu.Lock()
		timedOut := (large || c.halted != nil) && err != nil && errors.Is(portableErrno(err), syscall.ETIMEDOUT) &&
			!c.closed
		large = n == len(b.b)
		more := c.queueRead(b, n) && c.halted == nil
		if err != nil && !timedOut {
			more = false
			c.noteReadEnd(err)
		}
		if !more {
			c.reading = false
			c.noteHalt()
		}
		if n > 0 || !more {
			c.changed()
		}
		c.mu.Unlock()
		if !more {
			return
		}
	}
}

// readDeadline limits the next read, unless Close has ended it already.
func (c *portableStream) readDeadline(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.halted != nil {
		return
	}
	var t time.Time
	if d > 0 {
		t = time.Now().Add(d)
	}
	c.conn.SetReadDeadline(t) // fails on a closed socket only, which the read tells
}

// queueRead queues n bytes that were read into b, and reports whether there is
// room for more. Small pieces share a buffer. mu is held.
func (c *portableStream) queueRead(b *portableBuf, n int) (more bool) {
	if c.closed || n == 0 {
		c.sys.bufs.put(b)
		return !c.closed
	}
	if k := len(c.in); k > 0 && len(c.in[k-1].b)-c.in[k-1].w >= n {
		last := c.in[k-1]
		last.w += copy(last.b[last.w:], b.b[:n])
		c.sys.bufs.put(b)
		return true
	}
	b.w = n
	c.in = append(c.in, b)
	c.ahead += len(b.b)
	return c.ahead < portableAhead
}

// noteReadEnd takes the reader's end of file or failure. mu is held.
func (c *portableStream) noteReadEnd(err error) {
	c.eof = true
	errno := portableErrno(err)
	if errors.Is(err, io.EOF) || c.closed && errors.Is(errno, syscall.ETIMEDOUT) {
		// The latter is Close's doing: the writer goes on.
		return
	}
	c.dead = true
	if c.err == nil && !c.closed {
		c.err = errno
	}
}

// close ends the socket: at once, or when the writer is done. No lock is held
// over net's Close, which waits for the reader to let go.
func (c *portableStream) close(reset bool) error {
	c.mu.Lock()
	c.closed = true
	for _, b := range c.in {
		c.sys.bufs.put(b)
	}
	c.in = nil
	conn, later := c.conn, c.writing && !c.dead && !reset
	switch {
	case conn == nil:
		c.mu.Unlock()
		c.cancel()
		return nil
	case later:
		c.sys.stillSending(c)
		conn.SetReadDeadline(past) // the reader ends
		c.extend()
		c.mu.Unlock()
		return nil
	case reset:
		c.dead = true // the writer ends
		if tcp, ok := conn.(*net.TCPConn); ok {
			tcp.SetLinger(0) // fails on a dead socket only
		}
	}
	c.mu.Unlock()
	return conn.Close()
}
