package reactor

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// maxDeliveries is how many pieces of plain text a connection gets in a turn.
	maxDeliveries = 16
	// maxBacklog is how much the handshake may leave unread. A peer may send on
	// right behind its last flight, long before the handshake's goroutine gets
	// to run, so more is not an error: the socket is not read until then.
	maxBacklog = 64 << 10
)

// errAgain is what the pipe returns when it is empty. crypto/tls keeps a read
// error for ever unless it is a net.Error that calls itself temporary; a test
// pins that.
type errAgain struct{}

func (errAgain) Error() string   { return "no TLS record yet" }
func (errAgain) Timeout() bool   { return true }
func (errAgain) Temporary() bool { return true }

// errTruncated is the end of the socket's bytes without a close_notify. It is
// not io.EOF, which crypto/tls would pass on as an orderly end (RFC 8446, 6.1).
var errTruncated = errors.New("closed without close_notify")

// pipe is the net.Conn under a tls.Conn. During the handshake, which has a
// goroutine of its own, its Read blocks; afterwards both sides are the loop's
// and Read returns errAgain.
type pipe struct {
	c    *Conn
	mu   sync.Mutex
	cond sync.Cond
	in   []byte // records that crypto/tls has not taken
	lent bool   // in is the loop's cipherBuf
	eof  bool
	gone bool
	up   bool
	out  []byte // of the handshake
	told bool   // the loop knows of out
	held bool   // the loop does not read the socket, since in is full
}

func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case len(p.in) > 0:
			n := copy(b, p.in)
			if p.in = p.in[n:]; len(p.in) == 0 {
				p.in = nil
			}
			return n, nil
		case p.gone:
			return 0, net.ErrClosed
		case p.eof && p.up:
			return 0, errTruncated
		case p.eof:
			return 0, io.EOF
		case p.up:
			return 0, errAgain{}
		}
		if p.held {
			p.held = false
			// A loop that has ended has ended this pipe too.
			_ = p.c.loop.CallFromThread(p.c.unhold)
		}
		p.cond.Wait()
	}
}

func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return 0, net.ErrClosed
	}
	if p.up {
		if p.c.flags&flagNotified == 0 { // nothing follows close_notify: no answer to a key update, no alert
			p.c.out.push(p.c.loop, b)
		}
		return len(b), nil
	}
	p.out = append(p.out, b...)
	if !p.told {
		p.told = true
		if err := p.c.loop.CallFromThread(p.flushHandshake); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// flushHandshake moves the handshake's records to the connection. Loop.
func (p *pipe) flushHandshake() {
	p.mu.Lock()
	out := p.out
	p.out, p.told = nil, false
	p.mu.Unlock()
	if len(out) > 0 && !p.c.ended() {
		p.c.out.push(p.c.loop, out)
		p.c.flush()
	}
}

// feed takes records as read. Once TLS is up b is only borrowed: keep takes
// over what deliver has left.
func (p *pipe) feed(b []byte) {
	p.mu.Lock()
	if p.up && len(p.in) == 0 {
		p.in, p.lent = b, true
	} else {
		p.in = append(p.in, b...)
	}
	p.mu.Unlock()
	p.cond.Signal()
}

// hold reports whether in is full. Then unhold is called when it is empty again.
func (p *pipe) hold() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = !p.up && len(p.in) > maxBacklog
	return p.held
}

// unhold has the socket read again. Loop.
func (c *Conn) unhold() {
	if c.tls != nil && c.tls.held {
		c.tls.held = false
		if c.readSide == sideEnding {
			c.readSide = sideOpen
		}
		c.flags &^= flagHangup
		c.pend()
	}
}

func (p *pipe) keep() {
	p.mu.Lock()
	switch {
	case len(p.in) == 0:
		p.in = nil
	case p.lent:
		p.in = append([]byte(nil), p.in...)
	}
	p.lent = false
	p.mu.Unlock()
}

func (p *pipe) end(eof bool) {
	p.mu.Lock()
	if eof {
		p.eof = true
	} else {
		p.gone = true
	}
	p.mu.Unlock()
	p.cond.Broadcast()
}

// Close is never called by the handshake; the connection is the loop's.
func (p *pipe) Close() error { return nil }

func (p *pipe) LocalAddr() net.Addr              { return nil }
func (p *pipe) RemoteAddr() net.Addr             { return nil }
func (p *pipe) SetDeadline(time.Time) error      { return nil }
func (p *pipe) SetReadDeadline(time.Time) error  { return nil }
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

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
func (c *Conn) StartTLS() error {
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
	c.startTLS(cfg)
	c.pend()
	return nil
}

func (c *Conn) startTLS(cfg *tls.Config) {
	c.beginTLS(func(p *pipe) *tls.Conn { return tls.Server(p, cfg) })
	c.setupBy = c.loop.sys.Now() + c.listener.options.Load().HandshakeTimeout
}

