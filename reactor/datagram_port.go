package reactor

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// DatagramOptions are those of a port's sockets, and of outgoing ones.
type DatagramOptions struct {
	// Loop is that of the port's one socket; -1 makes one for each loop, where the system
	// spreads datagrams among sockets, by their source.
	Loop int
	// Share is whose time the protocols take on a loop; nil = nobody's.
	Share func(*Loop) *Share
	// Socket are the options of the sockets themselves.
	Socket DatagramSocketOptions
	// PerPeer bounds the datagrams a second of each source; its other fields are for
	// connections.
	PerPeer PeerLimits
	// Multicast are the groups that a protocol may join, Broadcast whether it may send to
	// all of a network. With either there is one socket, since a datagram to a group comes
	// to all sockets that have joined it, and one to all of a network to all of the port.
	Multicast []netip.Prefix
	Broadcast bool
	// Allow, where set, is asked for each address that something is sent to, on the loop;
	// what is not allowed is not sent.
	Allow func(to netip.AddrPort) bool
}

// DatagramPort is an address on which datagrams are received (Twisted's Port of listenUDP):
// sockets on one or more loops.
type DatagramPort struct {
	r      *Reactor
	ep     Endpoint
	build  DatagramFactory
	o      DatagramOptions
	counts datagramCounts

	mu      sync.Mutex // of what follows; no loop waits with it held
	sockets []*DatagramSocket
	closed  bool
	empty   chan struct{} // closed when the last socket of a closed port has gone

	rateMu sync.Mutex
	rates  sources // what each source may still send, as a bucket
	limit  atomic.Int64
}

// ListenDatagrams binds ep, udp or unixgram, and has the system queue what comes; none is
// taken, and no protocol made, before Start. Any goroutine.
func (r *Reactor) ListenDatagrams(ep Endpoint, f DatagramFactory, o DatagramOptions) (*DatagramPort, error) {
	s, ok := r.sys.(DatagramSys)
	switch {
	case ep.Scheme != "udp" && ep.Scheme != "unixgram":
		return nil, fmt.Errorf("reactor: listen on %s: found scheme %s, wanted %s", ep, quoted(ep.Scheme),
			datagramSchemes.words)
	case o.Loop >= len(r.loops) || o.Loop < -1:
		return nil, fmt.Errorf("reactor: listen on %s: found loop %d, wanted -1 to %d", ep, o.Loop, len(r.loops)-1)
	case !ok:
		return nil, fmt.Errorf("reactor: listen on %s: %w", ep, ErrNotSupported)
	}
	n := len(r.loops)
	if o.Loop >= 0 || o.Broadcast || len(o.Multicast) > 0 {
		n = 1
	}
	list, err := s.BindDatagrams(ep.network(), ep.address(), n, o.Socket)
	if err != nil {
		return nil, fmt.Errorf("reactor: listen on %s: %w", ep, err)
	}
	p := r.newDatagramPort(ep, f, o)
	for i, fd := range list {
		p.add(fd, i)
	}
	return p, nil
}

func (r *Reactor) newDatagramPort(ep Endpoint, f DatagramFactory, o DatagramOptions) *DatagramPort {
	o.PerPeer = o.PerPeer.withDefaults()
	p := &DatagramPort{r: r, ep: ep, build: f, o: o, empty: make(chan struct{})}
	p.limit.Store(int64(o.PerPeer.DatagramsPerSecond))
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ports == nil {
		r.ports = map[*DatagramPort]struct{}{}
	}
	r.ports[p] = struct{}{}
	return p
}

// add gives the port its nth socket, for which no loop does anything yet.
func (p *DatagramPort) add(fd FD, n int) {
	if a := addrPortOf(p.r.sys.LocalAddr(fd)); a.IsValid() {
		p.ep.Port = a.Port()
	}
	loop := p.o.Loop
	if loop < 0 {
		loop = n % len(p.r.loops)
	}
	p.sockets = append(p.sockets, &DatagramSocket{loop: p.r.loops[loop], port: p, ep: p.ep, o: p.o,
		counts: &p.counts, fd: fd})
}

