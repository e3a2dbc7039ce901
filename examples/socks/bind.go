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
	door, err := p.Reactor().Listen("tcp://"+netip.AddrPortFrom(at.Addr(), 0).String(), visitors{p})
	if err != nil {
		p.failed("listen", err)
		return
	}
	p.door = door
	call, err := p.Reactor().CallLater(p.factory.timeout(), p.nobodyCame)
	if err != nil {
		p.failed("timer", err)
		return
	}
	p.deadline, p.stage = call, binding
	_ = p.Transport.PauseProducing()
	p.answer(granted, endpointAt(door.Host()))
}

func (p *client) nobodyCame() {
	p.deadline = nil
	p.refuse(expired)
}

// unbind ends the listening.
func (p *client) unbind() {
	if p.door != nil {
		_ = p.door.StopListening()
		p.door = nil
	}
}

// visitors is the factory of who comes in at a client's listener: the first one that may.
type visitors struct{ client *client }

func (v visitors) BuildProtocol(t *wirehost.Transport) wirehost.Protocol {
	p := v.client
	from := endpointAt(t.Peer()).Addr().Unmap()
	if p.Other() != nil || p.peer.IsValid() && p.peer != from {
		return nil
	}
	return &target{factory: p.factory, bound: p}
}
