package reactor

import "errors"

// factory is whom to ask for the protocol of an accepted connection: its
// listener's, or, where that was late, what it has left in its place.
func (c *connection) factory() Factory {
	if c.stage == stageAwaiting {
		c.enter(stageUnbuilt)
		return c.endWait()
	}
	return *c.listener.factory.Load()
}

// endWait takes a connection from those that wait for their protocol.
func (c *connection) endWait() Later {
	w := c.loop.awaiting[c]
	delete(c.loop.awaiting, c)
	c.flags &^= flagBuild
	return w
}

// buildFailed takes BuildProtocol's error.
func (c *connection) buildFailed(err error) {
	var w Later
	switch {
	case !errors.As(err, &w):
		c.refuseConnection(refusedProtocol, err)
		return
	case c.ended(): // it was aborted in BuildProtocol: nobody is asked again
		w.Gone()
		return
	}
	l := c.loop
	if l.awaiting == nil {
		l.awaiting = map[*connection]Later{}
	}
	l.awaiting[c] = w
	c.enter(stageAwaiting)
	if c.setupBy == 0 { // else it has waited before
		c.setupBy = l.sys.Now() + c.listener.options.Load().HandshakeTimeout
	}
	c.updatePoller()
	c.armTimer()
}

// BuildAgain has the protocol built in the next turn.
func (c *connection) BuildAgain() {
	if c.stage == stageAwaiting {
		c.flags |= flagBuild
		c.takeTurnLater()
	}
}
