package reactor

import (
	"crypto/tls"
	"errors"
	"io"
	"time"
)

const (
	// maxDeliveries is how many pieces of plain text a connection gets in a turn.
	maxDeliveries = 16
	// maxBacklog is how much the handshake may leave unread. A peer may send on
	// right behind its last flight, long before the handshake's goroutine gets
	// to run, so more is not an error: the socket is not read until then.
	maxBacklog = 64 << 10
	// maxSeal is the plain text that is sealed before it is given to the socket.
	maxSeal = 64 << 10
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

// tlsConn is a connection's TLS: crypto/tls's handshake, and then one of two layers.
type tlsConn struct {
	layer  tlsLayer // nil until the handshake is over
	pipe   *pipe    // of the handshake, which the library's layer keeps; else nil when it is over
	facts  tlsFacts
	client bool // this side is TLS's client
	eof    bool // the socket's end of file, which is not TLS's
	held   bool // the socket is not read until the handshake has caught up
}

// tlsLayer is what protects application data. All of it is the loop's.
type tlsLayer interface {
	// room is the part of buf that the socket is to be read into. Nothing else of the
	// layer is called between it and took, but where nothing was read.
	room(buf []byte) []byte
	// took says that n bytes are in what room has returned, of the loop's cipherBuf. The
	// layer keeps none of it beyond keep.
	took(l *Loop, n int)
	keep(l *Loop)
	// waits tells whether there are bytes that next is to be asked for before any more are
	// read.
	waits() bool
	// next is the next plain text, in the protocol's receive buffer, or why there is none.
	next(c *connection) ([]byte, error)
	// seal has p queued, or appends it to Loop.sealed.
	seal(c *connection, p []byte) error
	// answer seals what the peer is owed.
	answer(c *connection)
	closeNotify(c *connection) error
	wipe() // secrets are zeroed
}

// tlsFacts are what is told of a session.
type tlsFacts struct {
	version    uint16
	suite      uint16
	serverName string
	protocol   string // that ALPN chose
	peer       []byte // the DER of its leaf certificate; nil = it has shown none
}

func factsOf(s tls.ConnectionState) tlsFacts {
	f := tlsFacts{version: s.Version, suite: s.CipherSuite, serverName: s.ServerName, protocol: s.NegotiatedProtocol}
	if len(s.PeerCertificates) > 0 {
		f.peer = s.PeerCertificates[0].Raw
	}
	return f
}

// up tells whether the handshake is over.
func (t *tlsConn) up() bool { return t.layer != nil }

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
	c.flushPlain()
	c.startServerTLS(cfg)
	c.settleLater()
	return nil
}

// StartTLSClient turns a connection into a TLS one whose client is this side.
func (c *connection) StartTLSClient(cfg *tls.Config) error {
	if c.tls != nil {
		return ErrBusy
	}
	if !c.writable() {
		return ErrNotSupported
	}
	c.flushPlain()
	c.startClientTLS(cfg)
	c.setupBy = c.loop.sys.Now() + c.handshakeTimeout()
	c.settleLater()
	return nil
}

// flushPlain sends on its way what was written in plain text.
func (c *connection) flushPlain() {
	if c.loop.gatherConn == c {
		c.loop.flushGather()
	}
}

// handshakeTimeout is how long a handshake may take that begins in the middle of the
// connection.
func (c *connection) handshakeTimeout() time.Duration {
	if c.listener == nil {
		return handshakeTimeout
	}
	return c.listener.options.Load().HandshakeTimeout
}

// read takes records from the socket and delivers what they hold.
func (t *tlsConn) read(c *connection, ev Events) {
	l := c.loop
	if l.cipherBuf == nil {
		l.cipherBuf = make([]byte, maxRead)
	}
	buf := l.cipherBuf
	if t.up() {
		if len(c.proxied) > 0 || t.layer.waits() { // the socket's bytes are told of again
			c.readAhead()
			return
		}
		buf = t.layer.room(buf)
	}
	if c.limits != nil {
		buf = c.limits.readable(c, buf)
	}
	n, err := c.sys().Read(c.fd, buf)
	switch {
	case n > 0:
		if c.countRead(n) {
			t.took(c, n)
		}
	case err != nil:
		c.readNothing(err, ev)
	default:
		t.eof = true
		if t.pipe != nil {
			t.pipe.endInput()
		}
		if !t.up() {
			t.pipe.goOn()
		} else {
			t.deliver(c)
		}
		c.settleLater()
	}
}

// took takes n bytes that were read.
func (t *tlsConn) took(c *connection, n int) {
	l := c.loop
	switch {
	case t.up():
		t.layer.took(l, n)
		t.deliver(c)
		t.layer.keep(l)
	default:
		t.pipe.feed(l.cipherBuf[:n])
		if t.pipe.full() {
			t.held = true
			c.settleLater()
		}
		t.pipe.goOn()
	}
}

