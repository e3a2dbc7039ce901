package tlsrecord

import "io"

// Handshake messages that may come after the handshake, RFC 8446, 4.6.
const (
	newSessionTicket = 4
	keyUpdate        = 24

	// maxMessage is the longest handshake message, bytes, as in crypto/tls.
	maxMessage = 1 << 16
	// minTicket is a ticket's message with nothing in its fields, RFC 8446, 4.6.1.
	minTicket = 4 + 4 + 1 + 2 + 2
)

// Next is the length of the record at b's head with its header, 0 where the
// header isn't whole yet. It refuses a header that no record after the
// handshake has (RFC 8446, 5.1 and 5.2), so that nobody waits for its bytes.
// After the peer's close_notify it returns io.EOF: what comes is not looked at.
func (c *Conn) Next(b []byte) (n int, err error) {
	if c.err != nil {
		return 0, c.err
	}
	if len(b) < headerSize {
		return 0, nil
	}
	size := int(b[3])<<8 | int(b[4])
	switch {
	case b[1] != 3 || b[2] != 3:
		return 0, c.fail(refuse(protocolVersion, "a record of version %d.%d, TLS 1.3's have 3.3", b[1], b[2]))
	case size > MaxRecord-headerSize:
		return 0, c.fail(refuse(recordOverflow, "a record of %d bytes, at most %d are allowed",
			size, MaxRecord-headerSize))
	case b[0] != applicationData:
		return 0, c.fail(refuse(unexpectedMessage, "a record of type %d in the clear, after the handshake all have %d",
			b[0], applicationData))
	}
	return headerSize + size, nil
}

// Open opens one record, whole and no more. The plain text goes to dst from
// its first byte on, over what it has, where its capacity is len(record)-21 or
// more; else it is left in the record, whose bytes are lost in any case. dst
// and record do not overlap; nil opens in place. Beyond the plain text Open
// uses dst's capacity, up to len(record)-21 bytes.
//
// It returns what there is of application data: nothing for other records.
// io.EOF is the peer's close_notify. After any error it returns the same again.
func (c *Conn) Open(dst, record []byte) (plain []byte, err error) {
	n, err := c.Next(record)
	switch {
	case err != nil:
		return nil, err
	case n == 0 || n != len(record):
		return nil, c.fail(refuse(internalError, "%d bytes where a record has %d", len(record), n))
	case !c.ready(&c.in):
		return nil, c.err
	}
	body := record[headerSize:]
	to := body[:0]
	if inner := len(body) - tagSize; inner >= 0 && cap(dst) >= inner {
		to = dst[:0]
	}
	inner, err := c.in.aead.Open(to, c.in.next(), body, record[:headerSize])
	if err != nil {
		return nil, c.fail(refuse(badRecordMAC, "record %d under its key is not what the peer has sealed", c.in.seq))
	}
	c.in.seq++
	if c.in.seq == c.limit { // the peer's key is worn, RFC 8446, 5.5
		c.ask = true
	}
	plain, err = c.inner(inner)
	if err != nil {
		return nil, c.fail(err)
	}
	return plain, nil
}

// Sent says whether a record is the next under our own key, and counts it if it
// is. It is for the records that crypto/tls has sealed under that key before
// the takeover, as a server its session tickets. The record's bytes are lost.
func (c *Conn) Sent(record []byte) bool {
	if c.over() || len(record) < headerSize+tagSize || record[0] != applicationData || !c.ready(&c.out) {
		return false
	}
	body := record[headerSize:]
	inner, err := c.out.aead.Open(body[:0], c.out.next(), body, record[:headerSize])
	if err != nil {
		return false
	}
	clear(inner)
	c.out.seq++
	return true
}

