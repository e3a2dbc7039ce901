package reactor

import (
	"fmt"
	"syscall"
)

// ListenInside makes a listener that has no socket: its connections are those of
// ConnectInside, which are open from then on until its Close. name is what peers see, as
// plugin://NAME. Of the options those that need a socket say nothing, and so do PerPeer
// and NewPerSecond. It is not to be started or stopped, and who drops it need not close it.
// Any goroutine.
func (r *Reactor) ListenInside(name string, f Factory, o ListenOptions) (*Listener, error) {
	ep := Endpoint{Scheme: insideScheme, Path: name}
	o, err := r.checkOptions(ep, o)
	if err != nil {
		return nil, err
	}
	ln := &Listener{r: r, ep: ep, unix: true, inside: true}
	ln.setRoutes(&o)
	ln.factory.Store(&f)
	ln.options.Store(&o)
	return ln, nil
}

// insideScheme is that of endpoints inside the process.
const insideScheme = "plugin"

// Next is ListenOptions.Next. Any goroutine.
func (ln *Listener) Next() *Listener { return ln.options.Load().Next }

// refusesInside says why it takes no connection now; refusals = it takes one.
func (ln *Listener) refusesInside() refusal {
	r, o := ln.r, ln.options.Load()
	switch {
	case ln.shut.Load():
		return refusedDraining
	case r.shedding.Load():
		return refusedOverload
	case r.cfg.MaxConnections > 0 && r.connections.Load() >= int64(r.cfg.MaxConnections):
		return refusedAll
	case o.MaxConnections > 0 && ln.count.Load() >= int64(o.MaxConnections):
		return refusedListener
	}
	return refusals
}

// ConnectInside is Connect to a listener of ListenInside, which makes the connection
// without a socket: p gets ConnectionMade when the listener's factory has made the other
// protocol. nil is a listener that nobody has: NoSuchHost. Loop only.
func (l *Loop) ConnectInside(ln *Listener, name string, p ClientProtocol, o ConnectOptions) Transport {
	ep := Endpoint{Scheme: insideScheme, Path: name}
	c := l.newOutgoing(ep, p, o)
	c.flags |= flagUnix
	if l.stopped {
		c.refuseConnect()
		return c
	}
	c.armTimer()
	if as, ok := o.As.(*connection); ok && as.loop == l && as.handshaking() {
		if l.behind == nil {
			l.behind = map[*connection][]func(){}
		}
		l.behind[as] = append(l.behind[as], func() { c.linkTo(ln) })
		return c
	}
	c.linkTo(ln)
	return c
}

// linkBehind makes the connections that have waited for c's handshake, or its end: before,
// nobody knows its certificate.
func (c *connection) linkBehind() {
	list := c.loop.behind[c]
	delete(c.loop.behind, c)
	for _, link := range list {
		link()
	}
}

// linkTo makes the link of a connection that ConnectInside has begun.
func (c *connection) linkTo(ln *Listener) {
	if c.ended() {
		return
	}
	l, ep, o := c.loop, c.client.ep, c.client.o
	if ln == nil {
		c.endWith(NoSuchHost, fmt.Errorf("nothing here is called %s", ep))
		return
	}
	if why := ln.refusesInside(); why != refusals {
		ln.refused[why].Add(1)
		c.endWith(Refused, fmt.Errorf("connect to %s: %w: %s", ep, syscall.ECONNREFUSED, why))
		return
	}
	to := l
	if pinned := ln.options.Load().Loop; pinned >= 0 {
		to = l.r.loops[pinned]
	}
	link := newLink(l, to)
	mine, accepted := &link.ends[0], &link.ends[1]
	from := Endpoint{Scheme: insideScheme, Path: o.From}.String()
	mine.facts = linkFacts{peer: ep.String(), host: from, depth: o.Depth}
	accepted.facts = linkFacts{peer: from, host: ep.String(), depth: o.Depth}
	if as := o.As; as != nil {
		accepted.facts = linkFacts{as.Peer(), as.Host(), as.PeerCertificate(), as.NegotiatedProtocol(), o.Depth}
	}
	mine.conn = c
	c.fd, c.link = insideFD, mine
	l.r.others.Add(-1) // c was counted as one that has a socket
	c.settleLater()
	ln.accepted.Add(1)
	ln.count.Add(1)
	l.r.countConn(true, 1)
	to.count.Add(1)
	// Never at once: that would call its factory from inside a callback.
	a := call{accepted: insideFD, inside: accepted, listener: ln}
	if err := to.post(a); err != nil {
		to.dropAccepted(a)
	}
}

