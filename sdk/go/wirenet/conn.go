package wirenet

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// Conn is a connection, as goroutines use it. Its methods may be called from
// several at a time, as those of a net.TCPConn.
type Conn struct {
	server *Server
	local  net.Addr
	remote net.Addr

	inbox              // closed: Close was called
	writable sync.Cond // out, fault, closed or writing changed
	eof      bool      // nothing comes behind in
	fault    error     // how the connection ended; nil while it lasts
	out      []byte    // written, not yet handed to the server
	writer   bool      // a Write is under way; others wait for it
	awaiting int       // goroutines that wait for writable
	finished bool      // CloseWrite was called
	aborted  bool      // Abort was called
	ended    bool      // the server told its end
	reading  deadline
	writing  deadline
	dial     *dial     // of an outgoing connection until it is made
	listener *Listener // of an accepted one

	posted    bool                // listed in server.work
	transport *wirehost.Transport // from here on the callbacks' goroutine's own
	full      bool                // the server holds enough: wait for ResumeProducing
	producer  bool                // registered
	halved    bool                // LoseWriteConnection was called
	losing    bool                // LoseConnection or AbortConnection was called
}

func (s *Server) newConn() *Conn {
	c := &Conn{server: s}
	c.readable.L, c.writable.L = &s.mu, &s.mu
	c.reading.owner, c.writing.owner = c, c
	return c
}

// post asks for the callbacks' goroutine. mu is held.
func (c *Conn) post() {
	if !c.posted && !c.ended {
		c.posted = true
		c.server.work = append(c.server.work, c)
		c.server.stir()
	}
}

// error puts err in the words of package net.
func (c *Conn) error(op string, err error) error {
	network := "tcp"
	if c.local != nil {
		network = c.local.Network()
	}
	return &net.OpError{Op: op, Net: network, Source: c.local, Addr: c.remote, Err: err}
}

// Read waits for bytes, the peer's end (io.EOF), the deadline
// (os.ErrDeadlineExceeded), Close (net.ErrClosed) or the loss of the connection
// (a LostError). What came before the end or the loss is read first.
func (c *Conn) Read(p []byte) (int, error) {
	c.server.mu.Lock()
	n, err := c.read(p)
	c.server.mu.Unlock() // a defer costs a guest more than all of read
	return n, err
}

// read is Read. mu is held.
func (c *Conn) read(p []byte) (int, error) {
	for {
		switch {
		case c.closed:
			return 0, c.error("read", net.ErrClosed)
		case c.reading.expired:
			return 0, c.error("read", os.ErrDeadlineExceeded)
		case len(p) == 0:
			return 0, nil
		case len(c.in) > 0:
			n := copy(p, c.in)
			c.take(c.in[n:])
			if c.paused && c.hungry(c.server) {
				c.post()
			}
			return n, nil
		case c.eof:
			return 0, io.EOF
		case c.fault != nil:
			return 0, c.error("read", c.fault)
		}
		c.readable.Wait()
	}
}

// Write hands p to the server, and waits while that and the connection hold
// enough. As with a socket, that it returned does not mean that the peer has
// got it. Close sends what was written; Abort does not.
func (c *Conn) Write(p []byte) (n int, err error) {
	c.server.mu.Lock()
	for c.writer && err == nil {
		if err = c.unwritable(); err == nil {
			c.await()
		}
	}
	if err == nil {
		c.writer = true
		n, err = c.write(p)
		c.writer = false
		c.wakeWriters()
	}
	c.server.mu.Unlock()
	return n, err
}

// await waits for a change of what can be written. mu is held.
func (c *Conn) await() {
	c.awaiting++
	c.writable.Wait()
	c.awaiting--
}

// wakeWriters wakes who waits for it. mu is held.
func (c *Conn) wakeWriters() {
	if c.awaiting > 0 {
		c.writable.Broadcast()
	}
}

// write is Write, when its turn has come. mu is held.
func (c *Conn) write(p []byte) (n int, err error) {
	for {
		if err := c.unwritable(); err != nil {
			return n, err
		}
		if n == len(p) {
			return n, nil
		}
		room := c.server.options.WriteBuffer - len(c.out)
		if room <= 0 {
			c.await()
			continue
		}
		piece := p[n:min(len(p), n+room)]
		c.out = append(c.server.buffer(c.out), piece...)
		n += len(piece)
		c.post()
	}
}

// unwritable is why nothing can be written now.
func (c *Conn) unwritable() error {
	switch {
	case c.closed:
		return c.error("write", net.ErrClosed)
	case c.writing.expired:
		return c.error("write", os.ErrDeadlineExceeded)
	case c.fault != nil:
		return c.error("write", c.fault)
	case c.finished, c.ended:
		return c.error("write", syscall.EPIPE)
	}
	return nil
}

// Close sends what was written and closes the connection. Who reads or writes
// gets net.ErrClosed.
func (c *Conn) Close() error {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	if c.closed {
		return c.error("close", net.ErrClosed)
	}
	c.close()
	return nil
}

// Abort drops what was written and not sent, and resets the connection.
func (c *Conn) Abort() error {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	if c.aborted || c.closed && c.ended {
		return c.error("close", net.ErrClosed)
	}
	c.aborted, c.out = true, nil
	c.close()
	return nil
}

// close is Close. mu is held.
func (c *Conn) close() {
	c.closed = true
	c.in = nil
	c.settleDeadlines()
	c.post()
}

// settleDeadlines takes the deadlines away, and wakes who waits. mu is held.
func (c *Conn) settleDeadlines() {
	c.server.dropDeadline(&c.reading)
	c.server.dropDeadline(&c.writing)
	c.wake()
}

// wake wakes who reads and who writes. mu is held.
func (c *Conn) wake() {
	c.readable.Broadcast()
	c.wakeWriters()
}

// CloseWrite sends what was written and closes the writing side: the peer
// reads the end of the stream, and what it sends still comes.
func (c *Conn) CloseWrite() error {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	switch {
	case c.closed:
		return c.error("close", net.ErrClosed)
	case c.fault != nil:
		return c.error("close", c.fault)
	}
	c.finished = true
	c.wakeWriters()
	c.post()
	return nil
}

// LocalAddr is a *net.TCPAddr or *net.UnixAddr.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is a *net.TCPAddr or *net.UnixAddr.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *Conn) SetDeadline(t time.Time) error { return c.deadline(t, &c.reading, &c.writing) }

// SetReadDeadline ends Reads with os.ErrDeadlineExceeded from t on, those that
// wait now too; a t that has passed does so at once, the zero t never.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.deadline(t, &c.reading) }

// SetWriteDeadline is the same for Writes.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.deadline(t, &c.writing) }

func (c *Conn) deadline(t time.Time, list ...*deadline) (err error) {
	s := c.server
	s.mu.Lock()
	if c.closed {
		err = c.error("set", net.ErrClosed)
	} else {
		s.setDeadlines(t, list...)
	}
	s.mu.Unlock()
	return err
}