// Endpoint is where it is bound, with the port that the system chose for 0. Any goroutine.
func (p *DatagramPort) Endpoint() Endpoint { return p.ep }

// Stats are the sum of its sockets'. Any goroutine.
func (p *DatagramPort) Stats() DatagramStats { return p.counts.stats() }

// Limit changes PeerLimits.DatagramsPerSecond; 0 = no limit. Any goroutine.
func (p *DatagramPort) Limit(perSecond int) { p.limit.Store(int64(perSecond)) }

// Sockets are those that it has. Any goroutine.
func (p *DatagramPort) Sockets() []*DatagramSocket {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.sockets)
}

// Start makes the sockets' protocols, each on its loop, and takes datagrams from now on.
// Any goroutine; once.
func (p *DatagramPort) Start() error {
	var errs []error
	for _, d := range p.Sockets() {
		errs = append(errs, d.loop.CallFromThread(d.start))
	}
	return errors.Join(errs...)
}

// start gives a port's socket its protocol.
func (d *DatagramSocket) start() {
	if d.stage != datagramUnbuilt || d.token != 0 || d.fd == 0 {
		return
	}
	l := d.loop
	l.addDatagram(d)
	d.bound(d.fd)
	if d.o.Share != nil {
		d.share = d.o.Share(l)
	}
	var err error
	d.call(func() { d.proto, err = d.port.build(d) })
	if err != nil {
		d.proto = nil
		l.r.log.Warn("a datagram socket has no protocol", "endpoint", d.ep.String(), "err", err)
		d.endWith(ProtocolFailed, err)
		return
	}
	d.begin()
}

// Close closes the sockets, with the reason that their protocols get. It returns when the
// address is free again. Any goroutine but the loops'.
func (p *DatagramPort) Close(reason Reason) {
	p.end(reason)
	p.r.awaitLoop(p.empty)
}

// end is Close without the wait.
func (p *DatagramPort) end(reason Reason) {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		if len(p.sockets) == 0 {
			close(p.empty)
		}
	}
	list := slices.Clone(p.sockets)
	p.mu.Unlock()
	for _, d := range list {
		if err := d.loop.CallFromThread(func() { d.Forget(); d.endWith(reason, nil) }); err != nil {
			<-d.loop.done // with it what it had begun
			if d.stage == datagramUnbuilt {
				d.letGo()
			}
		}
	}
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	delete(p.r.ports, p)
}

// take gives the port a socket of another reactor's, unless it is closed.
func (p *DatagramPort) take(d *DatagramSocket) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.sockets = append(p.sockets, d)
	}
	return !p.closed
}

// gone is the end of a socket.
func (p *DatagramPort) gone(d *DatagramSocket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sockets = slices.DeleteFunc(p.sockets, func(x *DatagramSocket) bool { return x == d })
	if p.closed && len(p.sockets) == 0 {
		close(p.empty)
	}
}

// datagramDepth is for how long a source that was silent may send as it likes.
const datagramDepth = peerDepth

// admit leaves out what is over a source's limit.
func (p *DatagramPort) admit(d *DatagramSocket, list []Datagram) []Datagram {
	rate := p.limit.Load()
	if rate <= 0 || d.family == familyUnix {
		return list
	}
	now := d.loop.now
	p.rateMu.Lock()
	defer p.rateMu.Unlock()
	kept := list[:0]
	for _, one := range list {
		s := p.rates.find(keyOf(p.o.PerPeer.masked(one.Peer.Addr()), 0, 0), true)
		b := bucket(s.stamp)
		if b.left(now, datagramDepth, rate) < 1 {
			continue
		}
		b.take(now, 1, rate)
		s.stamp = int64(b)
		kept = append(kept, one)
	}
	if n := len(list) - len(kept); n > 0 {
		p.counts.limited.Add(uint64(n))
	}
	return kept
}
