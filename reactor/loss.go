package reactor

// endWith ends the connection: the protocol is told after the running callback.
func (c *connection) endWith(reason Reason, err error) {
	switch c.stage {
	case stageOver, stageStopping:
		c.settleLater() // a panic may have come before it was told
		return
	case stageLingering:
		c.closeDrained()
		return
	case stageLost, stageFrozen, stageGone:
		return
	case stageHanding:
		c.endWait()
	}
	switch {
	case c.tls == nil || c.tls.client || c.listener == nil:
	case !c.tls.up():
		c.noteHandshake(reason, err)
	case reason == TLSFailure:
		c.noteRecord(err)
	}
	c.enter(stageOver)
	c.reason, c.err = reason, err
	c.settleLater()
}

// stopProducer tells the producer of a connection that is over, and then, whatever
// that does, the protocol.
func (c *connection) stopProducer() {
	p := c.producer
	if p == nil {
		c.tellLoss()
		return
	}
	c.producer = nil
	c.enter(stageStopping)
	defer func() {
		if c.mayTell() {
			c.tellLoss()
		}
	}()
	p.StopProducing()
}

// advanceClose takes closing a step further once the output has drained and no
// producer is left.
func (c *connection) advanceClose() {
	asked := c.stage == stageClosing || c.stage == stageOpen && c.writeSide != sideOpen
	if !asked || c.producer != nil && c.flags&flagRetired == 0 || c.queued() > 0 || c.link != nil && c.link.landed() {
		return
	}
	if c.tls != nil && !c.tls.sendCloseNotify(c) {
		return
	}
	if c.stage == stageClosing {
		if c.flags&flagRetired != 0 {
			c.endWith(Timeout, c.err)
		} else {
			c.endWith(Done, nil)
		}
		return
	}
	if c.writeSide == sideEnded {
		return
	}
	c.writeSide = sideEnded
	if err := c.sys().ShutdownWrite(c.fd); err != nil {
		c.endWith(Lost, err)
		return
	}
	if h, ok := c.proto.(HalfCloseable); ok {
		h.WriteConnectionLost()
	}
	if c.readSide == sideEnded {
		c.endWith(Done, nil)
	}
}

// tellLoss tells the protocol and lets go of the socket, whatever the protocol's
// callbacks do.
func (c *connection) tellLoss() {
	l := c.loop
	c.enter(stageLost)
	if len(l.behind) > 0 {
		c.linkBehind()
	}
	if l.gatherConn == c {
		if len(l.gather) > 0 {
			c.flags |= flagReset
		}
		l.gatherConn, l.gather = nil, l.gather[:0]
	}
	linger := c.inOrder() && c.fd != 0 && c.readSide != sideEnded && !c.unbuilt() && c.flags&flagReset == 0
	if linger && c.writeSide != sideEnded {
		if err := c.sys().ShutdownWrite(c.fd); err != nil {
			linger = false
		}
	}
	if c.tls != nil {
		c.tls.end(c.loop)
	}
	defer c.letGo(linger)
	c.callLost()
}

// callLost is the protocol's last callback.
func (c *connection) callLost() {
	switch {
	case c.proto != nil:
		c.proto.ConnectionLost(c.reason, c.err)
	case c.client != nil:
		c.client.tellFailure(c)
	}
}

// letGo is the end of a connection whose protocol was told. Where output was
// dropped, the peer must not take the end for an orderly one.
func (c *connection) letGo(linger bool) {
	l := c.loop
	c.tellEnded()
	reset := resets(c.reason) && !c.inOrder() || c.flags&flagReset != 0 || c.out.n > 0
	c.out.clear(l)
	c.flags &^= flagsStuck
	c.proto, c.buffered, c.proxied = nil, nil, nil
	switch {
	case linger && !l.ending:
		c.startLinger()
	case l.ending && !reset:
		c.closeDrained()
	default:
		c.releaseSlot(reset)
	}
}

// closeDrained closes a socket whose input is read first, as far as it has come:
// unread bytes would make the close a reset, and take away what we have sent.
func (c *connection) closeDrained() {
	if c.fd != 0 {
		c.discardInput()
	}
	c.releaseSlot(false)
}

// resets tells the reasons that end a connection with RST.
func resets(r Reason) bool {
	return r == Aborted || r == Timeout || r == OverLimit || r == ProtocolFailed
}

// startLinger keeps a socket that we have closed in an orderly way until the peer
// has closed too, for at most the close timeout. Closed at once, it would
// answer bytes that still arrive with RST, and the peer could lose what it has
// not read yet (RFC 1122, 4.2.2.13; nginx's lingering_close).
func (c *connection) startLinger() {
	c.enter(stageLingering)
	c.loop.lingering.Add(1)
	c.setupBy = c.loop.sys.Now() + c.loop.r.cfg.CloseTimeout
	c.updatePoller()
	c.armTimer()
}

func (c *connection) drainLinger() {
	if c.discardInput() {
		c.releaseSlot(false)
	}
}

// discardInput reads what has come, but no more than a turn's share, and reports
// whether that was all there will be.
func (c *connection) discardInput() (ended bool) {
	buf := c.loop.buffer()
	for range maxDeliveries {
		n, err := c.sys().Read(c.fd, buf)
		if err != nil && retryable(err) {
			return false
		}
		if n == 0 || err != nil {
			return true
		}
		if n < len(buf) {
			return false
		}
	}
	return false
}

// releaseSlot closes the socket and gives the slot back.
func (c *connection) releaseSlot(reset bool) {
	l, forgotten := c.loop, c.stage == stageFrozen
	if c.stage == stageLingering {
		l.lingering.Add(-1)
	}
	c.enter(stageGone)
	if c.timer != nil {
		c.timer.Cancel()
		c.timer = nil
	}
	if c.fd != 0 {
		closing := c.sys().Close
		if reset {
			closing = c.sys().Reset
		}
		c.dropSocket(closing)
	}
	if c.listener != nil {
		c.listener.count.Add(-1)
	}
	if c.limits != nil {
		c.limits.peer.gone()
		c.limits = nil
	}
	if c.tls != nil {
		c.tls.end(c.loop)
		c.tls = nil
	}
	l.removeConn(c, forgotten)
	if c.reached == stageAwaiting {
		c.endWait().Gone()
	}
}

// dropSocket takes the socket from the poller and closes it.
func (c *connection) dropSocket(closing func(FD) error) {
	l := c.loop
	if c.polled {
		c.polled = false
		if err := c.poller().Remove(c.fd); err != nil {
			l.r.log.Warn("poller: remove", "fd", c.fd, "err", err)
		}
	}
	if err := closing(c.fd); err != nil {
		l.r.log.Debug("close", "fd", c.fd, "err", err)
	}
	c.fd = 0
}

// dropSilently closes a connection without a word to its protocol.
func (c *connection) dropSilently() {
	if c.client != nil {
		c.client.cancel()
	}
	if !c.ended() || c.stage == stageHanding {
		c.reason = ShuttingDown
	}
	if c.stage < stageLost || c.stage == stageHanding {
		c.tellEnded()
	}
	reset := c.flags&flagReset != 0 || resets(c.reason) || c.queued() > 0
	c.out.clear(c.loop)
	c.proto, c.buffered, c.producer = nil, nil, nil
	c.releaseSlot(reset)
}
