package reactor

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// PeerLimits bound what each peer may have of a listener: an address, or a network where
// the prefixes are shorter. The zero value bounds nothing.
type PeerLimits struct {
	Connections  int // live ones; 0 = any number
	NewPerSecond int // connections; those that are more are refused; 0 = any number
	// DatagramsPerSecond is for datagram sockets: those that are more are dropped; 0 = any number
	DatagramsPerSecond int
	IPv4, IPv6         int // prefixes' lengths in bits; 0 = 32 and 64
}

func (p PeerLimits) withDefaults() PeerLimits {
	if p.IPv4 <= 0 {
		p.IPv4 = 32
	}
	if p.IPv6 <= 0 {
		p.IPv6 = 64
	}
	return p
}

func (p PeerLimits) any() bool { return p.Connections > 0 || p.NewPerSecond > 0 }

// peerDepth is the depth of a peer's bucket of new connections.
const peerDepth = time.Second

// peers are those that a listener has met: who has connections, and who has had one within
// the last second. What is more is forgotten by and by, two looks for each newcomer, so
// they are at most about twice as many as there is something to know of. Any goroutine.
//
// Connections come with their mutex held, and end without it.
type peers struct {
	limits PeerLimits // as of the time when it was made: its prefixes are those of the keys

	mu   sync.Mutex
	of   map[netip.Addr]*peer
	list []*peer
	hand int // of list: who is looked at next
}

// peer is one of them.
type peer struct {
	live atomic.Int32 // connections; it grows with peers.mu held alone
	addr netip.Addr   // masked
	made bucket       // of new connections; peers.mu guards it
}

func newPeers(l PeerLimits) *peers { return &peers{limits: l, of: map[netip.Addr]*peer{}} }

// admit counts a new connection of a, or says why it is refused: refusals where it is not.
func (t *peers) admit(a netip.Addr, now time.Duration, l PeerLimits) (*peer, refusal) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.peer(a, now)
	switch {
	case l.Connections > 0 && int(p.live.Load()) >= l.Connections:
		return nil, refusedPeerConnections
	case l.NewPerSecond > 0:
		if p.made.left(now, peerDepth, int64(l.NewPerSecond)) < 1 {
			return nil, refusedPeerRate
		}
		p.made.take(now, 1, int64(l.NewPerSecond))
	}
	p.live.Add(1)
	return p, refusals
}

// count counts a connection that was admitted elsewhere.
func (t *peers) count(a netip.Addr, now time.Duration) *peer {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.peer(a, now)
	p.live.Add(1)
	return p
}

// peer finds who a is, or makes it. mu is held.
func (t *peers) peer(a netip.Addr, now time.Duration) *peer {
	a = t.limits.masked(a)
	if p := t.of[a]; p != nil {
		return p
	}
	t.forget(now)
	t.forget(now)
	p := &peer{addr: a}
	t.of[a] = p
	t.list = append(t.list, p)
	return p
}

// masked is the network, or address, that stands for a. p has its defaults.
func (p PeerLimits) masked(a netip.Addr) netip.Addr {
	a = a.Unmap()
	bits := p.IPv6
	if a.Is4() {
		bits = p.IPv4
	}
	if bits == a.BitLen() {
		return a.WithZone("")
	}
	net, err := a.WithZone("").Prefix(bits)
	if err != nil { // an address of no family
		return a
	}
	return net.Addr()
}

// forget looks at one, and lets go of it where there is nothing to know of it. mu is held.
func (t *peers) forget(now time.Duration) {
	if len(t.list) == 0 {
		return
	}
	if t.hand >= len(t.list) {
		t.hand = 0
	}
	at := t.hand
	t.hand++
	p := t.list[at]
	if p.live.Load() > 0 || time.Duration(p.made) > now {
		return
	}
	last := len(t.list) - 1
	t.list[at], t.list[last] = t.list[last], nil // a newcomer, which the next round looks at
	t.list = t.list[:last]
	delete(t.of, p.addr)
}

// gone is the end of a connection that was counted. A nil peer has none.
func (p *peer) gone() {
	if p != nil {
		p.live.Add(-1)
	}
}
