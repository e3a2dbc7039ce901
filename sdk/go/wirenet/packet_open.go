package wirenet

import (
	"context"
	"net"
	"strings"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// ListenPacket opens an unconnected datagram socket, as net.ListenPacket does: network
// is udp, udp4 or udp6, address one of this machine's with port 0. The server must
// allow each address that is sent to (the plugin's allow.connect). It may be called
// from a goroutine only, never in Options.Start, and needs package datagram to be
// imported.
func (s *Server) ListenPacket(network, address string) (net.PacketConn, error) {
	c, err := s.openPacket(context.Background(), "listen", network, address)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// openPacket waits for a socket that the server opens.
func (s *Server) openPacket(ctx context.Context, op, network, address string) (*PacketConn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.newPacketConn()
	c.endpoint = "udp://" + address
	fail := func(err error) (*PacketConn, error) {
		return nil, &net.OpError{Op: op, Net: network, Addr: endpoint{network, address}, Err: err}
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !c.opened && c.fault == nil {
			c.fault = ctx.Err()
			c.close()
		}
	})
	defer stop()
	c.post()
	for !c.opened && c.fault == nil {
		c.readable.Wait()
	}
	if c.fault != nil {
		return fail(c.fault)
	}
	return c, nil
}

// isDatagrams tells whether a network is one of datagram sockets.
func isDatagrams(network string) bool { return strings.HasPrefix(network, "udp") }

// job does for the server what the goroutines want of the socket. mu is held.
func (c *PacketConn) job() {
	s := c.server
	c.posted = false
	switch {
	case c.ended:
		return
	case c.socket == nil:
		if !c.closed {
			c.open()
		}
		return
	case !c.opened: // it is being opened
		if c.closed {
			c.lose()
		}
		return
	}
	c.resume(s, c.socket)
	if c.written > 0 {
		c.flush()
	}
	if c.closed {
		c.lose()
	}
}

// flush hands over what was written. mu is held.
func (c *PacketConn) flush() {
	err := c.socket.SendRecords(c.out, c.written)
	if err == wirehost.ErrInvalid && c.written > 1 { // for the sake of one nothing was sent
		for rest := c.out; len(rest) > 0; {
			one := rest
			_, _, rest = readRecord(rest)
			_ = c.socket.SendRecords(one[:len(one)-len(rest)], 1) // one that can't be sent is lost, as any may be
		}
		err = nil
	}
	c.server.told("sending datagrams", err)
	c.out, c.written = c.out[:0], 0
	c.writable.Broadcast()
}

func (c *PacketConn) lose() {
	if !c.losing {
		c.losing = true
		c.server.told("close of a socket", c.socket.LoseConnection())
	}
}

func (c *PacketConn) open() {
	socket, err := c.server.reactor.OpenDatagram(c.endpoint, &packetProtocol{conn: c})
	if err != nil {
		c.fault = err
		c.wake()
		return
	}
	c.socket = socket
}

// BuildDatagramProtocol makes the protocol of a configured socket.
func (s *Server) BuildDatagramProtocol(*wirehost.Transport) wirehost.Protocol {
	if s.options.ServePacket == nil {
		return nil
	}
	return &packetProtocol{conn: s.newPacketConn(), configured: true}
}

// packetProtocol is a datagram socket, as the server sees it. Each callback leaves
// word with the PacketConn and then lets the goroutines run.
type packetProtocol struct {
	wirehost.Base
	conn       *PacketConn
	configured bool
}

// ConnectionMade gives the socket to Options.ServePacket, or to who opened it.
func (p *packetProtocol) ConnectionMade() {
	c, t := p.conn, p.Transport
	s := c.server
	local, err := t.Host()
	s.told("address of a socket", err)
	remote, err := t.Peer()
	s.mu.Lock()
	c.socket, c.local = t, address(local)
	if err == nil && remote != "" {
		c.remote = address(remote)
	}
	s.open++
	c.opened = true
	c.wake()
	if c.closed { // given up meanwhile
		c.post()
	}
	s.mu.Unlock()
	if p.configured {
		go c.serve()
	}
	s.turnActive()
}

// serve runs Options.ServePacket.
func (c *PacketConn) serve() {
	err := c.server.options.ServePacket(c)
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	if !c.closed {
		c.close()
	}
	if c.fault == nil && !c.ended {
		c.server.ask(packetEnd{c, err})
	}
}

// packetEnd logs that the server of a socket has ended by itself.
type packetEnd struct {
	conn *PacketConn
	err  error
}

func (e packetEnd) job() {
	s := e.conn.server
	if s.stopping {
		return
	}
	// as in told
	_ = s.reactor.Log(wirehost.LevelError, "wirenet: the server of "+e.conn.local.Network()+" "+
		e.conn.local.String()+" ended, and the socket is closed: "+orClosed(e.err).Error())
}

// DataReceived lets goroutines read records.
func (p *packetProtocol) DataReceived(records []byte) {
	p.conn.received(p.conn.server, p.Transport, records)
}

// ConnectionRefused is told by the next reading.
func (p *packetProtocol) ConnectionRefused() {
	c := p.conn
	c.server.mu.Lock()
	c.refused = true
	c.readable.Broadcast()
	c.server.mu.Unlock()
	c.server.turnActive()
}

// ConnectionLost wakes who still waits.
func (p *packetProtocol) ConnectionLost(reason wirehost.Reason) {
	c, s := p.conn, p.conn.server
	text, err := p.Transport.ReasonText()
	s.told("reason of a socket's end", err)
	s.mu.Lock()
	if c.opened {
		s.open--
	}
	if c.fault == nil {
		c.fault = &LostError{reason, text}
	}
	c.ended, c.out, c.written = true, nil, 0
	s.dropDeadline(&c.reading)
	s.dropDeadline(&c.writing)
	c.wake()
	s.mu.Unlock()
	s.turnActive()
}
