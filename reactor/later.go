package reactor

// factory is whom to ask for the protocol of an accepted connection: its
// listener's, or, where that was late, what it has left in its place.
func (c *Conn) factory() Factory {
	if c.flags&flagLater != 0 {
		return c.takeLater()
	}
	return *c.listener.factory.Load()
}

// takeLater ends a connection's wait.
func (c *Conn) takeLater() Later {
	w := c.loop.later[c]
	delete(c.loop.later, c)
	c.flags &^= flagLater | flagBuild
	return w
}

// unbuilt takes BuildProtocol's error.
func (c *Conn) unbuilt(err error) {
	w, ok := err.(Later)
	if !ok {
		c.refuse(err)
		return
	}
	l := c.loop
	if l.later == nil {
		l.later = map[*Conn]Later{}
	}
	l.later[c] = w
	c.flags |= flagLater
	if c.setupBy == 0 { // else it has waited before
		c.setupBy = l.sys.Now() + c.listener.options.Load().HandshakeTimeout
	}
	c.watch()
	c.arm()
}

// BuildAgain has the protocol built in the next turn.
func (c *Conn) BuildAgain() {
	if c.flags&flagLater != 0 && c.flags&(flagFailed|flagLost) == 0 {
		c.flags |= flagBuild
		c.pendNext()
	}
}
