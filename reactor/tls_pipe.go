package reactor

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
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
// goroutine of its own, its Read blocks, and gives no more than a record, so that
// nothing behind the handshake is taken; afterwards, where crypto/tls goes on, both
// sides are the loop's and Read returns errAgain.
type pipe struct {
	c     *connection
	mu    sync.Mutex
	cond  sync.Cond
	in    []byte // records that crypto/tls has not taken
	lent  bool   // in is the loop's cipherBuf
	eof   bool
	gone  bool
	up    bool
	out   []byte // of the handshake
	alert byte   // that was sent last, in plain text
	told  bool   // the loop knows of out
	held  bool   // the loop does not read the socket, since in is full
	idle  bool   // the handshake waits in Read

	plain output // the loop's: written before the handshake has ended

	// Of the handshake's goroutine:
	left int     // bytes of the record that is being read
	keys *keyLog // nil = nobody wants them
	sent []byte  // all that was written, while somebody wants keys
}

func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case len(p.in) > 0 && (p.up || p.eof || p.left > 0 || len(p.in) >= recordHeader):
			return p.give(b), nil
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
		if !p.idle {
			p.idle = true
			p.c.loop.r.handshaking.rest()
		}
		p.cond.Wait()
	}
}

// wake has Read, if it waits, look again. mu is held.
func (p *pipe) wake() {
	if p.idle {
		p.idle = false
		p.c.loop.r.handshaking.begin()
		p.cond.Signal()
	}
}

// give copies what there is to b, but during the handshake no more than a record's
// bytes. mu is held.
func (p *pipe) give(b []byte) int {
	if !p.up && p.left == 0 && len(p.in) >= recordHeader {
		p.left = recordHeader + recordSize(p.in)
	}
	if p.left > 0 {
		b = b[:min(len(b), p.left)]
	}
	n := copy(b, p.in)
	p.left = max(0, p.left-n)
	if p.in = p.in[n:]; len(p.in) == 0 {
		p.in = nil
	}
	return n
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
	p.noteAlert(b)
	if p.keys != nil {
		p.sent = append(p.sent, b...)
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
	p.wake()
	p.mu.Unlock()
}

// hold reports whether in is full. Then unhold is called when it is empty again.
func (p *pipe) hold() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = !p.up && len(p.in) > maxBacklog
	return p.held
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

// endInput is the end of the socket's bytes.
func (p *pipe) endInput() {
	p.mu.Lock()
	p.eof = true
	p.wake()
	p.mu.Unlock()
}

// setUp is the handshake's end: what follows is the loop's.
func (p *pipe) setUp() {
	p.mu.Lock()
	p.up, p.left = true, 0
	p.mu.Unlock()
}

// abandon ends the handshake, if it still runs.
func (p *pipe) abandon() {
	p.mu.Lock()
	p.gone = true
	p.wake()
	p.mu.Unlock()
}

// Close is never called by the handshake; the connection is the loop's.
func (p *pipe) Close() error { return nil }

func (p *pipe) LocalAddr() net.Addr              { return nil }
func (p *pipe) RemoteAddr() net.Addr             { return nil }
func (p *pipe) SetDeadline(time.Time) error      { return nil }
func (p *pipe) SetReadDeadline(time.Time) error  { return nil }
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }
