package reactor

import (
	"errors"
	"net"
	"slices"
	"syscall"
	"time"
)

func (c *portableStream) write(pieces ...[]byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.conn == nil && c.err == nil:
		return 0, syscall.ENOTCONN
	case c.err != nil:
		return 0, c.takeErrorLocked()
	case c.dead || c.shut:
		return 0, syscall.EPIPE
	}
	n := 0
	for _, p := range pieces {
		room := portableBehind - c.behind
		if room < len(p) {
			p = p[:room]
		}
		c.out = append(c.out, p...)
		c.behind += len(p)
		n += len(p)
	}
	if n == 0 {
		for _, p := range pieces {
			if len(p) > 0 {
				return 0, syscall.EAGAIN
			}
		}
		return 0, nil
	}
	if !c.writing {
		c.writing = true
		go c.writeOut()
	}
	return n, nil
}

// unsent is what the writer and the system hold.
func (c *portableStream) unsent() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return 0
	}
	return c.behind + systemUnsent(c.conn)
}

// writeOut writes until nothing is left, then does what was to wait for that.
func (c *portableStream) writeOut() {
	var buf []byte
	for {
		c.mu.Lock()
		if c.halted != nil && !c.dead {
			c.writing = false
			c.noteHalt()
			c.mu.Unlock()
			return
		}
		if len(c.out) == 0 || c.dead {
			c.out, c.behind, c.writing = nil, 0, false
			c.noteHalt()
			closed := c.closed
			if !closed {
				c.finishShutdown()
			}
			c.changed()
			c.mu.Unlock()
			if closed {
				c.conn.Close() // its writes have told what there is to tell
				c.sys.sent(c)
			}
			return
		}
		buf, c.out = c.out, buf[:0]
		c.mu.Unlock()
		c.writePieces(buf)
	}
}

// writePieces writes buf, and counts what the system has taken.
func (c *portableStream) writePieces(buf []byte) {
	for len(buf) > 0 {
		n, err := c.conn.Write(buf[:min(len(buf), portablePiece)])
		buf = buf[n:]
		c.mu.Lock()
		c.behind -= n
		if c.halted != nil && (err == nil || errors.Is(portableErrno(err), syscall.ETIMEDOUT)) {
			c.out = slices.Concat(buf, c.out)
			c.mu.Unlock()
			return
		}
		if err != nil && !(c.closed && (n > 0 || c.moved()) && c.extend()) {
			c.failWrite(err)
			c.mu.Unlock()
			return
		}
		if c.closed {
			c.extend()
		}
		c.changed()
		c.mu.Unlock()
	}
}

// moved tells whether the system has less to send than when time was last given:
// it may take no more, and send on. mu is held.
func (c *portableStream) moved() bool {
	return systemUnsent(c.conn) < c.held
}

// extend gives a closed socket that makes progress more time. mu is held.
func (c *portableStream) extend() bool {
	c.held = systemUnsent(c.conn)
	return !c.givenUp && c.conn.SetWriteDeadline(time.Now().Add(c.sys.linger)) == nil
}

// giveUp ends a closed socket that still sends.
func (c *portableStream) giveUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.givenUp = true
	c.conn.SetWriteDeadline(past) // fails on a closed socket only
}

// failWrite is called with mu held.
func (c *portableStream) failWrite(err error) {
	c.dead = true
	c.out = nil
	if c.closed {
		if tcp, ok := c.conn.(*net.TCPConn); ok {
			tcp.SetLinger(0) // bytes are lost, and the peer is to know
		}
		return
	}
	if c.err == nil {
		c.err = portableErrno(err)
	}
}

func (c *portableStream) shutdownWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil || c.dead {
		return syscall.ENOTCONN
	}
	if c.shut {
		return nil
	}
	c.shut = true
	if !c.writing {
		return c.finishShutdown()
	}
	return nil
}

// finishShutdown closes the writing side once what was taken is written. mu is
// held.
func (c *portableStream) finishShutdown() error {
	if !c.shut || c.shutDone || c.dead {
		return nil
	}
	c.shutDone = true
	c.changed()
	if w, ok := c.conn.(interface{ CloseWrite() error }); ok {
		return portableErrno(w.CloseWrite())
	}
	return syscall.EOPNOTSUPP
}
