package memnet

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"github.com/wirehost/wirehost/reactor"
)

// DatagramPeer is a datagram socket of the test's. Its calls return at once.
type DatagramPeer struct {
	sys  *Sys
	sock *socket
}

// DatagramPeer makes one that is bound to an address, such as 10.0.0.7:0 or a path.
func (s *Sys) DatagramPeer(network, address string) (*DatagramPeer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sock, err := s.bindMail(network, address, false)
	if err != nil {
		return nil, fmt.Errorf("memnet: bind %s: %w", address, err)
	}
	sock.mail.outside = true
	return &DatagramPeer{s, sock}, nil
}

// Join has datagrams for a group come to it.
func (p *DatagramPeer) Join(group netip.Addr) error {
	p.sys.mu.Lock()
	defer p.sys.mu.Unlock()
	return p.sock.mail.join(group)
}

// Addr is where it is bound.
func (p *DatagramPeer) Addr() net.Addr { return p.sock.local }

// Send sends to an address, or a path.
func (p *DatagramPeer) Send(to string, payload []byte) error {
	p.sys.mu.Lock()
	defer p.sys.mu.Unlock()
	if p.sock.network == "unixgram" {
		p.sock.mail.peerPath = to
		return p.sys.post(p.sock, reactor.Datagram{Payload: payload})
	}
	at, err := netip.ParseAddrPort(to)
	if err != nil {
		return err
	}
	return p.sys.post(p.sock, reactor.Datagram{Peer: at, Payload: payload})
}

// Receive returns syscall.EAGAIN where nothing has come.
func (p *DatagramPeer) Receive() (reactor.Datagram, error) {
	p.sys.mu.Lock()
	defer p.sys.mu.Unlock()
	m := p.sock.mail
	if len(m.queue) == 0 {
		return reactor.Datagram{}, syscall.EAGAIN
	}
	d := m.queue[0]
	m.queue = slices.Delete(m.queue, 0, 1)
	m.bytes -= len(d.Payload)
	return d, nil
}

// Close ends it.
func (p *DatagramPeer) Close() {
	p.sys.mu.Lock()
	defer p.sys.mu.Unlock()
	p.sys.closeSocket(p.sock, false)
}
