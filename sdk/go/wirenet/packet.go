package wirenet

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

const (
	mostRecords  = 1024  // that one call to the server sends
	mostDatagram = 65535 // bytes; no datagram of UDP has more
)

// PacketConn is a datagram socket, as goroutines use it: a configured one that
// Options.ServePacket gets, or one that ListenPacket or Dial opens. Its methods may
// be called from several at a time, as those of a net.UDPConn.
//
// All that came in one callback is read before the next, and what is written
// meanwhile goes out in one call. A datagram for which the server has no room is
// lost, as in any network.
type PacketConn struct {
	server *Server
	local  net.Addr
	remote net.Addr // of a connected socket; else nil

	inbox              // of records; closed: Close was called
	writable sync.Cond // out, fault or closed changed
	out      []byte    // records, written and not yet handed to the server
	written  int       // how many
	refused  bool      // the peer's port answered that nobody listens
	fault    error     // how the socket ended, or why there is none
	opened   bool      // it is there
	ended    bool      // the server told its end
	reading  deadline
	writing  deadline
	endpoint string // of one to be opened

	posted bool                // listed in server.jobs
	socket *wirehost.Transport // from here on the callbacks' goroutine's own
	losing bool                // LoseConnection was called
}

func (s *Server) newPacketConn() *PacketConn {
	c := &PacketConn{server: s}
	c.readable.L, c.writable.L = &s.mu, &s.mu
	c.reading.owner, c.writing.owner = c, c
	return c
}

// wake wakes who reads and who writes. mu is held.
func (c *PacketConn) wake() {
	c.readable.Broadcast()
	c.writable.Broadcast()
}

// post asks for the callbacks' goroutine. mu is held.
func (c *PacketConn) post() {
	if !c.posted && !c.ended {
		c.posted = true
		c.server.ask(c)
	}
}

// error puts err in the words of package net.
func (c *PacketConn) error(op string, to net.Addr, err error) error {
	if to == nil {
		to = c.remote
	}
	return &net.OpError{Op: op, Net: c.local.Network(), Source: c.local, Addr: to, Err: err}
}

