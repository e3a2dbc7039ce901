package reactor

import (
	"fmt"
)

// Write queues p. Where nothing is queued before it, small pieces are gathered
// until the callback returns and go out in one system call, and large ones go
// straight from p.
func (c *connection) Write(p []byte) (int, error) {
	if !c.writable() && !c.producing() {
		was := c.stage == stageOver && c.reached == stageOpen && c.writeSide == sideOpen
		if was && len(p) > 0 { // it would have been taken
			c.flags |= flagReset
		}
		return 0, nil
	}
	if len(p) == 0 { // a system call for it could fail
		return c.queued(), nil
	}
	l := c.loop
	if c.tls != nil {
		return c.tls.write(c, p)
	}
	if c.link != nil {
		return c.writeInside(p)
	}
	if c.out.n == 0 && !c.slowed() {
		if l.gatherConn == nil || l.gatherConn == c {
			if len(p) < directWrite && len(l.gather)+len(p) <= l.gatherMax {
				l.gather = append(l.gather, p...)
				l.gatherConn = c
				return len(l.gather), nil
			}
			return c.writeThrough(p)
		}
	}
	return c.enqueue(p)
}

// WriteSequence is Write for several pieces.
func (c *connection) WriteSequence(pieces [][]byte) (int, error) {
	queued := c.queued()
	for _, p := range pieces {
		n, err := c.Write(p)
		if err != nil {
			return 0, err
		}
		queued = n
	}
	return queued, nil
}

// writable tells whether a write is taken, whoever writes.
func (c *connection) writable() bool { return c.stage == stageOpen && c.writeSide == sideOpen }

// producing tells whether a producer may still write: closing waits for it, so
// what it writes counts.
func (c *connection) producing() bool {
	return c.producer != nil && !c.ended() && c.writeSide != sideEnded && c.flags&flagNotified == 0
}

// queued is what was taken and not written.
func (c *connection) queued() int {
	n := c.out.n
	if c.loop.gatherConn == c {
		n += len(c.loop.gather)
	}
	if t := c.tls; t != nil && t.pipe != nil {
		n += t.pipe.plain.n
	}
	return n
}

// writeThrough writes what is gathered and p, and queues what the socket does
// not take.
func (c *connection) writeThrough(p []byte) (int, error) {
	l := c.loop
	var n int
	var err error
	if l.gatherConn == c {
		l.iov = append(l.iov[:0], l.gather, p)
		n, err = l.sys.Writev(c.fd, l.iov)
		if !c.countWritten(n, err) {
			return 0, nil
		}
		if n < len(l.gather) {
			c.out.push(l, l.gather[n:])
			n = 0
		} else {
			n -= len(l.gather)
		}
		l.gatherConn, l.gather = nil, l.gather[:0]
	} else {
		n, err = c.sys().Write(c.fd, p)
		if !c.countWritten(n, err) {
			return 0, nil
		}
	}
	if n == len(p) {
		c.emptied()
		return 0, nil
	}
	c.markBlocked()
	return c.enqueue(p[n:])
}

// countWritten counts a write's result, and reports whether the connection lives on.
func (c *connection) countWritten(n int, err error) bool {
	if n > 0 {
		c.sent += uint64(n)
		c.loop.turns.bytesOut += uint64(n)
		c.active, c.progress = c.loop.now, c.loop.now
		if c.limits != nil {
			c.limits.hasWritten(c, n)
		}
	}
	if err != nil && !retryable(err) {
		c.endWith(Lost, fmt.Errorf("write: %w", err))
		return false
	}
	return true
}

// markBlocked waits for the socket to take more.
func (c *connection) markBlocked() {
	if c.flags&flagBlocked == 0 {
		c.flags |= flagBlocked
		c.checkUnsent()
		c.progress = c.loop.now
		c.settleLater()
	}
}

// enqueue queues p behind what is queued. Where that is too much, the socket is
// offered all of it first. Plain text of a TLS connection never comes here.
func (c *connection) enqueue(p []byte) (int, error) {
	l := c.loop
	if c.exceedsCap(len(p)) && c.flags&flagsStuck == 0 {
		if c.out.n > 0 {
			c.flush()
		}
		if c.flags&flagsStuck == 0 && !c.ended() && !c.slowed() {
			return c.writeThrough(p)
		}
	}
	if err := c.enforceCap(len(p)); err != nil || c.ended() {
		return 0, err
	}
	if len(p) > 0 {
		c.out.push(l, p)
		c.markDirty()
	}
	if c.flags&flagsStuck != 0 {
		c.checkWater()
	}
	return c.queued(), nil
}

// exceedsCap tells whether n bytes more would be over the hard cap: its own, or that of
// all where it is above the high-water mark.
func (c *connection) exceedsCap(n int) bool {
	cfg := &c.loop.r.cfg
	n += c.queued()
	return n > cfg.MaxQueued || n > cfg.HighWater && c.loop.crowded()
}

// enforceCap ends the connection if n bytes more are over the hard cap.
func (c *connection) enforceCap(n int) error {
	if c.ended() || !c.exceedsCap(n) {
		return nil
	}
	if most := c.loop.r.cfg.MaxQueued; c.queued()+n > most {
		c.endWith(OverLimit, fmt.Errorf("%d bytes queued and %d more, at most %d", c.queued(), n, most))
	} else {
		c.endWith(OverLimit, fmt.Errorf("%d bytes queued and %d more, while all connections of the loop"+
			" have queued more than %d", c.queued(), n, c.loop.chunksMax*chunkSize))
	}
	return ErrOverLimit
}

// markDirty has flush called at the end of the turn.
func (c *connection) markDirty() {
	if c.flags&(flagDirty|flagsStuck) == 0 {
		c.flags |= flagDirty
		c.loop.dirty = append(c.loop.dirty, c)
	}
}

