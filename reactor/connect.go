package reactor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

const (
	// connectTimeout is the default of ConnectOptions.Timeout.
	connectTimeout = 30 * time.Second
	// leastShare is the shortest time that an address gets to answer while
	// others are left, that of net.Dialer.
	leastShare = 2 * time.Second
)

// ConnectOptions say how an outgoing connection is made.
type ConnectOptions struct {
	Timeout time.Duration // for all of it, TLS too; 0 = 30 s
	Share   *Share        // whose time the protocol takes; nil = nobody's
	// TLS is for tls:// endpoints; nil verifies against the system's roots.
	// ServerName is the endpoint's host where it is empty.
	TLS *tls.Config
	// Allow, where set, is asked for each address that the endpoint's host
	// resolves to, on the loop; an error skips that address.
	Allow func(ep Endpoint, addr netip.Addr) error

	// Of ConnectInside: From is what the other protocol sees as its peer, as plugin://FROM;
	// where As is set, it sees that one's peer, host, peer's certificate and ALPN.
	// Depth is what both ends say of how many such connections lie behind one another.
	From  string
	As    Transport
	Depth int
}

// outgoing is what a connection needs that Connect has begun, until it is made.
type outgoing struct {
	ep     Endpoint
	proto  ClientProtocol
	o      ConnectOptions
	addrs  []netip.Addr  // still to be tried
	by     time.Duration // deadline of all; the connection's setupBy is that of the address being tried
	cancel context.CancelFunc
	reason Reason // of the last address that failed
	err    error
}

// Connect opens a connection. It returns its transport at once; p gets
// ConnectionMade, for TLS once the peer is verified, or ConnectionFailed.
// LoseConnection and AbortConnection cancel it before that (reason Aborted).
// Names are resolved off the loop, and their addresses tried in turn; one that
// does not answer leaves the others a fair share of the time. Loop only.
func (l *Loop) Connect(ep Endpoint, p ClientProtocol, o ConnectOptions) Transport {
	c := l.newOutgoing(ep, p, o)
	k := c.client
	ctx, cancel := context.WithCancel(context.Background())
	k.cancel = cancel
	if l.stopped {
		c.refuseConnect()
		return c
	}
	c.armTimer()
	if ep.Scheme == "unix" {
		c.flags |= flagUnix
		if !c.startConnect("unix", ep.Path) {
			c.endWith(k.reason, k.err)
		}
		return c
	}
	if a, err := netip.ParseAddr(ep.Host); err == nil {
		k.addrs = []netip.Addr{a}
		c.connectNext()
		return c
	}
	go func() {
		addrs, err := l.r.lookup(ctx, "ip", ep.Host)
		// A loop that has ended has told the protocol already.
		_ = l.CallFromThread(func() { c.takeAddresses(addrs, err) })
	}()
	return c
}

// newOutgoing makes a connection that is being made.
func (l *Loop) newOutgoing(ep Endpoint, p ClientProtocol, o ConnectOptions) *connection {
	if o.Timeout <= 0 {
		o.Timeout = connectTimeout
	}
	k := &outgoing{ep: ep, proto: p, o: o, cancel: func() {}, reason: NoSuchHost,
		err: fmt.Errorf("%s has no address", ep)}
	now := l.sys.Now()
	k.by = now + o.Timeout
	c := &connection{loop: l, share: o.Share, client: k, stage: stageConnecting, opened: now, active: now,
		setupBy: k.by}
	l.count.Add(1)
	l.r.connections.Add(1)
	l.addConn(c)
	return c
}

// maxTooLate bounds how often a loop that has ended says so to protocols that
// answer with another Connect.
const maxTooLate = 1000

// refuseConnect fails a connection that a callback of the loop's end has asked for.
func (c *connection) refuseConnect() {
	if c.loop.tooLate++; c.loop.tooLate > maxTooLate {
		c.client.cancel()
		c.reason = ShuttingDown
		c.tellEnded()
		c.releaseSlot(false)
		return
	}
	c.endWith(ShuttingDown, ErrStopped)
}

