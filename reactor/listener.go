package reactor

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// maxAccepts is how many connections one listener may take in a turn.
	maxAccepts = 64
	// After an accept failed for want of something (descriptors, memory) the
	// listener rests: twice as long each time, up to maxRest.
	minRest, maxRest = 10 * time.Millisecond, time.Second
	// refusalLog is how often refusals, and rests, are logged.
	refusalLog = time.Second
	// madeDepth is the depth of a listener's bucket of new connections.
	madeDepth = time.Second
	// handshakeTimeout is the default.
	handshakeTimeout = 10 * time.Second
)

// ListenOptions say how a listener's connections are made.
type ListenOptions struct {
	// Loop pins all connections to that loop; -1 takes the one with the fewest.
	Loop int
	// MaxConnections at one time; 0 = no limit of its own.
	MaxConnections int
	// IdleTimeout is the connections' SetTimeout at the start.
	IdleTimeout time.Duration
	// Share is whose time the connections' protocols take on a loop; nil = nobody's.
	Share func(*Loop) *Share
	// TLS serves tls:// endpoints from the first byte, and StartTLS on others.
	TLS              *tls.Config
	HandshakeTimeout time.Duration // 0 = 10 s
	// ProxyProtocol expects a PROXY header (v1 or v2) on connections from
	// ProxyFrom; from elsewhere a connection is closed.
	ProxyProtocol bool
	ProxyFrom     []netip.Prefix
	// Socket are the options of the listening socket.
	Socket SocketOptions
	// Scheme is tcp or tls where it is to be another than the endpoint's: Configure
	// makes one of the other, for the connections from now on. "" = as it is.
	Scheme string
	// Beside are listeners of the reactor that have the endpoint's port on other
	// addresses, which may be in its way. Listen binds it all the same, and they are to
	// be closed once it has started: what is queued for them is then its own.
	Beside []*Listener

	// NewPerSecond is how many connections it takes a second, and as many at once
	// after a second without one; what is more waits with the system. 0 = any number.
	NewPerSecond int
	// PerPeer bounds what a peer may have, by the address of its PROXY header on a
	// listener that expects them. Of one that sends none, such as the proxy's own
	// checks, and of a Unix socket's, there is no address, and no limit.
	PerPeer PeerLimits
	// Rate bounds the bytes a second of each connection, and MaxAge its life: it is
	// then closed behind what is queued, with reason Timeout. 0 = no limit.
	Rate   Rates
	MaxAge time.Duration

	// Next is a listener of ListenInside for what the protocols here stand before: nothing
	// comes of it but Listener.Next.
	Next *Listener
	// Router says who gets each connection; then Loop, Share and the factory are not used.
	// It is asked behind the PROXY header, and on tls:// behind the handshake. Who sends
	// nothing for RouteTimeout (0 = 5 s) is judged by what there is.
	Router       Router
	RouteTimeout time.Duration
}

// Listener is a listening socket and the factory of its connections.
type Listener struct {
	r     *Reactor
	fd    FD
	ep    Endpoint
	token uint64
	unix  bool

	inside bool        // it has no socket: see ListenInside
	shut   atomic.Bool // inside, and closed

	factory atomic.Pointer[Factory]
	options atomic.Pointer[ListenOptions]

	routes atomic.Pointer[[]*Share] // the Router's share of each loop; nil = there was none yet
	peers  atomic.Pointer[peers]    // nil = they have no limits
	keys   atomic.Pointer[keyedTLS] // made of options' TLS when first needed

	count      atomic.Int64
	accepted   atomic.Uint64
	refused    refusalCounts
	held       atomic.Uint64
	handshakes handshakes
	records    seldom // that were refused

	beside    []*Listener // that it shares its port with until it starts
	successor *Listener   // gets what is queued when this one is closed; of the acceptor

	// Of the acceptor:
	polled, stopped, closed bool

	rest     time.Duration
	resting  *DelayedCall
	made     bucket        // of ListenOptions.NewPerSecond
	toLog    uint64        // refusals that were not logged
	why      refusal       // of the last one
	telling  *DelayedCall  // logs them; nil = nothing was logged within refusalLog
	restedAt time.Duration // of the last rest that was logged
}

// ListenerStats are a listener's counters.
type ListenerStats struct {
	Connections int               // live ones
	Accepted    uint64            // ever, those whose protocol was refused too
	Refused     uint64            // ever: over a limit, shed, out of descriptors, or without a protocol
	RefusedBy   map[string]uint64 // of those, why: a setting's name where it is one; the caller's
	Held        uint64            // how often accepting has waited, ever, for ListenOptions.NewPerSecond
	// Handshakes of TLS that have failed, ever, by cause: no_certificate, version,
	// no_common, client_certificate, rejected, not_tls, went_away, timeout, other.
	Handshakes map[string]uint64
}