// deliver gives the protocol its plain text.
func (t *tlsConn) deliver(c *connection) {
	for range maxDeliveries {
		if !c.reading() {
			return
		}
		p, err := t.layer.next(c)
		switch { // a key update's answer, or an alert, may be in it
		case c.out.n == 0 && len(c.loop.sealed) == 0:
		case c.flags&flagsStuck == 0:
			t.flush(c)
		default:
			t.queue(c)
			c.checkWater()
		}
		if len(p) > 0 {
			c.finSum = 0
			c.proto.DataReceived(p)
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

// write takes plain text: before the handshake it is kept, then sealed, small
// pieces of a callback together.
func (t *tlsConn) write(c *connection, p []byte) (int, error) {
	l := c.loop
	mine := l.gatherConn == c
	small := len(p) < directWrite && len(l.gather)+len(p) <= l.gatherMax && !c.exceedsCap(len(p))
	if t.up() && small && (mine || l.gatherConn == nil) {
		l.gather = append(l.gather, p...)
		l.gatherConn = c
		return c.queued(), nil
	}
	if mine {
		l.gatherConn = nil
		t.seal(c, l.gather)
		l.gather = l.gather[:0]
		if c.exceedsCap(len(p) + len(l.sealed)) {
			t.queue(c)
		}
	}
	if c.exceedsCap(len(p)) {
		p = t.writeThrough(c, p)
	}
	switch err := c.enforceCap(len(p)); {
	case err != nil || c.ended():
		return 0, err
	case len(p) == 0:
		return c.queued(), nil
	case !t.up():
		t.pipe.plain.push(l, p)
		c.checkWater()
		return c.queued(), nil
	}
	for len(p) > 0 && !c.ended() {
		n := min(len(p), maxSeal)
		t.seal(c, p[:n])
		p = p[n:]
		if c.flags&flagsStuck == 0 && l.gatherConn == nil {
			t.flush(c)
			continue
		}
		t.queue(c)
		c.markDirty()
		c.checkWater()
	}
	return c.queued(), nil
}

// writeThrough offers the socket what is queued and, once TLS is up, p, record by
// record, until the rest is not over the cap or the socket takes no more. It
// returns the rest.
func (t *tlsConn) writeThrough(c *connection, p []byte) []byte {
	for c.exceedsCap(len(p)) && c.flags&flagsStuck == 0 && !c.ended() && (t.up() || c.out.n > 0) {
		if c.out.n == 0 {
			n := min(len(p), chunkSize)
			t.seal(c, p[:n])
			p = p[n:]
		}
		t.flush(c)
	}
	return p
}

func (t *tlsConn) seal(c *connection, p []byte) {
	if err := t.layer.seal(c, p); err != nil {
		c.loop.sealed = c.loop.sealed[:0] // it would go to whoever seals next
		c.endWith(TLSFailure, err)
	}
}

// queue queues what was sealed.
func (t *tlsConn) queue(c *connection) {
	l := c.loop
	if len(l.sealed) > 0 && !c.ended() {
		c.out.push(l, l.sealed)
	}
	l.sealed = l.sealed[:0]
}

// flush sends what was sealed, straight from where it was where nothing is queued before
// it, or else the queue's front.
func (t *tlsConn) flush(c *connection) {
	sealed := c.loop.sealed
	c.loop.sealed = sealed[:0]
	t.send(c, sealed)
}

// send sends records, straight from p where it can.
func (t *tlsConn) send(c *connection, p []byte) {
	if len(p) == 0 || c.out.n > 0 || c.flags&flagsStuck != 0 || c.slowed() || c.ended() {
		if !c.ended() {
			c.out.push(c.loop, p)
		}
		c.flush()
		return
	}
	n, err := c.sys().Write(c.fd, p)
	if !c.countWritten(n, err) {
		return
	}
	if n < len(p) {
		c.out.push(c.loop, p[n:])
		c.markBlocked()
	} else {
		c.emptied()
	}
	c.checkWater()
}

// unstuck is when queued output goes out again, and all of it has: what the peer is owed
// is due, which is not queued behind what it does not take.
func (t *tlsConn) unstuck(c *connection) {
	if t.up() {
		t.layer.answer(c)
		t.flush(c)
	}
}

// sendCloseNotify sends close_notify (RFC 8446, 6.1), and reports whether the socket has
// taken it. A handshake that still runs is cut only by LoseConnection: without
// our writing side it can't end.
func (t *tlsConn) sendCloseNotify(c *connection) bool {
	if !t.up() {
		return c.closing()
	}
	if c.flags&flagNotified == 0 {
		if err := t.layer.closeNotify(c); err != nil {
			c.endWith(TLSFailure, err)
			return false
		}
		c.flags |= flagNotified
		t.flush(c)
	}
	return !c.ended() && c.out.n == 0
}

// end ends the handshake's goroutine, if it still runs, and the session: its secrets are
// zeroed, and nothing is read or sent any more. What it was is still told.
func (t *tlsConn) end(l *Loop) {
	if t.pipe != nil {
		t.pipe.abandon()
	}
	if r, ok := t.layer.(*records); ok {
		l.forgetSession(r)
	}
	if t.up() {
		t.layer.wipe()
	}
}
