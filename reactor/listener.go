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
}

// Listener is a listening socket and the factory of its connections.
type Listener struct {
	r     *Reactor
	fd    FD
	ep    Endpoint
	token uint64
	unix  bool

	factory atomic.Pointer[Factory]
	options atomic.Pointer[ListenOptions]

	count             atomic.Int64
	accepted, refused atomic.Uint64

	// Of the acceptor:
	polled, stopped, closed bool

	rest     time.Duration
	resting  *DelayedCall
	toLog    uint64        // refusals that were not logged
	why      string        // of the last one
	telling  *DelayedCall  // logs them; nil = nothing was logged within refusalLog
	restedAt time.Duration // of the last rest that was logged
}

// ListenerStats are a listener's counters.
type ListenerStats struct {
	Connections int    // live ones
	Accepted    uint64 // ever, those whose protocol was refused too
	Refused     uint64 // ever: over a limit, shed, or out of descriptors
}

// Listen binds ep and has the system queue connections; none is taken before
// Start. Any goroutine. The error is package net's.
func (r *Reactor) Listen(ep Endpoint, f Factory, o ListenOptions) (*Listener, error) {
	o, err := r.checkOptions(ep, o)
	if err != nil {
		return nil, err
	}
	fd, err := r.sys.Listen(ep.network(), ep.address(), o.Socket)
	if err != nil {
		return nil, fmt.Errorf("reactor: listen on %s: %w", ep, err)
	}
	return r.newListener(fd, ep, f, o), nil
}

// newListener makes a Listener of a socket.
func (r *Reactor) newListener(fd FD, ep Endpoint, f Factory, o ListenOptions) *Listener {
	ln := &Listener{r: r, fd: fd, ep: ep, unix: ep.Scheme == "unix", token: listenerToken | r.listenerSeq.Add(1)}
	if !ln.unix {
		if a, ok := r.sys.LocalAddr(fd).(*net.TCPAddr); ok {
			ln.ep.Port = uint16(a.Port)
		}
	}
	ln.factory.Store(&f)
	ln.options.Store(&o)
	r.addListener(ln)
	return ln
}

func (r *Reactor) checkOptions(ep Endpoint, o ListenOptions) (ListenOptions, error) {
	if o.Loop >= len(r.loops) || o.Loop < -1 {
		return o, fmt.Errorf("reactor: listen on %s: found loop %d, wanted -1 to %d", ep, o.Loop, len(r.loops)-1)
	}
	if ep.Scheme == "tls" && o.TLS == nil {
		return o, fmt.Errorf("reactor: listen on %s: found no certificate", ep)
	}
	if o.HandshakeTimeout <= 0 {
		o.HandshakeTimeout = handshakeTimeout
	}
	return o, nil
}

// Endpoint is where it listens, with the port that the system chose for 0. Any goroutine.
func (ln *Listener) Endpoint() Endpoint { return ln.ep }

// Configure changes the factory and the options of connections from now on. Any
// goroutine. On an error nothing has changed.
func (ln *Listener) Configure(f Factory, o ListenOptions) error {
	o, err := ln.r.checkOptions(ln.ep, o)
	if err != nil {
		return err
	}
	if o.Socket != ln.options.Load().Socket {
		if err := ln.r.sys.SetListener(ln.fd, o.Socket); err != nil {
			return fmt.Errorf("reactor: options of %s: %w", ln.ep, err)
		}
	}
	ln.options.Store(&o)
	ln.factory.Store(&f)
	return nil
}

// Factory makes the protocols of its connections. Any goroutine.
func (ln *Listener) Factory() Factory { return *ln.factory.Load() }

// shareOn is whose time the protocols of connections take that l accepts.
func (ln *Listener) shareOn(l *Loop) *Share {
	if f := ln.options.Load().Share; f != nil {
		return f(l)
	}
	return nil
}

// tls is the listener's certificate, or nil.
func (ln *Listener) tls() *tls.Config { return ln.options.Load().TLS }

// Stats reads the counters. Any goroutine.
func (ln *Listener) Stats() ListenerStats {
	return ListenerStats{Connections: int(ln.count.Load()), Accepted: ln.accepted.Load(), Refused: ln.refused.Load()}
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
			ln.r.log.Error("poller: listener", "endpoint", ln.ep.String(), "err", err)
		}
	} else if err := p.Add(ln.fd, ln.token, ReadEvent); err != nil {
		ln.polled = false
		ln.startRest(err)
	}
}