// Listen binds ep and has the system queue connections; none is taken before
// Start. Any goroutine. The error is package net's.
func (r *Reactor) Listen(ep Endpoint, f Factory, o ListenOptions) (*Listener, error) {
	o, err := r.checkOptions(ep, o)
	if err != nil {
		return nil, err
	}
	fd, err := r.sys.Listen(ep.network(), ep.address(), o.Socket)
	shares := len(o.Beside) > 0 && errors.Is(err, syscall.EADDRINUSE)
	if shares {
		fd, err = r.listenBeside(ep, o)
	}
	if err != nil {
		return nil, fmt.Errorf("reactor: listen on %s: %w", ep, err)
	}
	beside := o.Beside
	o.Beside = nil
	ln := r.newListener(fd, ep, f, o)
	if shares {
		ln.beside = beside
	}
	return ln, nil
}

// newListener makes a Listener of a socket.
func (r *Reactor) newListener(fd FD, ep Endpoint, f Factory, o ListenOptions) *Listener {
	ln := &Listener{r: r, fd: fd, ep: ep, unix: ep.Scheme == "unix", token: listenerToken | r.listenerSeq.Add(1)}
	if !ln.unix {
		if a, ok := r.sys.LocalAddr(fd).(*net.TCPAddr); ok {
			ln.ep.Port = uint16(a.Port)
		}
	}
	ln.setPeers(o.PerPeer)
	ln.setRoutes(&o)
	ln.factory.Store(&f)
	ln.options.Store(&o)
	r.addListener(ln)
	return ln
}

func (r *Reactor) checkOptions(ep Endpoint, o ListenOptions) (ListenOptions, error) {
	if o.Loop >= len(r.loops) || o.Loop < -1 {
		return o, fmt.Errorf("reactor: listen on %s: found loop %d, wanted -1 to %d", ep, o.Loop, len(r.loops)-1)
	}
	if o.Scheme == "" {
		o.Scheme = ep.Scheme
	}
	if o.Scheme != ep.Scheme && (o.Scheme != "tcp" && o.Scheme != "tls" || ep.Scheme == "unix") {
		return o, fmt.Errorf("reactor: listen on %s: found the scheme %s for it", ep, o.Scheme)
	}
	ep.Scheme = o.Scheme
	if o.Scheme == "tls" && o.TLS == nil {
		return o, fmt.Errorf("reactor: listen on %s: found no certificate", ep)
	}
	if o.HandshakeTimeout <= 0 {
		o.HandshakeTimeout = handshakeTimeout
	}
	if o.RouteTimeout <= 0 {
		o.RouteTimeout = routeTimeout
	}
	if o.Router != nil {
		o.Loop, o.Share = -1, nil
	}
	o.PerPeer = o.PerPeer.withDefaults()
	return o, nil
}

// Endpoint is where it listens, with the port that the system chose for 0. Any goroutine.
func (ln *Listener) Endpoint() Endpoint {
	ep := ln.ep
	ep.Scheme = ln.options.Load().Scheme
	return ep
}

// Configure changes the factory and the options of connections from now on. Any
// goroutine. On an error nothing has changed.
func (ln *Listener) Configure(f Factory, o ListenOptions) error {
	o, err := ln.r.checkOptions(ln.Endpoint(), o)
	if err != nil {
		return err
	}
	if o.Socket != ln.options.Load().Socket {
		if err := ln.r.sys.SetListener(ln.fd, o.Socket); err != nil {
			return fmt.Errorf("reactor: options of %s: %w", ln.Endpoint(), err)
		}
	}
	ln.setPeers(o.PerPeer)
	ln.setRoutes(&o)
	o.Beside = nil
	ln.options.Store(&o)
	ln.factory.Store(&f)
	return nil
}

// Factory makes the protocols of its connections. Any goroutine.
func (ln *Listener) Factory() Factory { return *ln.factory.Load() }

// setPeers has peers told apart by their prefixes. Those that were counted by others are
// not counted any more, nor were those that came while there was no limit.
func (ln *Listener) setPeers(l PeerLimits) {
	has := ln.peers.Load()
	switch {
	case !l.any():
		ln.peers.Store(nil)
	case has == nil || has.limits.IPv4 != l.IPv4 || has.limits.IPv6 != l.IPv6:
		ln.peers.Store(newPeers(l))
	}
}

