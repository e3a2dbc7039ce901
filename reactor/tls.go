package reactor

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
)

const (
	// maxDeliveries is how many pieces of plain text a connection gets in a turn.
	maxDeliveries = 16
	// maxBacklog is how much the handshake may leave unread. A peer may send on
	// right behind its last flight, long before the handshake's goroutine gets
	// to run, so more is not an error: the socket is not read until then.
	maxBacklog = 64 << 10
)

// unhold has the socket read again. Loop.
func (c *connection) unhold() {
	if c.tls != nil && c.tls.held {
		c.tls.held = false
		if c.readSide == sideEnding {
			c.readSide = sideOpen
		}
		c.flags &^= flagHangup
		c.settleLater()
	}
}

// tlsConn is a connection's TLS.
type tlsConn struct {
	conn  *tls.Conn
	pipe  *pipe
	up    bool
	eof   bool   // the socket's end of file, which is not TLS's
	held  bool   // the socket is not read until the handshake has caught up
	plain output // written before the handshake has ended
}

// StartTLS turns an accepted connection into a TLS one.
func (c *connection) StartTLS() error {
	if c.tls != nil {
		return ErrBusy
	}
	if c.listener == nil || !c.writable() {
		return ErrNotSupported
	}
	cfg := c.listener.tls()
	if cfg == nil {
		return ErrNotSupported
	}
	if c.loop.gatherConn == c {
		c.loop.flushGather()
	}
	c.startServerTLS(cfg)
	c.settleLater()
	return nil
}

func (c *connection) startServerTLS(cfg *tls.Config) {
	c.startHandshake(func(p *pipe) *tls.Conn { return tls.Server(p, cfg) })
	c.setupBy = c.loop.sys.Now() + c.listener.options.Load().HandshakeTimeout
}

// startHandshake starts the handshake on a goroutine that ends with it.
func (c *connection) startHandshake(over func(*pipe) *tls.Conn) {
	p := &pipe{c: c}
	p.cond.L = &p.mu
	t := &tlsConn{conn: over(p), pipe: p}
	c.tls = t
	if len(c.proxied) > 0 {
		p.in, c.proxied = c.proxied, nil
	}
	go func() {
		err := t.conn.Handshake() // stopHandshake ends it: its pipe does
		// A loop that has ended has told the protocol already.
		_ = c.loop.post(call{fn: func() { t.completeHandshake(c, err) }, share: c.share})
	}()
}

// completeHandshake is the handshake's end, on the loop.
func (t *tlsConn) completeHandshake(c *connection, err error) {
	if c.tls != t || c.ended() {
		return
	}
	t.pipe.flushHandshake()
	if err != nil {
		c.endWith(TLSFailure, fmt.Errorf("TLS handshake: %w", err))
		return
	}
	t.pipe.mu.Lock()
	t.pipe.up = true
	t.pipe.mu.Unlock()
	t.up = true
	c.unhold()
	c.setupBy = 0
	c.loop.current = c
	if c.client != nil {
		c.completeConnect()
	}
	c.flags |= flagTellUp
	for _, chunk := range t.plain.chunks { // head is 0: nothing was dropped from it
		t.encrypt(c, chunk)
	}
	t.plain.clear(c.loop)
	c.flush()
	c.settleLater()
	c.takeTurnLater() // bytes may have come with the last flight
	c.loop.settle()
	c.loop.current = nil
}

// read takes records from the socket and delivers what they hold.
func (t *tlsConn) read(c *connection, ev Events) {
	l := c.loop
	if l.cipherBuf == nil {
		l.cipherBuf = make([]byte, maxRead)
	}
	buf := l.cipherBuf
	if c.limits != nil {
		buf = c.limits.readable(c, buf)
	}
	n, err := l.sys.Read(c.fd, buf)
	if n > 0 {
		if !c.countRead(n) {
			return
		}
		t.pipe.feed(buf[:n])
		if t.up {
			t.deliver(c)
			t.pipe.keep()
		} else if t.pipe.hold() {
			t.held = true
			c.settleLater()
		}
		return
	}
	if err != nil {
		c.readNothing(err, ev)
		return
	}
	t.eof = true
	t.pipe.endInput()
	if t.up {
		t.deliver(c)
	}
	c.settleLater()
}