// acceptWaiting takes what waits, up to maxAccepts: other listeners get their turn.
func (ln *Listener) acceptWaiting() {
	for range maxAccepts {
		fd, err := ln.r.sys.Accept(ln.fd)
		if err == nil {
			ln.rest = 0
			ln.placeSocket(fd)
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

// closeWaiting takes connections with the spare descriptor and closes them, so that
// their peers are told at once, and rests.
func (ln *Listener) closeWaiting(cause error) {
	ln.r.starvedAt.Store(int64(max(1, ln.r.sys.Now())))
	for range maxAccepts {
		if err := ln.r.sys.AcceptAndClose(ln.fd); err != nil {
			if !errors.Is(err, syscall.EAGAIN) {
				cause = err
			}
			break
		}
		ln.countRefusal("out of file descriptors")
	}
	ln.startRest(cause)
}

// startRest stops accepting for a while: the socket stays readable, and a loop that
// only fails must not spin.
func (ln *Listener) startRest(cause error) {
	if now := ln.r.sys.Now(); ln.rest == 0 && (ln.restedAt == 0 || now-ln.restedAt >= refusalLog) {
		ln.r.log.Warn("accept failed; resting", "endpoint", ln.ep.String(), "err", cause)
		ln.restedAt = now
	}
	ln.rest = min(max(2*ln.rest, minRest), maxRest)
	ln.setAccepting(false)
	ln.resting = ln.r.acceptor.CallLater(ln.rest, func() { ln.setAccepting(true) })
}

// countRefusal counts a refused connection and says so, at most once in refusalLog: what comes
// meanwhile is told then.
func (ln *Listener) countRefusal(why string) {
	ln.refused.Add(1)
	ln.toLog++
	ln.why = why
	if ln.telling == nil {
		ln.tellRefusals()
	}
}

// tellRefusals logs the refusals that were not logged yet.
func (ln *Listener) tellRefusals() {
	ln.telling = nil
	if ln.toLog == 0 {
		return
	}
	ln.r.log.Warn("connections refused", "endpoint", ln.ep.String(), "why", ln.why, "count", ln.toLog)
	ln.toLog = 0
	if !ln.closed {
		ln.telling = ln.r.acceptor.CallLater(refusalLog, ln.tellRefusals)
	}
}

// placeSocket gives a socket to its loop.
func (ln *Listener) placeSocket(fd FD) {
	r, o := ln.r, ln.options.Load()
	why := ""
	switch {
	case r.draining.Load():
		why = "shutting down"
	case r.shedding.Load():
		why = "overload"
	case r.cfg.MaxConnections > 0 && r.connections.Load() >= int64(r.cfg.MaxConnections):
		why = "reactor.max_connections reached"
	case o.MaxConnections > 0 && ln.count.Load() >= int64(o.MaxConnections):
		why = "the listener's max_connections reached"
	}
	if why != "" {
		ln.countRefusal(why)
		if err := r.sys.Close(fd); err != nil {
			r.log.Debug("close", "err", err)
		}
		return
	}
	ln.accepted.Add(1)
	ln.count.Add(1)
	r.connections.Add(1)
	l := r.pickLoop(o.Loop)
	l.count.Add(1)
	c := call{accepted: fd, listener: ln}
	if err := l.post(c); err != nil {
		l.dropAccepted(c)
	}
}

// dropAccepted closes a socket that its loop can't take any more.
func (l *Loop) dropAccepted(c call) {
	c.listener.count.Add(-1)
	l.count.Add(-1)
	l.r.connections.Add(-1)
	if err := l.sys.Close(c.accepted); err != nil {
		l.r.log.Debug("close", "err", err)
	}
}

// adoptSocket makes a connection of an accepted socket.
func (l *Loop) adoptSocket(a call) {
	ln, o := a.listener, a.listener.options.Load()
	c := &connection{loop: l, fd: a.accepted, share: a.share, listener: ln, stage: stageUnbuilt, reached: stageUnbuilt,
		opened: l.now, active: l.now, idle: o.IdleTimeout}
	l.addConn(c)
	if ln.unix {
		c.flags |= flagUnix
	} else {
		if ta, ok := l.sys.RemoteAddr(c.fd).(*net.TCPAddr); ok {
			c.peer = unmap(ta.AddrPort())
		} else { // reset before we looked
			c.reason = Lost
			c.tellEnded()
			c.releaseSlot(false)
			return
		}
		if err := l.sys.SetNoDelay(c.fd, true); err != nil {
			l.r.log.Debug("TCP_NODELAY", "err", err)
		}
	}
	if o.ProxyProtocol {
		c.awaitProxyHeader()
		return
	}
	c.buildProtocol()
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// buildProtocol gives an accepted connection its protocol.
func (c *connection) buildProtocol() {
	l, ln := c.loop, c.listener
	l.current = c
	waited := c.stage == stageAwaiting
	p, err := c.factory().BuildProtocol(c)
	if err != nil {
		c.buildFailed(err)
		l.current = nil
		return
	}
	if c.stage == stageOver { // a factory must not abort, but may have done so: it has built all the same
		c.enter(stageUnbuilt)
	}
	c.attachProtocol(p)
	if waited {
		c.setupBy, c.active = 0, l.now
		c.resumed()
	}
	if ln.ep.Scheme == "tls" {
		c.startServerTLS(ln.tls())
	}
	c.updatePoller()
	p.ConnectionMade(c)
	if c.idle > 0 || c.setupBy > 0 {
		c.armTimer()
	}
	l.settle()
	l.current = nil
}

// attachProtocol sets the protocol.
func (c *connection) attachProtocol(p Protocol) {
	c.proto = p
	c.buffered, _ = p.(BufferedProtocol)
	c.enter(stageOpen)
}
