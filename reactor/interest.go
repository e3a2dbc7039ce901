package reactor

import (
	"syscall"
)

// reading tells whether the protocol is to get bytes now.
func (c *connection) reading() bool {
	return (c.stage == stageOpen || c.stage == stageUnbuilt) && c.flags&(flagPaused|flagAutoPaused) == 0 &&
		c.readSide != sideEnded
}

// wantsRead tells whether the socket is to be read now: TLS needs it for its
// handshake whatever the protocol wants.
func (c *connection) wantsRead() bool {
	if c.stage == stageLingering {
		return true
	}
	if c.tls != nil {
		if c.tls.eof {
			return false
		}
		if !c.tls.up() {
			return !c.tls.held && !c.ended()
		}
	}
	return c.reading() && c.flags&flagReadLater == 0
}

// interest is what the poller is to report.
func (c *connection) interest() Events {
	if c.stage == stageConnecting {
		return WriteEvent
	}
	var want Events
	if c.wantsRead() {
		want |= ReadEvent
	} else if c.readSide == sideOpen && !c.closing() {
		want |= FinEvent
	}
	if c.flags&flagBlocked != 0 {
		want |= WriteEvent
	}
	return want
}

// updatePoller tells the poller what has changed.
func (c *connection) updatePoller() {
	if c.fd == 0 {
		return
	}
	want := c.interest()
	if c.limits != nil && want&ReadEvent == 0 {
		c.limits.begun = 0 // it is not the peer that is slow
	}
	var err error
	switch {
	case c.polled && want == 0 && c.flags&flagHangup != 0:
		// The hang-up would be reported for ever.
		c.polled = false
		err = c.poller().Remove(c.fd)
	case c.polled && want != c.want:
		err = c.poller().Modify(c.fd, c.token(), want)
	case !c.polled && !(want == 0 && c.flags&flagHangup != 0):
		err = c.poller().Add(c.fd, c.token(), want)
		c.polled = err == nil
	}
	c.want = want
	if err != nil {
		c.endWith(Lost, err)
	}
}

// takeEvents takes what the poller reports.
func (c *connection) takeEvents(ev Events) {
	switch c.stage {
	case stageConnecting:
		c.checkConnect()
		return
	case stageLingering:
		c.drainLinger()
		return
	case stageOver, stageStopping, stageLost, stageFrozen, stageHanding, stageGone:
		return
	}
	if ev&(WriteEvent|HangupEvent|ErrorEvent) != 0 && c.flags&flagBlocked != 0 {
		c.flush()
		if c.ended() {
			return
		}
	}
	if c.wantsRead() {
		if ev&(ReadEvent|FinEvent|HangupEvent|ErrorEvent) != 0 {
			c.read(ev)
		}
		return
	}
	switch {
	case ev&ErrorEvent != 0:
		err := c.sys().SocketError(c.fd)
		if err == nil {
			err = syscall.ECONNRESET
		}
		c.endWith(Lost, err)
	case ev&HangupEvent != 0:
		c.flags |= flagHangup
		c.noteFin()
	case ev&FinEvent != 0:
		c.noteFin()
	}
}

// noteFin notes a FIN behind unread bytes. It must be read within the closed
// timeout, so that no socket stays in CLOSE_WAIT for ever.
func (c *connection) noteFin() {
	if c.readSide == sideOpen {
		c.readSide = sideEnding
		c.finAt, c.finSum = c.loop.now, 0
	}
	c.settleLater()
}