// adoptInside makes a connection of the end of a link that is accepted.
func (l *Loop) adoptInside(a call) {
	ln, o := a.listener, a.listener.options.Load()
	c := &connection{loop: l, fd: insideFD, link: a.inside, share: a.share, listener: ln, flags: flagUnix,
		stage: stageUnbuilt, reached: stageUnbuilt, opened: l.now, active: l.now, idle: o.IdleTimeout,
		limits: o.newLimits(l.now)}
	a.inside.conn = c
	l.addConn(c)
	c.buildProtocol()
}

// writeInside is Write on a link: nothing is gathered, since nothing is a system call.
func (c *connection) writeInside(p []byte) (int, error) {
	if c.out.n > 0 || c.slowed() {
		return c.enqueue(p)
	}
	n := c.link.land(p)
	if n < len(p) {
		more, err := c.link.Write(c.fd, p[n:])
		if !c.countWritten(more, err) {
			return 0, nil
		}
		p = p[more:]
	}
	c.countWritten(n, nil)
	if n == len(p) {
		c.emptied()
		return 0, nil
	}
	c.markBlocked()
	return c.enqueue(p[n:])
}

// land copies what it can of p into the buffer of the other end's protocol, and tells how
// much that was. It is delivered when the running callback has returned.
func (e *linkEnd) land(p []byte) int {
	l, o := e.loop, e.other
	if e.link.apart || o.in.n > 0 || o.closed || e.err != 0 || e.reset {
		return 0
	}
	if l.landing != o {
		if l.landing != nil || o.lander == nil || !o.conn.receptive() {
			return 0
		}
		buf := o.lander.LandingBuffer()
		if len(buf) == 0 {
			return 0
		}
		l.landing, l.landed = o, buf[:0:min(len(buf), maxRead)]
	}
	n := len(l.landed)
	l.landed = l.landed[:n+min(len(p), cap(l.landed)-n)]
	return copy(l.landed[n:], p)
}

// receptive tells whether bytes may be given to its protocol now, with nothing before them.
func (c *connection) receptive() bool {
	return c.stage == stageOpen && c.reading() && c.readSide == sideOpen && c.tls == nil && c.limits == nil &&
		len(c.proxied) == 0 && c.flags&flagPostponed == 0 && !c.share.Late()
}

// landed tells whether what this end has written is still to be delivered.
func (e *linkEnd) landed() bool { return e.loop.landing == e.other }

// keepLanded has what has landed with the end, or from it, wait for the next look at links.
func (e *linkEnd) keepLanded() {
	l, o := e.loop, e.loop.landing
	if o != e && o != e.other {
		return
	}
	if w := o.other.conn; !w.ended() || w.stage == stageHanding {
		o.in.prepend(l.landed, l.r)
		l.landing, l.landed = nil, nil
		o.list()
	}
}

// maxLandings is how many pieces are delivered where each one's callback writes the next:
// what comes then waits for the next look at links.
const maxLandings = 64

// deliverLanded has protocols get what has landed in their buffers, and what lands
// meanwhile.
func (l *Loop) deliverLanded() {
	for n := 0; l.landing != nil; n++ {
		o, p := l.landing, l.landed
		l.landing, l.landed = nil, nil
		c, w := o.conn, o.other.conn
		switch {
		case w.ended() && w.stage != stageHanding: // it has dropped its output, as on a socket
			w.flags |= flagReset
			o.in.clear(l.r) // what was written behind it, before somebody reads that
		case n < maxLandings && c.receptive():
			was := l.current
			l.current = c
			if c.countRead(len(p)) {
				c.proto.DataReceived(p)
			}
			l.current = was
			if l.gatherConn != nil {
				l.flushGather()
			}
		case !c.ended(), c.stage == stageHanding:
			o.in.prepend(p, l.r)
			o.list()
		}
	}
}

// handshaking tells whether its TLS handshake runs.
func (c *connection) handshaking() bool { return c.tls != nil && !c.tls.up() && !c.ended() }