// shareOn is whose time the protocols of connections take that l accepts.
func (ln *Listener) shareOn(l *Loop) *Share {
	switch o := ln.options.Load(); {
	case o.Router != nil:
		return (*ln.routes.Load())[l.index]
	case o.Share != nil:
		return o.Share(l)
	}
	return nil
}

// tls is the listener's certificate, or nil.
func (ln *Listener) tls() *tls.Config { return ln.options.Load().TLS }

// Stats reads the counters. Any goroutine.
func (ln *Listener) Stats() ListenerStats {
	s := ListenerStats{Connections: int(ln.count.Load()), Accepted: ln.accepted.Load(), Held: ln.held.Load()}
	s.RefusedBy, s.Refused = ln.refused.by()
	s.Handshakes = ln.handshakes.stats()
	return s
}

// setAccepting starts and stops accepting. A poller that does not take the listener, for
// want of memory, is asked again after a rest.
func (ln *Listener) setAccepting(on bool) {
	if ln.polled == on || on && (ln.closed || ln.stopped) {
		return
	}
	ln.polled = on
	p := ln.r.acceptor.poller
	if !on {
		if err := p.Remove(ln.fd); err != nil {
			ln.r.log.Error("poller: listener", "endpoint", ln.Endpoint().String(), "err", err)
		}
	} else if err := p.Add(ln.fd, ln.token, ReadEvent); err != nil {
		ln.polled = false
		ln.startRest(err)
	}
}

// acceptWaiting takes what waits, up to maxAccepts: other listeners get their turn.
func (ln *Listener) acceptWaiting() {
	most := ln.options.Load().NewPerSecond
	for range maxAccepts {
		if most > 0 && !ln.mayAccept(int64(most)) {
			return
		}
		fd, err := ln.accept()
		if err == nil {
			ln.rest = 0
			ln.placeSocket(fd)
			if most > 0 {
				ln.made.take(ln.r.acceptor.now, 1, int64(most))
			}
			continue
		}
		switch {
		case errors.Is(err, syscall.EAGAIN):
			return
		case errors.Is(err, syscall.EINTR), errors.Is(err, syscall.ECONNABORTED):
			continue
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
			ln.closeWaiting(err)
			return
		default:
			ln.startRest(err)
			return
		}
	}
}

// accept takes a connection. One that took a descriptor which is kept for others is
// refused.
func (ln *Listener) accept() (FD, error) {
	fd, err := ln.r.sys.Accept(ln.fd)
	if err != nil && fd > 0 {
		ln.refuse(fd, refusedDescriptors)
	}
	return fd, err
}

// mayAccept tells whether the rate lets another connection in. Else what waits is left
// with the system until a few may come.
func (ln *Listener) mayAccept(rate int64) bool {
	a := ln.r.acceptor
	if ln.made.left(a.now, madeDepth, rate) >= 1 {
		return true
	}
	ln.held.Add(1)
	ln.setAccepting(false)
	wait := ln.made.at(max(1, rate/32), madeDepth, rate) - a.now
	ln.resting = a.CallLater(wait, func() { ln.setAccepting(true) })
	return false
}

// placeSocket gives a socket to its loop.
func (ln *Listener) placeSocket(fd FD) {
	r, o := ln.r, ln.options.Load()
	why := refusals
	switch {
	case r.draining.Load():
		why = refusedDraining
	case r.shedding.Load():
		why = refusedOverload
	case r.cfg.MaxConnections > 0 && r.connections.Load() >= int64(r.cfg.MaxConnections):
		why = refusedAll
	case o.MaxConnections > 0 && ln.count.Load() >= int64(o.MaxConnections):
		why = refusedListener
	}
	var p *peer
	if why == refusals && !o.ProxyProtocol && !ln.unix {
		p, why = ln.admit(fd, o)
	}
	if why != refusals {
		ln.refuse(fd, why)
		return
	}
	if o.TLS != nil {
		r.acceptor.parks = parksBehind
	}
	ln.accepted.Add(1)
	ln.count.Add(1)
	r.countConn(false, 1)
	l := r.pickLoop(o.Loop)
	l.count.Add(1)
	c := call{accepted: fd, listener: ln, peer: p}
	if err := l.post(c); err != nil {
		l.dropAccepted(c)
	}
}

// admit counts a connection to its peer, or says why it is refused.
func (ln *Listener) admit(fd FD, o *ListenOptions) (*peer, refusal) {
	t := ln.peers.Load()
	if t == nil {
		return nil, refusals
	}
	a, ok := ln.r.sys.RemoteAddr(fd).(*net.TCPAddr)
	if !ok { // reset before we looked: its loop finds out
		return nil, refusals
	}
	return t.admit(a.AddrPort().Addr(), ln.r.acceptor.now, o.PerPeer)
}