// deliver gives the protocol its plain text.
func (t *tlsConn) deliver(c *connection) {
	for range maxDeliveries {
		if !c.reading() {
			return
		}
		buf := c.receiveBuffer()
		n, err := t.conn.Read(buf)
		switch { // a key update's answer, or an alert, may be in it
		case c.out.n == 0:
		case c.flags&flagsStuck == 0:
			c.flush()
		default:
			c.checkWater()
		}
		if n > 0 {
			c.finSum = 0
			c.proto.DataReceived(buf[:n])
			c.loop.settle()
			if c.share.Late() {
				break
			}
			continue
		}
		switch {
		case err == nil:
		case errors.Is(err, errAgain{}):
			return
		case errors.Is(err, io.EOF):
			c.peerEnded()
			return
		case errors.Is(err, errTruncated):
			c.endWith(Lost, err)
			return
		default:
			c.endWith(TLSFailure, err)
			return
		}
	}
	c.takeTurnLater()
}

// write takes plain text: before the handshake it is kept, then encrypted, small
// pieces of a callback together.
func (t *tlsConn) write(c *connection, p []byte) (int, error) {
	l := c.loop
	mine := l.gatherConn == c
	small := len(p) < directWrite && len(l.gather)+len(p) <= l.gatherMax && !c.exceedsCap(len(p))
	if t.up && small && (mine || l.gatherConn == nil) {
		l.gather = append(l.gather, p...)
		l.gatherConn = c
		return c.queued(), nil
	}
	if mine {
		l.gatherConn = nil
		t.encrypt(c, l.gather)
		l.gather = l.gather[:0]
	}
	if c.exceedsCap(len(p)) {
		p = t.writeThrough(c, p)
	}
	switch err := c.enforceCap(len(p)); {
	case err != nil || c.ended():
		return 0, err
	case len(p) == 0:
		return c.queued(), nil
	case !t.up:
		t.plain.push(l, p)
		c.checkWater()
		return c.queued(), nil
	}
	t.encrypt(c, p)
	if c.flags&flagsStuck == 0 && l.gatherConn == nil {
		c.flush()
	} else {
		c.markDirty()
		c.checkWater()
	}
	return c.queued(), nil
}

// writeThrough offers the socket what is queued and, once TLS is up, p, record by
// record, until the rest is not over the cap or the socket takes no more. It
// returns the rest.
func (t *tlsConn) writeThrough(c *connection, p []byte) []byte {
	for c.exceedsCap(len(p)) && c.flags&flagsStuck == 0 && !c.ended() && (t.up || c.out.n > 0) {
		if c.out.n == 0 {
			n := min(len(p), chunkSize)
			t.encrypt(c, p[:n])
			p = p[n:]
		}
		c.flush()
	}
	return p
}

func (t *tlsConn) encrypt(c *connection, p []byte) {
	if _, err := t.conn.Write(p); err != nil {
		c.endWith(TLSFailure, err)
	}
}

// sendCloseNotify sends close_notify (RFC 8446, 6.1), and reports whether the socket has
// taken it. A handshake that still runs is cut only by LoseConnection: without
// our writing side it can't end.
func (t *tlsConn) sendCloseNotify(c *connection) bool {
	if !t.up {
		return c.closing()
	}
	if c.flags&flagNotified == 0 {
		if err := t.conn.CloseWrite(); err != nil {
			c.endWith(TLSFailure, err)
			return false
		}
		c.flags |= flagNotified
		c.flush()
	}
	return !c.ended() && c.out.n == 0
}

// stopHandshake ends the handshake's goroutine, if it still runs.
func (t *tlsConn) stopHandshake() {
	t.pipe.abandon()
}
