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
// goroutine of its own, its Read blocks until a whole record is there, and gives no more
// than that, so that nothing behind the handshake is taken; afterwards, where crypto/tls
// goes on, both sides are the loop's and Read returns errAgain.
type pipe struct {
	c     *connection
	mu    sync.Mutex
	cond  sync.Cond
	in    []byte // records that crypto/tls has not taken
	room  []byte // of Loop.takeFlight, where in lies during the handshake; nil = not there
	lent  bool   // in is the loop's cipherBuf
	eof   bool
	gone  bool
	up    bool
	out   []byte // all that the handshake has written
	alert byte   // that was sent last, in plain text
	idle  bool   // the handshake waits in Read

	// The loop's:
	plain   output // written before the handshake has ended
	start   func() // the goroutine; nil = it has begun
	flushed int    // bytes of out that the connection has
	busy    bool   // a step is in the loop's queue, or computes
	after   *pipe  // the next in that queue

	// Of the handshake's goroutine:
	left int     // bytes of the record that is being read
	keys *keyLog // nil = nobody wants them
}

func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case len(p.in) > 0 && (p.up || p.ready()):
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
		p.endStep()
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
	p.out = append(p.out, b...)
	return len(b), nil
}

// feed takes records as read. Once TLS is up b is only borrowed: keep takes
// over what deliver has left.
func (p *pipe) feed(b []byte) {
	p.mu.Lock()
	switch {
	case len(p.in) > 0:
		p.in = append(p.in, b...)
	case p.up:
		p.in, p.lent = b, true
	default:
		if p.room == nil {
			p.room = p.c.loop.takeFlight()
		}
		p.room = append(p.room[:0], b...)
		p.in = p.room
	}
	p.mu.Unlock()
}

// full reports whether in is: the socket is not read before the next step is over.
func (p *pipe) full() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.up && len(p.in) > maxBacklog
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
