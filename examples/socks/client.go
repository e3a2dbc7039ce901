package main

import (
	"errors"
	"net/netip"
	"strings"

	"github.com/wirehost/wirehost/examples/internal/relay"
	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// stage is how far a client's connection has come.
type stage byte

const (
	greeting   stage = iota // nothing understood yet
	asking                  // SOCKS5, behind the greeting
	connecting              // to what was asked for; not read meanwhile
	joined
	binding    // waits for who is to connect; not read meanwhile
	associated // passes datagrams on until it ends
)

// client is an accepted connection.
type client struct {
	relay.Side
	factory *factory

	stage    stage
	version  byte                  // 4 or 5, from the first byte on
	received []byte                // not understood yet, or for the target when it is there
	deadline *wirehost.DelayedCall // for the client to ask, or for its peer to come; nil when it has
	door     *wirehost.Port        // of stage binding; nil else
	peer     netip.Addr            // and who may come; not valid: anybody
	udp      *association
}

// ConnectionMade begins the time to ask. Calls whose errors are dropped, here and
// below, fail where the connection is lost already, of which ConnectionLost
// tells.
func (p *client) ConnectionMade() {
	call, err := p.Reactor().CallLater(p.factory.timeout(), p.tooLate)
	if err != nil {
		_ = p.Reactor().Logf(wirehost.LevelError, "timer: %v", err)
		_ = p.Transport.AbortConnection()
		return
	}
	p.deadline = call
}

func (p *client) tooLate() {
	p.deadline = nil
	_ = p.Transport.AbortConnection()
}

// inTime ends the time to ask.
func (p *client) inTime() {
	if p.deadline != nil {
		_ = p.deadline.Cancel()
		p.deadline = nil
	}
}

func (p *client) DataReceived(data []byte) {
	switch p.stage {
	case joined:
		p.Side.DataReceived(data)
		return
	case associated: // it has nothing more to say
		return
	}
	p.received = append(p.received, data...)
	for p.stage < connecting && len(p.received) > 0 && p.step() {
	}
}

// step reads one message, and tells whether it did and there may be another.
func (p *client) step() bool {
	if p.stage == greeting {
		p.version = p.received[0]
		if p.version == 5 {
			return p.greet()
		}
	}
	parse := parse5
	switch p.version {
	case 4:
		parse = parse4
	case 5:
	default: // what it speaks has no word for no
		_ = p.Transport.LoseConnection()
		return false
	}
	r, n, why := parse(p.received)
	switch {
	case why != granted:
		p.refuse(why)
		return false
	case n == 0:
		return false
	}
	p.received = p.received[n:]
	p.do(r)
	return false
}

// greet answers SOCKS5's greeting with the method, none, or that there is no
// other.
func (p *client) greet() bool {
	ok, n := parseMethods(p.received)
	if n == 0 {
		return false
	}
	p.received = p.received[n:]
	if !ok {
		_, _ = p.Transport.Write([]byte{5, 0xff})
		_ = p.Transport.LoseConnection()
		return false
	}
	_, _ = p.Transport.Write([]byte{5, 0})
	p.stage = asking
	return true
}

// do does what was asked for.
func (p *client) do(r request) {
	p.inTime()
	switch {
	case r.command == connect:
		p.connect(r)
	case r.command == bind:
		p.bind(r)
	case r.command == associate && p.version == 5:
		p.associate(r)
	default:
		p.refuse(noCommand)
	}
}

func (p *client) connect(r request) {
	endpoint := r.endpoint()
	if endpoint == "" {
		p.refuse(failed)
		return
	}
	out := &target{factory: p.factory}
	if _, err := p.Reactor().Connect(endpoint, p.factory.timeout(), out); err != nil {
		p.failed("connect to "+endpoint, err)
		return
	}
	p.stage = connecting
	_ = p.Transport.PauseProducing()
	relay.Link(p, out)
}

// failed answers why the server would not do something.
func (p *client) failed(what string, err error) {
	if errors.Is(err, wirehost.ErrNotAllowed) {
		p.refuse(notAllowed)
		return
	}
	_ = p.Reactor().Logf(wirehost.LevelWarn, "%s: %v", what, err)
	p.refuse(failed)
}

// refuse answers no, and closes.
func (p *client) refuse(why reply) {
	p.answer(why, netip.AddrPort{})
	_ = p.Transport.LoseConnection()
}

func (p *client) answer(how reply, seen netip.AddrPort) {
	b := answer4(how, seen)
	if p.version == 5 {
		b = answer5(how, seen)
	}
	_, _ = p.Transport.Write(b)
}

// ReadConnectionLost is the end of a client that has not asked, and else what
// the relay does with it.
func (p *client) ReadConnectionLost() {
	if p.stage < connecting || p.stage > joined {
		_ = p.Transport.LoseConnection()
		return
	}
	p.Side.ReadConnectionLost()
}

func (p *client) ConnectionLost(reason wirehost.Reason) {
	p.inTime()
	p.unbind()
	if p.udp != nil {
		_ = p.udp.Transport.LoseConnection()
	}
	p.Side.ConnectionLost(reason)
}

// target is the connection to what a client asked for, or from whom it waited for.
type target struct {
	relay.Side
	factory *factory
	bound   *client // who waits for it; nil: it was asked for
}

// ConnectionMade answers yes, and sends what the client sent behind its request.
func (p *target) ConnectionMade() {
	seen := endpointAt(p.Transport.Host())
	if p.bound != nil {
		seen = endpointAt(p.Transport.Peer())
		relay.Link(p.bound, p)
		p.bound.inTime()
		p.bound.unbind()
	}
	in, ok := p.Other().(*client)
	if !ok || p.Join() != nil {
		_ = p.Transport.AbortConnection()
		return
	}
	in.answer(granted, seen)
	in.stage = joined
	in.Side.DataReceived(in.received)
	in.received = nil
}

// endpointAt is the address in an endpoint's text, where it has one.
func endpointAt(text string, err error) netip.AddrPort {
	_, rest, _ := strings.Cut(text, "://")
	addr, bad := netip.ParseAddrPort(rest)
	if err != nil || bad != nil {
		return netip.AddrPort{}
	}
	return addr
}

// ClientConnectionFailed tells the client, unless it was the client that went.
func (p *target) ClientConnectionFailed(reason wirehost.Reason) {
	in, ok := p.Other().(*client)
	if !ok {
		return
	}
	p.Unlink()
	why := failed
	switch reason {
	case wirehost.Refused:
		why = refused
	case wirehost.NotAllowed:
		why = notAllowed
	case wirehost.NoSuchHost, wirehost.Timeout:
		why = unreachable
	}
	in.refuse(why)
}
