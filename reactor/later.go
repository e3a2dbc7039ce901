package reactor

// factory is whom to ask for the protocol of an accepted connection: its
// listener's, or, where that was late, what it has left in its place.
func (c *Conn) factory() Factory {
	if c.stage == stageLate {
		c.enter(stageUnbuilt)
		return c.takeLater()
	}
	return *c.listener.factory.Load()
}

// takeLater ends a connection's wait.
func (c *Conn) takeLater() Later {
	w := c.loop.later[c]
	delete(c.loop.later, c)
	c.flags &^= flagBuild
	return w
}

// buildFailed takes BuildProtocol's error.
func (c *Conn) buildFailed(err error) {
	w, ok := err.(Later)
	switch {
	case !ok:
		c.refuse(err)
		return
	case c.ended(): // it was aborted in BuildProtocol: nobody is asked again
		w.Gone()
		return
	}
	l := c.loop
	if l.later == nil {
		l.later = map[*Conn]Later{}
	}
	l.later[c] = w
	c.enter(stageLate)
	if c.setupBy == 0 { // else it has waited before
		c.setupBy = l.sys.Now() + c.listener.options.Load().HandshakeTimeout
	}
	c.watch()
	c.arm()
}

// BuildAgain has the protocol built in the next turn.
func (c *Conn) BuildAgain() {
	if c.stage == stageLate {
		c.flags |= flagBuild
		c.pendNext()
	}
}
