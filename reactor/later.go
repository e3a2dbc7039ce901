package reactor

import "errors"

// factory is whom to ask for the protocol of an accepted connection: its
// listener's, or, where that was late, what it has left in its place.
func (c *connection) factory() Factory {
	if c.stage == stageAwaiting {
		c.enter(stageUnbuilt)
		return c.endWait()
	}
	if r := c.listener.options.Load().Router; r != nil {
		return routings{r}
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
	c.await(w)
	c.enter(stageAwaiting)
	if c.setupBy == 0 { // else it has waited before
		patience := handshakeTimeout
		if c.listener != nil {
			patience = c.listener.options.Load().HandshakeTimeout
		}
		c.setupBy = c.loop.sys.Now() + patience
	}
	c.updatePoller()
	c.armTimer()
}

// await notes whom the connection waits for.
func (c *connection) await(w Later) {
	if c.loop.awaiting == nil {
		c.loop.awaiting = map[*connection]Later{}
	}
	c.loop.awaiting[c] = w
}

// BuildAgain has the protocol built in the next turn.
func (c *connection) BuildAgain() {
	if c.stage == stageAwaiting {
		c.flags |= flagBuild
		c.takeTurnLater()
	}
}
