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
	// KeepFile has the file of a Unix socket that is adopted stay when it is closed: it is
	// somebody else's.
	KeepFile bool
	// PerPeer bounds the datagrams a second of each source; its other fields are for
	// connections.
	PerPeer PeerLimits
	// Multicast are the groups that a protocol may join, Broadcast whether it may send to
	// all of a network. With either there is one socket, since a datagram to a group comes
	// to all sockets that have joined it, and one to all of a network to all of the port.
	Multicast []netip.Prefix
	Broadcast bool
	// Allow, where set, is asked for each address that something is sent to, on the loop, but
	// for those that a port's socket has heard from; what is not allowed is not sent.
	Allow func(to netip.AddrPort) bool
}

// DatagramPort is an address on which datagrams are received (Twisted's Port of listenUDP):
// sockets on one or more loops.
type DatagramPort struct {
	r      *Reactor
	ep     Endpoint
	build  DatagramFactory
	o      atomic.Pointer[DatagramOptions]
	counts datagramCounts

	mu      sync.Mutex // of what follows; no loop waits with it held
	sockets []*DatagramSocket
	closed  bool
	empty   chan struct{} // closed when the last socket of a closed port has gone

	rateMu sync.Mutex
	rates  sources // what each source may still send, as a bucket
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
	if o.Loop >= 0 || o.alone() {
		n = 1
	}
	list, err := s.BindDatagrams(ep.network(), ep.address(), n, o.Socket)
	if err != nil {
		return nil, fmt.Errorf("reactor: listen on %s: %w", ep, err)
	}
	return r.addPort(list, ep, f, o)
}

// alone tells whether a port has one socket whatever the loops are.
func (o *DatagramOptions) alone() bool { return o.Broadcast || len(o.Multicast) > 0 }

// addPort makes a port of bound sockets, for which no loop does anything yet. Where the
// reactor has ended they are closed.
func (r *Reactor) addPort(list []FD, ep Endpoint, f DatagramFactory, o DatagramOptions) (*DatagramPort, error) {
	o.PerPeer = o.PerPeer.withDefaults()
	p := &DatagramPort{r: r, ep: ep, build: f, empty: make(chan struct{})}
	p.o.Store(&o)
	for i, fd := range list {
		if a := addrPortOf(r.sys.LocalAddr(fd)); a.IsValid() {
			p.ep.Port = a.Port()
		}
		loop := o.Loop
		if loop < 0 {
			loop = i % len(r.loops)
		}
		p.sockets = append(p.sockets, &DatagramSocket{loop: r.loops[loop], port: p, ep: p.ep, o: &p.o,
			counts: &p.counts, fd: fd})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.draining.Load() {
		return nil, errors.Join(fmt.Errorf("reactor: listen on %s: %w", ep, ErrStopped), r.closeAll(list))
	}
	if r.ports == nil {
		r.ports = map[*DatagramPort]struct{}{}
	}
	r.ports[p] = struct{}{}
	r.others.Add(int64(len(list)))
	return p, nil
}

// closeAll closes sockets that no loop has.
func (r *Reactor) closeAll(list []FD) error {
	var errs []error
	for _, fd := range list {
		errs = append(errs, r.sys.Close(fd))
	}
	return errors.Join(errs...)
}

// Endpoint is where it is bound, with the port that the system chose for 0. Any goroutine.
func (p *DatagramPort) Endpoint() Endpoint { return p.ep }

// Stats are the sum of its sockets'. Any goroutine.
func (p *DatagramPort) Stats() DatagramStats { return p.counts.stats() }

// Configure changes the options, but for Loop and Share, which its sockets keep, from now
// on; a Buffer of 0 leaves theirs as they are. What a protocol has joined or turned on
// before stays. On an error nothing has changed, unless it is the system's. Any goroutine
// but the loops'.
func (p *DatagramPort) Configure(o DatagramOptions) error {
	was := p.o.Load()
	o.PerPeer = o.PerPeer.withDefaults()
	o.Loop, o.Share = was.Loop, was.Share
	list := p.Sockets()
	if o.alone() && len(list) > 1 {
		return fmt.Errorf("reactor: options of %s: found %d sockets, wanted one for groups or broadcasts: "+
			"it is to be closed and bound again", p.ep, len(list))
	}
	p.o.Store(&o)
	if o.Socket == was.Socket {
		return nil
	}
	var errs []error
	for _, d := range list {
		done := make(chan struct{})
		if d.loop.CallFromThread(func() {
			defer close(done)
			if d.fd != 0 {
				errs = append(errs, p.r.sys.(DatagramSys).SetDatagramSocket(d.fd, o.Socket))
			}
		}) == nil { // else the loop has ended, and the socket with it
			p.r.awaitLoop(done)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("reactor: options of %s: %w", p.ep, err)
	}
	return nil
}

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
	if f := d.o.Load().Share; f != nil {
		d.share = f(l)
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
		// A loop that has ended has closed it: the reactor's end begins with that of its ports.
		_ = d.loop.CallFromThread(func() { d.Forget(); d.endWith(reason, nil) })
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
	limits := &p.o.Load().PerPeer
	rate := int64(limits.DatagramsPerSecond)
	if rate <= 0 || d.family == familyUnix {
		return list
	}
	now := d.loop.now
	p.rateMu.Lock()
	defer p.rateMu.Unlock()
	kept := list[:0]
	for _, one := range list {
		s := p.rates.find(keyOf(limits.masked(one.Peer.Addr()), 0, 0), true)
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
