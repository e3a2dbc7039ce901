package reactor

import (
	"fmt"
)

// buffer is the loop's own, for protocols without one.
func (l *Loop) buffer() []byte {
	if l.readBuf == nil {
		l.readBuf = make([]byte, maxRead)
	}
	return l.readBuf
}

// receiveBuffer is where the protocol wants its bytes.
func (c *connection) receiveBuffer() []byte {
	if c.buffered == nil {
		return c.loop.buffer()
	}
	buf := c.buffered.ReceiveBuffer()
	if len(buf) > maxRead {
		buf = buf[:maxRead]
	}
	return buf
}

// read takes one piece from the socket. Readiness is level-triggered, so one
// piece a turn is enough, and is fair to the other connections.
func (c *connection) read(ev Events) {
	if c.tls != nil {
		c.tls.read(c, ev)
		return
	}
	if c.stage == stageUnbuilt {
		c.readProxyHeader()
		return
	}
	if len(c.proxied) > 0 {
		c.readAhead()
		return
	}
	buf := c.receiveBuffer()
	if c.limits != nil {
		buf = c.limits.readable(c, buf)
	}
	n, err := c.sys().Read(c.fd, buf)
	if n > 0 {
		if c.countRead(n) {
			c.proto.DataReceived(buf[:n])
		}
		return
	}
	c.readNothing(err, ev)
}

// countRead counts what was read, and reports whether the connection lives on.
func (c *connection) countRead(n int) bool {
	c.in += uint64(n)
	c.loop.turns.bytesIn += uint64(n)
	c.active = c.loop.now
	c.finSum = 0
	return c.limits == nil || c.limits.hasRead(c, n)
}

// readNothing takes a read's result other than bytes.
func (c *connection) readNothing(err error, ev Events) {
	switch {
	case err == nil:
		c.peerEnded()
	case retryable(err):
		if ev&ErrorEvent != 0 {
			if err := c.sys().SocketError(c.fd); err != nil {
				c.endWith(Lost, err)
			}
		}
	default:
		c.endWith(Lost, fmt.Errorf("read: %w", err))
	}
}

// readAhead delivers bytes that were read from the socket but not delivered:
// those behind a PROXY header, those that were handed over, and those that TLS has decrypted.
func (c *connection) readAhead() {
	if len(c.proxied) > 0 && (c.tls == nil || c.tls.up()) {
		buf := c.receiveBuffer()
		n := copy(buf, c.proxied)
		c.proxied = c.proxied[n:]
		if len(c.proxied) == 0 {
			c.proxied = nil
		}
		c.finSum = 0
		c.takeTurnLater() // the rest, or a look at the socket
		c.proto.DataReceived(buf[:n])
		return
	}
	if c.tls != nil && c.tls.up() {
		c.tls.deliver(c)
	}
}

// peerEnded is the peer's orderly end of its writing side.
func (c *connection) peerEnded() {
	c.readSide = sideEnded
	c.settleLater()
	h, ok := c.proto.(HalfCloseable)
	if !ok {
		c.LoseConnection()
		return
	}
	h.ReadConnectionLost()
	if c.writeSide == sideEnded {
		c.endWith(Done, nil)
	}
}

// PauseProducing stops reading.
func (c *connection) PauseProducing() {
	if c.flags&flagPaused == 0 {
		c.flags |= flagPaused
		// Of a FIN that is known. To resume is no progress, only bytes are.
		c.finAt = c.loop.now - c.finSum
		c.settleLater()
	}
}

// ResumeProducing starts reading again.
func (c *connection) ResumeProducing() {
	if c.flags&flagPaused != 0 {
		c.flags &^= flagPaused
		if c.readSide == sideEnding {
			c.finSum = c.loop.now - c.finAt
		}
		c.resumed()
	}
}

// resumed lets bytes come again: what TLS or a PROXY header has left first.
func (c *connection) resumed() {
	c.settleLater()
	if c.flags&(flagPaused|flagAutoPaused) != 0 {
		return
	}
	c.flags &^= flagHangup
	if c.tls != nil || len(c.proxied) > 0 {
		c.takeTurnLater()
	}
}
