package reactortest

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/wirehost/wirehost/reactor"
)

// DialInside connects to a listener of Reactor.ListenInside, from a protocol on loop l, as
// if it were a socket: what is sent before the other protocol is there is kept.
func DialInside(l *reactor.Loop, ln *reactor.Listener) (net.Conn, error) {
	c := &insideConn{loop: l}
	c.changed.L = &c.mu
	err := l.CallFromThread(func() {
		c.t = l.ConnectInside(ln, ln.Endpoint().Path, c, reactor.ConnectOptions{From: "test"})
	})
	done := make(chan struct{})
	if err == nil { // a refusal is told between the two
		err = l.CallFromThread(func() { close(done) })
	}
	if err != nil {
		return nil, err
	}
	<-done
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused != nil {
		return nil, c.refused
	}
	return c, nil
}

// insideConn is a net.Conn whose end is a protocol.
type insideConn struct {
	loop *reactor.Loop
	t    reactor.Transport // of the loop
	made bool              // of the loop
	todo []func()          // of the loop: until then

	mu       sync.Mutex
	changed  sync.Cond
	in       []byte
	reading  bool  // the loop was told to read
	end      error // of reading, behind in
	failed   error
	refused  error
	writing  bool // what was written last is not all taken
	closed   bool
	deadline time.Time
}

func (c *insideConn) ConnectionMade(t reactor.Transport) {
	c.t, c.made = t, true
	c.t.PauseProducing() // until somebody reads
	for _, do := range c.todo {
		do()
	}
	c.todo = nil
}

func (c *insideConn) ConnectionFailed(reason reactor.Reason, err error) {
	c.ConnectionLost(reason, err)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = err
}

func (c *insideConn) DataReceived(p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in = append(c.in, p...)
	c.reading = false
	c.t.PauseProducing()
	c.changed.Broadcast()
}

func (c *insideConn) ReadConnectionLost() { c.endReading(io.EOF) }

func (c *insideConn) WriteConnectionLost() {}

func (c *insideConn) endReading(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end == nil {
		c.end = err
	}
	c.changed.Broadcast()
}

func (c *insideConn) ConnectionLost(reason reactor.Reason, _ error) {
	if reason == reactor.Done || reason == reactor.ShuttingDown { // its own end of the loop, not the other one
		c.endReading(io.EOF)
	} else {
		c.endReading(syscall.ECONNRESET)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = syscall.EPIPE
	c.writing = false
	c.changed.Broadcast()
}

// PauseProducing does not come to a pull producer.
func (c *insideConn) PauseProducing() {}

// ResumeProducing comes when all is taken that was written.
func (c *insideConn) ResumeProducing() {
	c.t.UnregisterProducer()
	c.StopProducing()
}

func (c *insideConn) StopProducing() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing = false
	c.changed.Broadcast()
}

// do has fn done on the loop, once there is a connection.
func (c *insideConn) do(fn func()) error {
	return c.loop.CallFromThread(func() {
		if c.made {
			fn()
			return
		}
		c.todo = append(c.todo, fn)
	})
}

// wait waits until ready, or until the deadline. mu is held.
func (c *insideConn) wait(ready func() bool) error {
	if end := c.deadline; !end.IsZero() {
		defer time.AfterFunc(time.Until(end), func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.changed.Broadcast()
		}).Stop()
	}
	for !ready() {
		switch {
		case c.closed:
			return net.ErrClosed
		case !c.deadline.IsZero() && !time.Now().Before(c.deadline):
			return os.ErrDeadlineExceeded
		}
		c.changed.Wait()
	}
	return nil
}

func (c *insideConn) Read(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.in) == 0 && c.end == nil && !c.reading {
		c.reading = true
		_ = c.do(func() { c.t.ResumeProducing() }) // the loop's end ends the connection
	}
	if err := c.wait(func() bool { return len(c.in) > 0 || c.end != nil }); err != nil {
		return 0, err
	}
	if len(c.in) == 0 {
		return 0, c.end
	}
	n := copy(b, c.in)
	c.in = c.in[n:]
	return n, nil
}

func (c *insideConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil {
		return 0, c.failed
	}
	p := append([]byte(nil), b...)
	sent := make(chan struct{})
	if err := c.loop.CallFromThread(func() {
		defer close(sent)
		if !c.made {
			c.todo = append(c.todo, func() { c.write(p) })
			return
		}
		c.write(p)
	}); err != nil {
		return 0, err
	}
	c.mu.Unlock()
	<-sent
	c.mu.Lock()
	if err := c.wait(func() bool { return !c.writing || c.failed != nil }); err != nil {
		return 0, err
	}
	return len(b), nil // what ends the connection meanwhile is heard at the next
}

// write is Write on the loop.
func (c *insideConn) write(p []byte) {
	queued, err := c.t.Write(p)
	if err != nil || queued == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing = c.t.RegisterProducer(c, false) == nil
}

func (c *insideConn) CloseWrite() error { return c.do(func() { c.t.LoseWriteConnection() }) }

// Reset aborts it.
func (c *insideConn) Reset() { c.finish(func() { c.t.AbortConnection() }) }

func (c *insideConn) Close() error {
	c.finish(func() {
		if c.t.State()&reactor.StatePaused != 0 { // nobody reads what is there
			c.t.AbortConnection()
			return
		}
		c.t.LoseConnection()
	})
	return nil
}

func (c *insideConn) finish(how func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		_ = c.loop.CallFromThread(how) // the loop's end ends the connection
	}
	c.changed.Broadcast()
}

func (c *insideConn) LocalAddr() net.Addr  { return &net.UnixAddr{Name: "inside", Net: "unix"} }
func (c *insideConn) RemoteAddr() net.Addr { return c.LocalAddr() }

func (c *insideConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	c.changed.Broadcast()
	return nil
}

func (c *insideConn) SetReadDeadline(t time.Time) error  { return c.SetDeadline(t) }
func (c *insideConn) SetWriteDeadline(t time.Time) error { return c.SetDeadline(t) }
