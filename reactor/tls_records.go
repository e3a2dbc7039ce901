package reactor

import (
	"errors"
	"io"

	"github.com/wirehost/wirehost/internal/tlsrecord"
)

// records is the layer that goes on where crypto/tls's handshake has ended: TLS 1.3's
// records, straight from the socket's bytes into the protocol's buffer, and from what it
// writes into what goes to the socket.
type records struct {
	conn  *tlsrecord.Conn
	plain []byte // opened, and not delivered: what was too long for the protocol's buffer
	rest  []byte // read, and not opened: whole records only where reading was paused
	lent  bool   // they lie in the loop's cipherBuf
	awake int    // its place in Loop.awake, from 1 on; 0 = it is not there
	used  bool   // since Loop.restSessions ran last
	err   error  // why nothing more is opened
}

// room leaves the front of buf to the record that came in part.
func (r *records) room(buf []byte) []byte { return buf[len(r.rest):] }

func (r *records) took(l *Loop, n int) {
	buf := l.cipherBuf
	n += copy(buf, r.rest)
	if l.half == nil && cap(r.rest) == tlsrecord.MaxRecord {
		l.half = r.rest
	}
	r.rest, r.lent = buf[:n], true
}

// smallHalf is up to how long a part of a record has a place of its length. A longer one
// has place for all of it, which the loop keeps for the next one.
const smallHalf = 4 << 10

func (r *records) keep(l *Loop) {
	if !r.lent {
		return
	}
	r.lent = false
	n := len(r.plain) + len(r.rest)
	var own []byte
	switch {
	case n == 0:
		r.plain, r.rest = nil, nil
		return
	case n <= smallHalf || n > tlsrecord.MaxRecord:
		own = make([]byte, 0, n)
	case l.half != nil:
		own, l.half = l.half[:0], nil
	default:
		own = make([]byte, 0, tlsrecord.MaxRecord)
	}
	own = append(append(own, r.plain...), r.rest...)
	n = len(r.plain)
	r.plain, r.rest = own[:n:n], own[n:]
}

func (r *records) waits() bool {
	if len(r.plain) > 0 || r.err != nil {
		return true
	}
	n, err := r.conn.Next(r.rest)
	return err != nil || n > 0 && n <= len(r.rest)
}

func (r *records) next(c *connection) ([]byte, error) {
	if len(r.plain) > 0 {
		buf := c.receiveBuffer()
		n := copy(buf, r.plain)
		r.plain = r.plain[n:]
		return buf[:n], nil
	}
	var buf []byte
	got := 0
	for r.err == nil {
		n, err := r.conn.Next(r.rest)
		if err != nil {
			r.err = err
			break
		}
		if n == 0 || n > len(r.rest) {
			break
		}
		if buf == nil {
			buf = c.receiveBuffer()
		}
		fits := len(buf)-got >= n-tlsrecord.Overhead+1
		if !fits && got > 0 {
			break
		}
		plain, err := r.conn.Open(buf[got:len(buf):len(buf)], r.rest[:n])
		r.rest = r.rest[n:]
		r.err = err
		if fits {
			got += len(plain)
			continue
		}
		if got = copy(buf, plain); got > 0 {
			r.plain = plain[got:]
			break
		}
	}
	if len(r.rest) == 0 && !r.lent {
		r.rest = nil
	}
	r.answer(c)
	switch {
	case got > 0:
		return buf[:got], nil
	case r.err != nil:
		c.loop.sealed = r.conn.Alert(c.loop.sealed, r.err)
		return nil, r.err
	case c.tls.eof:
		return nil, errTruncated
	}
	return nil, errAgain{}
}

// answer seals what is owed, but not behind what the peer does not take: of any number of
// its key updates one answer is owed (RFC 8446, 4.6.3).
func (r *records) answer(c *connection) {
	r.use(c.loop)
	if c.flags&flagsStuck == 0 {
		c.loop.sealed = r.conn.Answer(c.loop.sealed)
	}
}

var errNotSealed = errors.New("the record layer seals no more")

// seal seals nothing for a peer whose bytes were refused: the alert is due, when what
// came before them is delivered.
func (r *records) seal(c *connection, p []byte) error {
	if r.faulty() {
		return nil
	}
	l := c.loop
	r.use(l)
	was := len(l.sealed)
	l.sealed = r.conn.Seal(l.sealed, p)
	if len(l.sealed)-was < len(p) {
		return errNotSealed
	}
	return nil
}

// faulty tells whether the peer's bytes were refused. Its close_notify is in order.
func (r *records) faulty() bool {
	return r.err != nil && r.err != io.EOF //nolint:errorlint // it is no wrapper
}

func (r *records) closeNotify(c *connection) error {
	r.use(c.loop)
	if r.faulty() {
		c.loop.sealed = r.conn.Alert(c.loop.sealed, r.err)
	} else {
		c.loop.sealed = r.conn.CloseNotify(c.loop.sealed)
	}
	return nil
}

func (r *records) wipe() { r.conn.Wipe() }