// flushWritten sends what a callback has written, and delivers what has landed with others.
func (l *Loop) flushWritten() {
	if l.gatherConn != nil {
		l.flushGather()
	}
	if l.landing != nil {
		l.deliverLanded()
	}
}

// flushGather sends what the callback wrote in small pieces.
func (l *Loop) flushGather() {
	c := l.gatherConn
	l.gatherConn = nil
	p := l.gather
	l.gather = l.gather[:0]
	if c.ended() {
		if len(p) > 0 {
			c.flags |= flagReset
		}
		return
	}
	if c.tls != nil {
		c.tls.seal(c, p)
		c.tls.flush(c)
		return
	}
	n, err := l.sys.Write(c.fd, p)
	if !c.countWritten(n, err) {
		return
	}
	if n < len(p) {
		c.out.push(l, p[n:])
		c.markBlocked()
		c.checkWater()
		return
	}
	c.emptied()
}

// flush offers the queue's front to the socket, once: what it does not take
// waits for a WriteEvent, which is fair to the other connections.
func (c *connection) flush() {
	if c.ended() || c.out.n > 0 && !c.offer() {
		return
	}
	switch {
	case c.out.n == 0:
		if c.flags&flagsStuck != 0 {
			c.flags &^= flagsStuck
			c.settleLater()
			if c.tls != nil {
				c.tls.unstuck(c)
			}
		}
		c.emptied()
	case c.slowed() && c.limits.spent(c):
		c.writeLater()
	default:
		c.markBlocked()
	}
	c.checkWater()
}

// offer gives the socket the queue's front, as far as the connection's rate lets it go,
// and reports whether the connection lives on.
func (c *connection) offer() bool {
	l := c.loop
	pieces := c.out.pieces(l.iov[:0])
	if c.slowed() {
		if pieces = c.limits.writable(c, pieces); len(pieces) == 0 {
			return true
		}
	}
	n, err := c.sys().Writev(c.fd, pieces)
	if !c.countWritten(n, err) {
		return false
	}
	c.out.dropFront(l, n)
	return true
}

// emptied is when all output is with the system.
func (c *connection) emptied() {
	if c.producer != nil && c.flags&flagStreaming == 0 && c.flags&flagPull == 0 && c.queued() == 0 {
		c.flags |= flagPull
		c.takeTurnLater()
	}
	if c.closing() || c.writeSide != sideOpen {
		c.settleLater()
	}
}

// checkWater pauses and resumes reading and the producer at the watermarks.
func (c *connection) checkWater() {
	cfg := &c.loop.r.cfg
	n := c.queued()
	if n > cfg.HighWater && c.flags&flagAutoPaused == 0 {
		c.flags |= flagAutoPaused
		if c.producer != nil && c.flags&flagStreaming != 0 {
			if c.flags&flagTellResume != 0 {
				c.flags &^= flagTellResume
			} else {
				c.flags |= flagTellPause
			}
		}
		c.settleLater()
	} else if n <= cfg.LowWater && c.flags&flagAutoPaused != 0 {
		c.flags &^= flagAutoPaused
		if c.producer != nil && c.flags&flagStreaming != 0 {
			if c.flags&flagTellPause != 0 {
				c.flags &^= flagTellPause
			} else {
				c.flags |= flagTellResume
			}
		}
		c.resumed()
	}
}

// RegisterProducer has p told of the watermarks (streaming), or of each
// emptying (not streaming).
func (c *connection) RegisterProducer(p Producer, streaming bool) error {
	switch {
	case c.unbuilt() || c.stage > stageOver:
		return ErrNotConnected
	case c.producer != nil:
		return ErrBusy
	}
	c.producer = p // of a connection that has failed: to be told with the loss
	c.flags &^= flagStreaming | flagTellPause | flagTellResume
	switch {
	case !streaming:
		c.flags |= flagPull
		switch {
		case c.queued() > 0:
			c.flags &^= flagPull // at the emptying
		case c.asked == c.sent+1: // in vain: registered without end, it would be a loop without end
			c.pullAt = c.loop.sys.Now() + askAgain
			c.settleLater()
		default:
			c.takeTurnLater()
		}
	default:
		c.flags |= flagStreaming
		if c.flags&flagAutoPaused != 0 {
			c.flags |= flagTellPause
			c.settleLater()
		}
	}
	return nil
}

// UnregisterProducer lets closing go on.
func (c *connection) UnregisterProducer() {
	c.producer = nil
	c.pullAt = 0
	c.flags &^= flagStreaming | flagPull | flagTellPause | flagTellResume
	c.settleLater()
}

// LoseConnection flushes and closes.
func (c *connection) LoseConnection() {
	switch {
	case c.stage >= stageClosing:
		return
	case c.unbuilt():
		c.endWith(Aborted, nil)
		return
	}
	c.enter(stageClosing)
	c.progress = c.loop.now
	c.settleLater()
}

// LoseWriteConnection flushes and closes our writing side.
func (c *connection) LoseWriteConnection() {
	if !c.writable() {
		return
	}
	c.writeSide = sideEnding
	c.progress = c.loop.now
	c.settleLater()
}

// AbortConnection drops the queued output and resets.
func (c *connection) AbortConnection() {
	if c.stage != stageHanding { // it is another protocol's
		c.Abort(Aborted, nil)
	}
}

// Abort is AbortConnection with the reason to be told.
func (c *connection) Abort(reason Reason, err error) {
	if c.stage > stageOver && (c.stage != stageHanding || c.proto == nil) {
		return
	}
	c.flags |= flagReset
	if c.stage == stageOver && c.reason == Done { // not told yet
		c.reason, c.err = reason, err
	}
	c.endWith(reason, err)
}
