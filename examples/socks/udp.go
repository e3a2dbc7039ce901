package main

import (
	"net/netip"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/datagram"
)

const (
	headerMost   = 4 + 1 + longest + 2 // bytes in front of a datagram's own (RFC 1928, section 7)
	mostPartners = 1000                // that one client may hear from
)

// association passes datagrams between a client and whomever it sends to. It ends with the
// client's connection.
type association struct {
	datagram.Base
	client   *client
	from     netip.AddrPort // the client's; port 0: not known yet
	partners map[netip.AddrPort]bool
}

// associate opens the socket.
func (p *client) associate(r request) {
	at, peer := endpointAt(p.Transport.Host()), endpointAt(p.Transport.Peer())
	a := &association{client: p, from: netip.AddrPortFrom(peer.Addr().Unmap(), r.port)}
	_, err := datagram.Open(p.Reactor(), "udp://"+netip.AddrPortFrom(at.Addr(), 0).String(), a)
	if err != nil {
		p.failed("datagram socket", err)
		return
	}
	p.stage, p.udp = associated, a
}

// StartProtocol says where the client is to send to.
func (a *association) StartProtocol() {
	a.client.answer(granted, endpointAt(a.Transport.Host()))
}

// StopProtocol ends the client's connection, unless that has ended first.
func (a *association) StopProtocol(wirehost.Reason) {
	if a.client.Connected {
		a.client.udp = nil
		_ = a.client.Transport.LoseConnection()
	}
}

// DatagramReceived passes one on. An error of Write is of a socket that has ended.
func (a *association) DatagramReceived(data []byte, from netip.AddrPort) {
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	if from.Addr() == a.from.Addr() && (a.from.Port() == 0 || a.from == from) {
		a.from = from
		a.pass(data)
		return
	}
	if !a.partners[from] {
		return // nobody may send to a client what it has not asked for
	}
	b := append([]byte{0, 0, 0}, answer5(granted, from)[3:]...)
	_ = a.Transport.Write(append(b, data...), a.from)
}

// pass sends a client's datagram to its target. Fragments and names are not for a simple
// proxy: they are lost.
func (a *association) pass(data []byte) {
	if len(data) < 4 || data[2] != 0 {
		return
	}
	r, n, why := parse5(append([]byte{5, associate, 0}, data[3:min(len(data), headerMost)]...))
	addr, err := netip.ParseAddr(r.host)
	to := netip.AddrPortFrom(addr.Unmap(), r.port)
	if why != granted || n == 0 || err != nil || len(a.partners) >= mostPartners && !a.partners[to] {
		return
	}
	if a.partners == nil {
		a.partners = map[netip.AddrPort]bool{}
	}
	a.partners[to] = true
	_ = a.Transport.Write(data[n:], to)
}