func (c *connection) takeAddresses(addrs []netip.Addr, err error) {
	if c.ended() {
		return
	}
	if err != nil {
		reason := NoSuchHost
		var dns *net.DNSError
		if errors.As(err, &dns) && dns.IsTimeout {
			reason = Timeout
		}
		c.endWith(reason, err)
		return
	}
	c.client.addrs = addrs
	c.connectNext()
}

// connectNext starts on the next address, or fails with the last one's reason.
func (c *connection) connectNext() {
	k := c.client
	for len(k.addrs) > 0 {
		a := k.addrs[0].Unmap()
		k.addrs = k.addrs[1:]
		if k.o.Allow != nil {
			if err := k.o.Allow(k.ep, a); err != nil {
				k.reason, k.err = NotAllowed, err
				continue
			}
		}
		ap := netip.AddrPortFrom(a, k.ep.Port)
		c.peer = ap
		c.setupBy = k.fairShare(c.loop.sys.Now())
		if c.startConnect("tcp", ap.String()) {
			return
		}
	}
	c.endWith(k.reason, k.err)
}

// fairShare is when an address must have answered: after an equal part of the time
// that is left, so that one from which nothing comes does not take all of it.
func (k *outgoing) fairShare(now time.Duration) time.Duration {
	left := k.by - now
	return now + min(left, max(left/time.Duration(len(k.addrs)+1), leastShare))
}

// skipUnanswered goes on to the next address when the present one's share is over,
// and reports whether there was one.
func (c *connection) skipUnanswered() bool {
	if c.stage != stageConnecting || len(c.client.addrs) == 0 {
		return false
	}
	c.client.noteFailure(c.Peer(), syscall.ETIMEDOUT)
	c.dropSocket(c.sys().Close)
	c.connectNext()
	return true
}

func (c *connection) startConnect(network, address string) bool {
	fd, err := c.loop.sys.Connect(network, address)
	if err != nil {
		c.client.noteFailure(address, err)
		return false
	}
	c.fd = fd
	c.settleLater() // so that the poller hears of it
	return true
}

func (k *outgoing) noteFailure(address string, err error) {
	k.reason, k.err = connectReason(err), fmt.Errorf("connect to %s: %w", address, err)
}

func connectReason(err error) Reason {
	switch {
	case errors.Is(err, syscall.ETIMEDOUT):
		return Timeout
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EHOSTUNREACH),
		errors.Is(err, syscall.ENETUNREACH),
		errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAGAIN):
		return Refused
	}
	return Lost
}

// checkConnect is the socket's word on how Connect went.
func (c *connection) checkConnect() {
	l, k := c.loop, c.client
	if err := c.sys().ConnectResult(c.fd); err != nil {
		if errors.Is(err, syscall.EINPROGRESS) || errors.Is(err, syscall.EAGAIN) {
			return
		}
		k.noteFailure(c.Peer(), err)
		c.dropSocket(c.sys().Close)
		c.connectNext()
		return
	}
	c.enter(stageUnbuilt)
	if c.flags&flagUnix == 0 {
		if err := l.sys.SetNoDelay(c.fd, true); err != nil {
			l.r.log.Debug("TCP_NODELAY", "err", err)
		}
	}
	c.settleLater()
	if k.ep.Scheme == "tls" {
		c.setupBy = k.by
		cfg := &tls.Config{}
		if k.o.TLS != nil {
			cfg = k.o.TLS.Clone()
		}
		if cfg.ServerName == "" {
			cfg.ServerName, _, _ = strings.Cut(k.ep.Host, "%") // no certificate names a zone
		}
		c.startClientTLS(cfg)
		return
	}
	c.setupBy = 0
	c.completeConnect()
}

// completeConnect gives an outgoing connection its protocol.
func (c *connection) completeConnect() {
	k := c.client
	c.client = nil
	k.cancel()
	c.active = c.loop.now
	c.attachProtocol(k.proto)
	k.proto.ConnectionMade(c)
}

// tellFailure tells the protocol that there is no connection.
func (k *outgoing) tellFailure(c *connection) {
	k.cancel()
	k.proto.ConnectionFailed(c.reason, c.err)
}
