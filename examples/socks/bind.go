package main

import (
	"net/netip"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// bind listens for whom the client expects, at the address that the client came to, and
// says where.
func (p *client) bind(r request) {
	p.peer, _ = netip.ParseAddr(r.host) // a name may be anybody
	if p.peer = p.peer.Unmap(); p.peer.IsUnspecified() {
		p.peer = netip.Addr{}
	}
	at := endpointAt(p.Transport.Host())
	door, err := p.Reactor().Listen("tcp://" + netip.AddrPortFrom(at.Addr(), 0).String())
	if err != nil {
		p.failed("listen", err)
		return
	}
	p.opened(door)
	call, err := p.Reactor().CallLater(p.factory.timeout(), p.nobodyCame)
	if err != nil {
		p.failed("timer", err)
		return
	}
	p.deadline, p.stage = call, binding
	_ = p.Transport.PauseProducing()
	p.answer(granted, endpointAt(p.Reactor().ListenerHost(door)))
}

// opened takes a listener for the client's own.
func (p *client) opened(door wirehost.Listener) {
	if p.factory.doors == nil {
		p.factory.doors = map[wirehost.Listener]*client{}
	}
	p.door = door
	p.factory.doors[door] = p
}

func (p *client) nobodyCame() {
	p.deadline = nil
	p.refuse(expired)
}

// unbind ends the listening.
func (p *client) unbind() {
	if p.door != 0 {
		_ = p.Reactor().StopListening(p.door)
		delete(p.factory.doors, p.door)
		p.door = 0
	}
}

// visitor is the protocol of who comes in at a client's listener: the first one that may.
func (f *factory) visitor(door wirehost.Listener, t *wirehost.Transport) wirehost.Protocol {
	p := f.doors[door]
	from := endpointAt(t.Peer()).Addr().Unmap()
	switch {
	case p == nil: // it moved here in a reload; else it is too late, and ConnectionMade ends it
		return &target{factory: f}
	case p.Other() != nil, p.peer.IsValid() && p.peer != from:
		return nil
	}
	return &target{factory: f, bound: p}
}
