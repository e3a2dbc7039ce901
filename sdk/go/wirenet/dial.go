package wirenet

import (
	"context"
	"net"
	"syscall"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// dial is a connection to be made.
type dial struct {
	endpoint  string
	timeout   time.Duration
	as        *wirehost.Transport // whose peer is seen behind it; nil: none's
	transport *wirehost.Transport // while it is being made
	err       error               // why it was given up, or not even begun
}

// DialContext opens a connection, as a net.Dialer's does, or a *PacketConn that is
// connected; network is tcp, tls, unix or udp, or plugin, whose address is a plugin's name,
// and the server must allow the endpoint (the plugin's allow.connect). The server resolves
// names. It may be called from a goroutine only, never in Options.Start; udp needs package
// datagram to be imported.
func (s *Server) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if isDatagrams(network) {
		c, err := s.openPacket(ctx, "dial", network, address)
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	return s.dial(ctx, nil, network, address)
}

// DialAs is DialContext on behalf of a connection that Accept gave, which stays as it is: the
// plugin that network "plugin" and its name lead to sees that one's peer, host, certificate
// and ALPN. Address "next" is the plugin behind in the listener's chain, so that a filter is
//
//	next, err := server.DialAs(ctx, conn, "plugin", "next")
//
// The error wraps syscall.EINVAL where as is no *Conn, or network is udp.
func (s *Server) DialAs(ctx context.Context, as net.Conn, network, address string) (net.Conn, error) {
	c, ok := as.(*Conn)
	if !ok || isDatagrams(network) {
		return nil, dialError(network, address, syscall.EINVAL)
	}
	return s.dial(ctx, c.transport, network, address)
}

// dial is both.
func (s *Server) dial(ctx context.Context, as *wirehost.Transport, network, address string) (net.Conn, error) {
	d := &dial{endpoint: endpointText(network, address), as: as}
	if end, ok := ctx.Deadline(); ok {
		d.timeout = max(time.Until(end), time.Millisecond)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.newConn()
	c.dial = d
	if err := ctx.Err(); err != nil {
		return nil, dialError(network, address, err)
	}
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if c.dial != nil && d.err == nil {
			d.err = ctx.Err()
			c.post()
			c.readable.Broadcast()
		}
	})
	defer stop()
	c.post()
	for c.dial != nil && d.err == nil && c.fault == nil {
		c.readable.Wait()
	}
	switch {
	case d.err != nil:
		return nil, dialError(network, address, d.err)
	case c.fault != nil:
		return nil, dialError(network, address, c.fault)
	}
	return c, nil
}

// Dial is DialContext with no end but the server's own.
func (s *Server) Dial(network, address string) (net.Conn, error) {
	return s.DialContext(context.Background(), network, address)
}

// endpointText is the endpoint that a network and an address of package net's name.
func endpointText(network, address string) string {
	if network == "unix" && (address == "" || address[0] != '/') {
		return network + ":///" + address
	}
	return network + "://" + address
}

func dialError(network, address string, err error) error {
	return &net.OpError{Op: "dial", Net: network, Addr: endpoint{network, address}, Err: err}
}

// dialWork begins or gives up a connection that is being made. mu is held.
func (c *Conn) dialWork() {
	s, d := c.server, c.dial
	switch {
	case d.err == nil && d.transport == nil:
		t, err := s.connect(d, &protocol{conn: c})
		if err == wirehost.ErrNotNow { // in the start of a version that replaces another
			s.early = append(s.early, c)
			return
		}
		if d.transport, d.err = t, err; err != nil {
			c.readable.Broadcast()
		}
	case d.err != nil && d.transport != nil:
		s.told("end of a connection that is being made", d.transport.AbortConnection())
	}
}

func (s *Server) connect(d *dial, p *protocol) (*wirehost.Transport, error) {
	if d.as != nil {
		return s.reactor.ConnectAs(d.as, d.endpoint, d.timeout, p)
	}
	return s.reactor.Connect(d.endpoint, d.timeout, p)
}
