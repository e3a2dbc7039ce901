package tlsrecord

import (
	"errors"
	"io"
	"slices"
)

// Types of records, RFC 8446, 5.1.
const (
	changeCipherSpec = 20
	alert            = 21
	handshake        = 22
	applicationData  = 23
)

const (
	keyUpdateSize   = 5 // RFC 8446, 4.6.3, with its header
	sealedKeyUpdate = Overhead + keyUpdateSize
)

// Seal appends plain to dst as records of at most [MaxPlain] bytes, and before
// them the key update that is owed, if one is. It allocates nothing where dst
// has room for [Conn.SealedLen]; dst's room and plain do not overlap. It
// appends nothing after CloseNotify, Alert, Wipe and an error of Open or Next
// other than io.EOF.
func (c *Conn) Seal(dst, plain []byte) []byte {
	if len(plain) == 0 || c.over() || !c.ready(&c.out) {
		return dst
	}
	dst = slices.Grow(dst, c.SealedLen(len(plain)))
	for len(plain) > 0 {
		if c.out.seq >= c.limit || c.answer || c.ask {
			dst = c.keyUpdate(dst)
			if c.over() {
				return dst
			}
		}
		n := min(len(plain), MaxPlain)
		dst = c.out.seal(dst, applicationData, plain[:n])
		plain = plain[n:]
	}
	return dst
}

// SealedLen is how many bytes [Conn.Seal] of n bytes appends now.
func (c *Conn) SealedLen(n int) int {
	if n == 0 || c.over() {
		return 0
	}
	records := (n + MaxPlain - 1) / MaxPlain
	updates, seq := 0, c.out.seq
	if seq >= c.limit || c.answer || c.ask {
		updates, seq = 1, 0
	}
	updates += int((seq + uint64(records) - 1) / c.limit)
	return n + records*Overhead + updates*sealedKeyUpdate
}

// Answer appends what the peer is owed, if anything: a key update, which
// answers all that it has asked for until now. It is to be called when Open
// has returned; Seal sends what is owed as well.
func (c *Conn) Answer(dst []byte) []byte {
	if !c.answer && !c.ask || c.over() || !c.ready(&c.out) {
		return dst
	}
	return c.keyUpdate(dst)
}

// CloseNotify appends close_notify, once: nothing may be sealed after it. The
// other direction goes on, RFC 8446, 6.1. After an error it appends nothing:
// an alert is due.
func (c *Conn) CloseNotify(dst []byte) []byte {
	if c.over() || !c.ready(&c.out) {
		return dst
	}
	dst = c.out.seal(dst, alert, []byte{warning, closeNotify})
	c.out.closed = true
	return dst
}

// Alert appends the fatal alert that fits an error of Open or Next, once:
// nothing may be sealed after it. It appends nothing for io.EOF, which is no
// fault, and for an alert of the peer's, which takes no answer (RFC 8446,
// 6.2). Any other error is an internal one.
func (c *Conn) Alert(dst []byte, err error) []byte {
	if c.out.closed || err == nil || errors.Is(err, io.EOF) {
		return dst
	}
	code := uint8(internalError)
	if e := (*Error)(nil); errors.As(err, &e) {
		if e.Remote {
			return dst
		}
		code = e.Alert
	}
	if !c.ready(&c.out) {
		return dst
	}
	dst = c.out.seal(dst, alert, []byte{fatal, code})
	c.out.closed = true
	return dst
}

// keyUpdate appends a key update under the old key and goes on to the next
// one. It asks the peer for one only where the peer's key is worn: an answer
// must not (RFC 8446, 4.6.3).
func (c *Conn) keyUpdate(dst []byte) []byte {
	asks := byte(0)
	if c.ask {
		asks = 1
	}
	c.answer, c.ask = false, false
	dst = c.out.seal(dst, handshake, []byte{keyUpdate, 0, 0, 1, asks})
	if err := c.out.update(); err != nil { // the library refuses what it took before: nothing can be sent
		c.out.closed = true
		_ = c.fail(refuse(internalError, "our next key: %v", err)) // Open and Next return it
	}
	return dst
}

// seal appends one record, RFC 8446, 5.2. The AEAD wants content and type in
// one piece, so the content is copied to where it is sealed in place.
func (h *half) seal(dst []byte, kind byte, content []byte) []byte {
	inner := len(content) + 1
	size := inner + tagSize
	at := len(dst)
	dst = append(dst, applicationData, 3, 3, byte(size>>8), byte(size))
	dst = append(dst, content...)
	dst = append(dst, kind)
	dst = slices.Grow(dst, tagSize)
	body := dst[at+headerSize:]
	sealed := h.aead.Seal(body[:0], h.next(), body, dst[at:at+headerSize])
	h.seq++
	return dst[:at+headerSize+len(sealed)]
}