// beginTLS starts the handshake on a goroutine that ends with it.
func (c *Conn) beginTLS(make func(*pipe) *tls.Conn) {
	p := &pipe{c: c}
	p.cond.L = &p.mu
	t := &tlsConn{conn: make(p), pipe: p}
	c.tls = t
	if len(c.proxied) > 0 {
		p.in, c.proxied = c.proxied, nil
	}
	go func() {
		err := t.conn.Handshake() // stop ends it: its pipe does
		// A loop that has ended has told the protocol already.
		_ = c.loop.post(call{fn: func() { t.shaken(c, err) }, share: c.share})
	}()
}

// shaken is the handshake's end, on the loop.
func (t *tlsConn) shaken(c *Conn, err error) {
	if c.tls != t || c.ended() {
		return
	}
	t.pipe.flushHandshake()
	if err != nil {
		c.fail(TLSFailure, fmt.Errorf("TLS handshake: %w", err))
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
		c.established()
	}
	c.flags |= flagTellUp
	for _, chunk := range t.plain.chunks { // head is 0: nothing was dropped from it
		t.encrypt(c, chunk)
	}
	t.plain.clear(c.loop)
	c.flush()
	c.pend()
	c.pendNext() // bytes may have come with the last flight
	c.loop.settle()
	c.loop.current = nil
}

// read takes records from the socket and delivers what they hold.
func (t *tlsConn) read(c *Conn, ev Events) {
	l := c.loop
	if l.cipherBuf == nil {
		l.cipherBuf = make([]byte, maxRead)
	}
	n, err := l.sys.Read(c.fd, l.cipherBuf)
	if n > 0 {
		c.received(n)
		t.pipe.feed(l.cipherBuf[:n])
		if t.up {
			t.deliver(c)
			t.pipe.keep()
		} else if t.pipe.hold() {
			t.held = true
			c.pend()
		}
		return
	}
	if err != nil {
		c.readEnded(err, ev)
		return
	}
	t.eof = true
	t.pipe.end(true)
	if t.up {
		t.deliver(c)
	}
	c.pend()
}

// deliver gives the protocol its plain text.
func (t *tlsConn) deliver(c *Conn) {
	for range maxDeliveries {
		if !c.reading() {
			return
		}
		buf := c.receiveBuffer()
		n, err := t.conn.Read(buf)
		switch { // a key update's answer, or an alert, may be in it
		case c.out.n == 0:
		case c.flags&flagBlocked == 0:
			c.flush()
		default:
			c.water()
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
		case err == io.EOF:
			c.eof()
			return
		case errors.Is(err, errTruncated):
			c.fail(Lost, err)
			return
		default:
			c.fail(TLSFailure, err)
			return
		}
	}
	c.pendNext()
}

// write takes plain text: before the handshake it is kept, then encrypted, small
// pieces of a callback together.
func (t *tlsConn) write(c *Conn, p []byte) (int, error) {
	l := c.loop
	mine := l.gatherConn == c
	small := len(p) < directWrite && len(l.gather)+len(p) <= l.gatherMax && !c.isOver(len(p))
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
	if c.isOver(len(p)) {
		p = t.writeThrough(c, p)
	}
	switch err := c.limit(len(p)); {
	case err != nil || c.ended():
		return 0, err
	case len(p) == 0:
		return c.queued(), nil
	case !t.up:
		t.plain.push(l, p)
		c.water()
		return c.queued(), nil
	}
	t.encrypt(c, p)
	if c.flags&flagBlocked == 0 && l.gatherConn == nil {
		c.flush()
	} else {
		c.dirty()
		c.water()
	}
	return c.queued(), nil
}

// writeThrough offers the socket what is queued and, once TLS is up, p, record by
// record, until the rest is not over the cap or the socket takes no more. It
// returns the rest.
func (t *tlsConn) writeThrough(c *Conn, p []byte) []byte {
	for c.isOver(len(p)) && c.flags&flagBlocked == 0 && !c.ended() && (t.up || c.out.n > 0) {
		if c.out.n == 0 {
			n := min(len(p), chunkSize)
			t.encrypt(c, p[:n])
			p = p[n:]
		}
		c.flush()
	}
	return p
}

func (t *tlsConn) encrypt(c *Conn, p []byte) {
	if _, err := t.conn.Write(p); err != nil {
		c.fail(TLSFailure, err)
	}
}

// notify sends close_notify (RFC 8446, 6.1), and reports whether the socket has
// taken it. A handshake that still runs is cut only by LoseConnection: without
// our writing side it can't end.
func (t *tlsConn) notify(c *Conn) bool {
	if !t.up {
		return c.closing()
	}
	if c.flags&flagNotified == 0 {
		if err := t.conn.CloseWrite(); err != nil {
			c.fail(TLSFailure, err)
			return false
		}
		c.flags |= flagNotified
		c.flush()
	}
	return !c.ended() && c.out.n == 0
}

// stop ends the handshake's goroutine, if it still runs.
func (t *tlsConn) stop() {
	t.pipe.end(false)
}
