package reactor

import (
	"net"
)

func (c *connection) unixAddr(a net.Addr) string {
	if a == nil {
		return "unix://"
	}
	return "unix://" + a.String()
}

// Peer is the remote endpoint: that of the PROXY header, where there is one.
// On TLS its scheme is tcp as well.
func (c *connection) Peer() string {
	switch {
	case c.link != nil:
		return c.link.facts.peer
	case c.flags&flagUnix != 0 && !c.peer.IsValid():
		if c.client != nil {
			return c.client.ep.String()
		}
		if c.fd == 0 {
			return c.unixAddr(nil)
		}
		return c.unixAddr(c.sys().RemoteAddr(c.fd))
	case c.peer.IsValid():
		return "tcp://" + c.peer.String()
	case c.client != nil:
		return "tcp://" + c.client.ep.address()
	}
	return "tcp://"
}

// Host is our endpoint.
func (c *connection) Host() string {
	if c.link != nil {
		return c.link.facts.host
	}
	if c.local.IsValid() {
		return "tcp://" + c.local.String()
	}
	if c.fd == 0 {
		return ""
	}
	a := c.sys().LocalAddr(c.fd)
	if c.flags&flagUnix != 0 {
		return c.unixAddr(a)
	}
	if a == nil {
		return "tcp://"
	}
	return "tcp://" + a.String()
}

// Loop is the event loop that owns the connection.
func (c *connection) Loop() *Loop { return c.loop }

// Share is whose time its protocol takes; nil is nobody's.
func (c *connection) Share() *Share { return c.share }

// Stats counts the connection's bytes.
func (c *connection) Stats() ConnStats {
	s := ConnStats{In: c.in, Out: c.sent, Queued: c.queued(), Opened: c.opened, Active: c.active,
		Listener: c.listener}
	if c.link != nil {
		s.Depth, s.Link = c.link.facts.depth, c.link.link.number
	}
	return s
}

// State describes the connection.
func (c *connection) State() State {
	var s State
	set := func(on bool, bit State) {
		if on {
			s |= bit
		}
	}
	set(c.flags&flagPaused != 0, StatePaused)
	set(c.readSide == sideEnded, StatePeerClosed)
	set(c.writeSide != sideOpen, StateWriteClosed)
	set(c.closing(), StateClosing)
	set(c.outgoing(), StateOutgoing)
	set(c.producer != nil, StateProducer)
	set(c.tls != nil, StateTLS)
	set(c.tls == nil && c.listener != nil && c.writable() && c.listener.tls() != nil, StateCanStartTLS)
	return s
}

// outgoing tells whether we have connected.
func (c *connection) outgoing() bool { return c.listener == nil && c.flags&flagOrphan == 0 }

// PeerCertificate is the DER of the peer's leaf certificate, or nil.
func (c *connection) PeerCertificate() []byte {
	if c.link != nil && c.tls == nil {
		return c.link.facts.cert
	}
	return c.tlsFacts().peer
}

// NegotiatedProtocol is the one that ALPN chose, or "".
func (c *connection) NegotiatedProtocol() string {
	if c.link != nil && c.tls == nil {
		return c.link.facts.protocol
	}
	return c.tlsFacts().protocol
}

// tlsFacts are those of the session; zero before the handshake has ended.
func (c *connection) tlsFacts() tlsFacts {
	if c.tls == nil {
		return tlsFacts{}
	}
	return c.tls.facts
}

// SetTCPNoDelay sets TCP_NODELAY.
func (c *connection) SetTCPNoDelay(on bool) error { return c.setTCP(c.loop.sys.SetNoDelay, on) }

// SetTCPKeepAlive sets SO_KEEPALIVE.
func (c *connection) SetTCPKeepAlive(on bool) error { return c.setTCP(c.loop.sys.SetKeepAlive, on) }

func (c *connection) setTCP(set func(FD, bool) error, on bool) error {
	if c.flags&flagUnix != 0 || c.fd == 0 {
		return ErrNotSupported
	}
	return set(c.fd, on)
}
