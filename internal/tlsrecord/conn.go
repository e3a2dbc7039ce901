// Package tlsrecord is the record layer of TLS 1.3 after its handshake, RFC
// 8446, section 5, with what belongs to it: key updates (4.6.3), alerts (6)
// and the messages that may still come (4.6). It turns bytes into bytes: it
// knows nothing of sockets, goroutines, clocks and logs, and makes no
// handshake, which crypto/tls does. RATIONALE.md says where it is stricter
// than crypto/tls, and why.
package tlsrecord

import (
	"fmt"
	"io"
)

const (
	headerSize = 5
	// Overhead is what a record has beside its content, bytes: the header, the
	// content's type, the tag.
	Overhead = headerSize + 1 + tagSize
	// MaxPlain is the content of the largest record, bytes; RFC 8446, 5.1.
	MaxPlain = 1 << 14
	// MaxRecord is the largest record with its header, bytes; RFC 8446, 5.2.
	MaxRecord = headerSize + MaxPlain + 256

	// recordLimit is after how many records a key is given up, with one more
	// that says so: RFC 8446, 5.5 allows AES-GCM 2^24.5 full records.
	recordLimit = 1<<24 - 1
	// maxUseless is how many records and messages in a row may bring nothing,
	// as in crypto/tls.
	maxUseless = 16
)

// Secret is a traffic secret. It is not to be seen: no verb of package fmt
// prints it.
type Secret []byte

// Format prints no secret.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "(secret)") }

// Half is one direction of a [State].
type Half struct {
	Secret Secret // the application traffic secret, of the generation that is in use
	Seq    uint64 // the number of the next record under it
	Closed bool   // close_notify has passed
}

// State is a connection's TLS 1.3 after its handshake as plain values: for
// [New], and for another process. It has secrets: [State.Wipe] ends them.
type State struct {
	Suite   uint16 // of package tls, as tls.TLS_AES_128_GCM_SHA256
	Client  bool   // our role
	In, Out Half
	Useless int    // records and messages that brought nothing, since the last that brought data
	Answer  bool   // a key update of the peer's is to be answered
	Ask     bool   // the peer is to be asked for a key update
	Message []byte // the head of a post-handshake message that came in part, at most 4 bytes
	Skip    int    // bytes to come of a message that is dropped
	Limit   uint64 // after how many records a key is given up; 0 is RFC 8446's, tests lower it
}

// Wipe zeroes the secrets.
func (s *State) Wipe() {
	clear(s.In.Secret)
	clear(s.Out.Secret)
}

// Conn is the record layer of one connection. One goroutine at a time may use
// it. It allocates when it is made, when a key changes and after [Conn.Rest],
// not for records.
type Conn struct {
	in, out half
	client  bool
	useless uint8
	answer  bool
	ask     bool
	got     uint8   // bytes in message
	message [5]byte // a key update has no more; of others the type and the length are enough
	skip    int
	limit   uint64
	err     error // why nothing more is opened
}

// Format prints nothing of what a Conn has.
func (c *Conn) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "tlsrecord.Conn") }

// New makes a connection's record layer out of its state, whose secrets it
// copies. It refuses a suite that it doesn't know, and a state that can't be.
func New(s State) (*Conn, error) {
	suite, err := suiteOf(s.Suite)
	if err != nil {
		return nil, err
	}
	c := &Conn{client: s.Client, answer: s.Answer, ask: s.Ask, skip: s.Skip, limit: s.Limit}
	if c.limit == 0 || c.limit > recordLimit {
		c.limit = recordLimit
	}
	switch {
	case s.Useless < 0 || s.Useless > maxUseless:
		return nil, fmt.Errorf("tlsrecord: %d useless records, which is not within 0 and %d", s.Useless, maxUseless)
	case len(s.Message) >= len(c.message) || s.Skip < 0 || s.Skip > maxMessage:
		return nil, fmt.Errorf("tlsrecord: a message with %d bytes of head and %d to come, at most %d and %d are",
			len(s.Message), s.Skip, len(c.message)-1, maxMessage)
	}
	c.useless = uint8(s.Useless)
	c.got = uint8(copy(c.message[:], s.Message))
	if s.In.Closed {
		c.err = io.EOF
	}
	for _, d := range []struct {
		to   *half
		from Half
	}{{&c.in, s.In}, {&c.out, s.Out}} {
		if len(d.from.Secret) != suite.secret {
			return nil, fmt.Errorf("tlsrecord: a traffic secret of %d bytes, the suite's has %d",
				len(d.from.Secret), suite.secret)
		}
		d.to.suite, d.to.closed = suite, d.from.Closed
		if err := d.to.use(d.from.Secret, d.from.Seq); err != nil {
			return nil, fmt.Errorf("tlsrecord: keys: %w", err)
		}
	}
	return c, nil
}

// State is a copy of what the connection is, whose secrets are the caller's
// to wipe. It is of use before [Conn.Wipe] and while Open has refused nothing.
func (c *Conn) State() State {
	return State{
		Suite: c.in.suite.id, Client: c.client, In: c.in.state(), Out: c.out.state(), Useless: int(c.useless),
		Answer: c.answer, Ask: c.ask, Message: append([]byte(nil), c.message[:c.got]...), Skip: c.skip, Limit: c.limit,
	}
}

func (h *half) state() Half {
	return Half{Secret: append(Secret(nil), h.secret[:h.suite.secret]...), Seq: h.seq, Closed: h.closed}
}

// over says that nothing may be sealed: close_notify has been sent, or there
// was an error, which leaves an alert at most (RFC 8446, 6.2).
func (c *Conn) over() bool {
	return c.out.closed || c.err != nil && c.err != io.EOF //nolint:errorlint // only we make it
}

// Rest lets go of the ciphers, which are most of what a Conn holds: the next
// record of a direction has its own made again.
func (c *Conn) Rest() { c.in.aead, c.out.aead = nil, nil }

// ready has h's cipher made again after Rest. The library refuses nothing that
// it took before; if it does, the connection is over.
func (c *Conn) ready(h *half) bool { return h.aead != nil || c.wake(h) }

func (c *Conn) wake(h *half) bool {
	if err := h.wake(); err != nil {
		c.out.closed = true
		_ = c.fail(refuse(internalError, "a key again: %v", err)) // Open and Next return it
		return false
	}
	return true
}

// Wipe zeroes the secrets and ends the connection: nothing is sealed or opened
// after it. It may be called twice.
func (c *Conn) Wipe() {
	c.in.wipe()
	c.out.wipe()
	if c.err == nil {
		c.err = errWiped
	}
}

var errWiped = refuse(internalError, "the connection's secrets are gone")