// ReadFrom waits for a datagram, the deadline (os.ErrDeadlineExceeded), Close
// (net.ErrClosed), the socket's end (a LostError), or, where it is connected, the
// peer's word that nobody listens there (syscall.ECONNREFUSED). What p has no room
// for is lost. The address is a *net.UDPAddr; a *net.UnixAddr with no name on a Unix
// socket.
func (c *PacketConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromUDPAddrPort(p)
	switch {
	case err != nil:
		return n, nil, err
	case !from.IsValid():
		return n, &net.UnixAddr{Net: c.local.Network()}, nil
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// Read is ReadFrom, for a connected socket.
func (c *PacketConn) Read(p []byte) (int, error) {
	n, _, err := c.ReadFromUDPAddrPort(p)
	return n, err
}

// ReadFromUDPAddrPort is ReadFrom without making a net.Addr; on a Unix socket the
// address is the zero one.
func (c *PacketConn) ReadFromUDPAddrPort(p []byte) (n int, from netip.AddrPort, err error) {
	c.server.mu.Lock()
	n, from, err = c.read(p)
	c.server.mu.Unlock() // a defer costs a guest more than all of read
	return n, from, err
}

// read is ReadFromUDPAddrPort. mu is held.
func (c *PacketConn) read(p []byte) (int, netip.AddrPort, error) {
	for {
		switch {
		case c.closed:
			return 0, netip.AddrPort{}, c.error("read", nil, net.ErrClosed)
		case c.reading.expired:
			return 0, netip.AddrPort{}, c.error("read", nil, os.ErrDeadlineExceeded)
		case len(c.in) > 0:
			from, payload, rest := readRecord(c.in)
			c.take(rest)
			if c.paused && c.hungry(c.server) {
				c.post()
			}
			return copy(p, payload), from, nil
		case c.refused:
			c.refused = false
			return 0, netip.AddrPort{}, c.error("read", nil, syscall.ECONNREFUSED)
		case c.fault != nil:
			return 0, netip.AddrPort{}, c.error("read", nil, c.fault)
		}
		c.readable.Wait()
	}
}

// WriteTo sends a datagram to addr, a *net.UDPAddr. It goes out when all goroutines
// wait, with all that is written until then, from the address that the one
// answered came to. That it returned does not mean that the system took it.
func (c *PacketConn) WriteTo(p []byte, addr net.Addr) (int, error) {
	a, ok := addr.(*net.UDPAddr)
	if !ok || a == nil {
		return 0, c.error("write", addr, syscall.EINVAL)
	}
	return c.send(p, a.AddrPort(), addr)
}

// WriteToUDPAddrPort is WriteTo without a net.Addr.
func (c *PacketConn) WriteToUDPAddrPort(p []byte, to netip.AddrPort) (int, error) {
	if !to.IsValid() {
		return 0, c.error("write", nil, syscall.EDESTADDRREQ)
	}
	return c.send(p, to, nil)
}

// Write sends a datagram to the peer of a connected socket.
func (c *PacketConn) Write(p []byte) (int, error) {
	if c.remote == nil {
		return 0, c.error("write", nil, syscall.EDESTADDRREQ)
	}
	return c.send(p, netip.AddrPort{}, nil)
}

// send gathers a datagram for the server.
func (c *PacketConn) send(p []byte, to netip.AddrPort, addr net.Addr) (n int, err error) {
	c.server.mu.Lock()
	switch {
	case len(p) > mostDatagram:
		err = syscall.EMSGSIZE
	case to.IsValid() && c.remote != nil:
		err = net.ErrWriteToConnected
	default:
		err = c.room()
	}
	if err == nil {
		c.out = appendRecord(c.out, to, p)
		c.written++
		n = len(p)
		c.post()
	} else {
		if addr == nil && to.IsValid() {
			addr = net.UDPAddrFromAddrPort(to)
		}
		err = c.error("write", addr, err)
	}
	c.server.mu.Unlock()
	return n, err
}

// room waits until another datagram may be gathered. mu is held.
func (c *PacketConn) room() error {
	for {
		switch {
		case c.closed:
			return net.ErrClosed
		case c.writing.expired:
			return os.ErrDeadlineExceeded
		case c.fault != nil:
			return c.fault
		case c.written < mostRecords && len(c.out) < c.server.options.WriteBuffer:
			return nil
		}
		c.writable.Wait()
	}
}

// Close sends what was written and closes the socket. Who reads or writes gets
// net.ErrClosed.
func (c *PacketConn) Close() error {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	if c.closed {
		return c.error("close", nil, net.ErrClosed)
	}
	c.close()
	return nil
}

// close is Close. mu is held.
func (c *PacketConn) close() {
	c.closed, c.in = true, nil
	c.server.dropDeadline(&c.reading)
	c.server.dropDeadline(&c.writing)
	c.wake()
	c.post()
}

// LocalAddr is a *net.UDPAddr or *net.UnixAddr.
func (c *PacketConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is that of a connected socket's peer; else nil.
func (c *PacketConn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline makes reading and writing fail from t on with os.ErrDeadlineExceeded,
// for those who wait now too; a t that has passed does so at once, the zero t never.
func (c *PacketConn) SetDeadline(t time.Time) error { return c.deadline(t, &c.reading, &c.writing) }

// SetReadDeadline is the same for reading.
func (c *PacketConn) SetReadDeadline(t time.Time) error { return c.deadline(t, &c.reading) }

// SetWriteDeadline is the same for writing.
func (c *PacketConn) SetWriteDeadline(t time.Time) error { return c.deadline(t, &c.writing) }

func (c *PacketConn) deadline(t time.Time, list ...*deadline) error {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	if c.closed {
		return c.error("set", nil, net.ErrClosed)
	}
	c.server.setDeadlines(t, list...)
	return nil
}

// SetReadBuffer does nothing, and gives no error: the listener's setting
// receive_buffer is how much the system holds for a configured socket. It is for
// libraries that call it on whatever they get, as quic-go.
func (c *PacketConn) SetReadBuffer(int) error { return nil }

// SetWriteBuffer does nothing, as SetReadBuffer.
func (c *PacketConn) SetWriteBuffer(int) error { return nil }
