package reactor

import (
	"net"
	"net/netip"
)

// dropAccepted closes a socket that its loop can't take any more.
func (l *Loop) dropAccepted(c call) {
	c.listener.count.Add(-1)
	c.peer.gone()
	l.count.Add(-1)
	l.r.countConn(c.inside != nil, -1)
	closing := l.sys.Close
	if c.inside != nil {
		closing = c.inside.Close
	}
	if err := closing(c.accepted); err != nil {
		l.r.log.Debug("close", "err", err)
	}
}

// adoptSocket makes a connection of an accepted socket.
func (l *Loop) adoptSocket(a call) {
	ln, o := a.listener, a.listener.options.Load()
	c := &connection{loop: l, fd: a.accepted, share: a.share, listener: ln, stage: stageUnbuilt, reached: stageUnbuilt,
		opened: l.now, active: l.now, idle: o.IdleTimeout, limits: o.newLimits(l.now)}
	if c.limits != nil {
		c.limits.peer = a.peer
	}
	l.addConn(c)
	if ln.unix {
		c.flags |= flagUnix
	} else {
		if ta, ok := l.sys.RemoteAddr(c.fd).(*net.TCPAddr); ok {
			c.peer = unmap(ta.AddrPort())
		} else { // reset before we looked
			c.reason = Lost
			c.tellEnded()
			c.releaseSlot(false)
			return
		}
		if err := l.sys.SetNoDelay(c.fd, true); err != nil {
			l.r.log.Debug("TCP_NODELAY", "err", err)
		}
	}
	if o.ProxyProtocol {
		c.awaitProxyHeader()
		return
	}
	c.buildProtocol()
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// buildProtocol gives an accepted connection its protocol.
func (c *connection) buildProtocol() {
	l, ln, was := c.loop, c.listener, c.loop.current
	l.current = c
	waited := c.stage == stageAwaiting
	p, err := c.factory().BuildProtocol(c)
	if err != nil {
		c.buildFailed(err)
		l.current = was
		return
	}
	if c.stage == stageOver { // a factory must not abort, but may have done so: it has built all the same
		c.enter(stageUnbuilt)
	}
	c.attachProtocol(p)
	if waited {
		c.setupBy, c.active = 0, l.now
		c.resumed()
	}
	switch {
	case c.flags&flagBegun == 0:
		if o := ln.options.Load(); o.Scheme == "tls" {
			c.startServerTLS(o.TLS)
		}
	case c.tls != nil:
		c.flags |= flagTellUp
	}
	c.updatePoller()
	p.ConnectionMade(c)
	if c.idle > 0 || c.setupBy > 0 || c.limits != nil {
		c.armTimer()
	}
	l.settle()
	l.current = was // the connection's own, where more of it comes in this turn
}

// attachProtocol sets the protocol.
func (c *connection) attachProtocol(p Protocol) {
	c.proto = p
	c.buffered, _ = p.(BufferedProtocol)
	c.enter(stageOpen)
	if c.link != nil {
		c.link.establish()
	}
}