// inner takes what was in a record, RFC 8446, 5.2 and 5.4: content, its type,
// padding of zeroes. It returns application data, and zeroes all else.
func (c *Conn) inner(b []byte) ([]byte, error) {
	if len(b) > MaxPlain+1 {
		clear(b)
		return nil, refuse(recordOverflow, "a record with %d bytes, at most %d are allowed", len(b), MaxPlain+1)
	}
	end := len(b) - 1
	for end >= 0 && b[end] == 0 {
		end--
	}
	if end >= 0 && b[end] == applicationData && c.got == 0 && c.skip == 0 {
		if end > 0 {
			c.useless = 0
			return b[:end], nil
		}
		return nil, c.idle("an empty record")
	}
	defer clear(b)
	switch {
	case end < 0:
		return nil, refuse(unexpectedMessage, "a record with nothing but padding")
	case b[end] == handshake:
		return nil, c.messages(b[:end])
	case c.got > 0 || c.skip > 0: // RFC 8446, 5.1
		return nil, refuse(unexpectedMessage, "a record of type %d within a handshake message", b[end])
	case b[end] == alert:
		return nil, c.alerted(b[:end])
	}
	return nil, refuse(unexpectedMessage, "a sealed record of type %d", b[end])
}

// alerted takes the peer's alert, RFC 8446, 6. Its level says nothing in TLS 1.3.
func (c *Conn) alerted(b []byte) error {
	if len(b) != 2 {
		return refuse(unexpectedMessage, "an alert of %d bytes, it has 2", len(b))
	}
	switch b[1] {
	case closeNotify:
		c.in.closed = true
		return io.EOF
	case userCanceled: // close_notify is to follow; some send it for no reason
		return c.idle("user_canceled")
	}
	return &Error{Alert: b[1], Remote: true}
}

// messages takes a record's content of handshake messages: whole ones, and
// parts. Nothing is kept of them but five bytes of one that came in part.
func (c *Conn) messages(b []byte) error {
	if len(b) == 0 { // RFC 8446, 5.1
		return refuse(unexpectedMessage, "an empty handshake record")
	}
	for len(b) > 0 {
		if c.skip > 0 {
			n := min(c.skip, len(b))
			c.skip -= n
			b = b[n:]
			continue
		}
		c.message[c.got] = b[0]
		c.got++
		b = b[1:]
		if err := c.messageHead(len(b)); err != nil {
			return err
		}
	}
	return nil
}

// messageHead looks at the head of a message after each of its bytes, so that
// what is refused is refused at once. after is how many bytes the record has
// behind it.
func (c *Conn) messageHead(after int) error {
	kind := c.message[0]
	if kind != keyUpdate && (kind != newSessionTicket || !c.client) {
		return refuse(unexpectedMessage, "a handshake message of type %d after the handshake", kind)
	}
	size := int(c.message[1])<<16 | int(c.message[2])<<8 | int(c.message[3])
	switch {
	case c.got < 4:
		return nil
	case kind == newSessionTicket:
		return c.ticket(size)
	case size != 1:
		return refuse(decodeError, "a key update of %d bytes, it has 1", size)
	case c.got < keyUpdateSize:
		return nil
	case c.message[4] > 1:
		return refuse(illegalParameter, "a key update with %d where 0 or 1 says if it asks for one", c.message[4])
	case after > 0: // RFC 8446, 5.1
		return refuse(unexpectedMessage, "%d bytes behind a key update, under a key that is no more", after)
	}
	return c.keyUpdated(c.message[4] == 1)
}

// ticket drops a NewSessionTicket, RFC 8446, 4.6.1: who wants tickets leaves
// its connections with crypto/tls. What is in it is not looked at.
func (c *Conn) ticket(size int) error {
	switch {
	case size < minTicket:
		return refuse(decodeError, "a session ticket's message of %d bytes, it has %d at least", size, minTicket)
	case size > maxMessage:
		return refuse(internalError, "a session ticket's message of %d bytes, at most %d are taken", size, maxMessage)
	}
	c.got, c.skip = 0, size
	return c.idle("a session ticket")
}

// keyUpdated goes on to the peer's next key, RFC 8446, 4.6.3.
func (c *Conn) keyUpdated(asks bool) error {
	c.got = 0
	if err := c.idle("a key update"); err != nil {
		return err
	}
	if err := c.in.update(); err != nil {
		return refuse(internalError, "the peer's next key: %v", err)
	}
	c.answer = c.answer || asks
	c.ask = false
	return nil
}

// idle counts what brought no data.
func (c *Conn) idle(what string) error {
	c.useless++
	if c.useless > maxUseless {
		return refuse(unexpectedMessage, "%s, and %d records before it brought no data either", what, maxUseless)
	}
	return nil
}

// fail keeps the first error, after which nothing is opened.
func (c *Conn) fail(err error) error {
	if c.err == nil {
		c.err = err
	}
	return c.err
}
