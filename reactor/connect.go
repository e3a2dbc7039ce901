package reactor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// connectTimeout is the default of ConnectOptions.Timeout.
const connectTimeout = 30 * time.Second

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
	race   race
	by     time.Duration // deadline of all; the connection's setupBy may be when the next address is tried
	cancel context.CancelFunc
	reason Reason // of the last address that failed
	errs   []error
}

// Connect opens a connection. It returns its transport at once; p gets
// ConnectionMade, for TLS once the peer is verified, or ConnectionFailed.
// LoseConnection and AbortConnection cancel it before that (reason Aborted).
// Names are resolved off the loop, and their addresses raced as RFC 8305 has it: those of IPv6
// and IPv4 in turn, the next one when the last has failed or has not answered within 250 ms,
// and the first that answers is the connection. The error tells of each that has failed. Loop only.
func (l *Loop) Connect(ep Endpoint, p ClientProtocol, o ConnectOptions) Transport {
	c := l.newOutgoing(ep, p, o)
	k := c.client
	ctx, cancel := context.WithCancel(context.Background())
	k.cancel = func() {
		cancel()
		c.endRace()
	}
	if l.stopped {
		c.refuseConnect()
		return c
	}
	c.armTimer()
	if ep.Scheme == "unix" {
		c.flags |= flagUnix
		if !c.startConnect("unix", ep.Path) {
			c.failConnect()
		}
		return c
	}
	if a, err := netip.ParseAddr(ep.Host); err == nil {
		k.race.add(a)
		c.connectNext()
		return c
	}
	for _, network := range []string{"ip6", "ip4"} {
		k.race.resolving++
		l.resolve(ctx, network, ep.Host, c.takeAddresses)
	}
	return c
}

// newOutgoing makes a connection that is being made.
func (l *Loop) newOutgoing(ep Endpoint, p ClientProtocol, o ConnectOptions) *connection {
	if o.Timeout <= 0 {
		o.Timeout = connectTimeout
	}
	k := &outgoing{ep: ep, proto: p, o: o, cancel: func() {}, reason: NoSuchHost}
	now := l.sys.Now()
	k.by = now + o.Timeout
	c := &connection{loop: l, share: o.Share, client: k, stage: stageConnecting, opened: now, active: now,
		setupBy: k.by}
	l.count.Add(1)
	l.r.countConn(false, 1)
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
	k.reason, k.errs = connectReason(err), append(k.errs, fmt.Errorf("connect to %s: %w", address, err))
}

// failConnect tells that there is no connection, and of all that was tried.
func (c *connection) failConnect() {
	k := c.client
	switch len(k.errs) {
	case 0:
		c.endWith(k.reason, fmt.Errorf("%s has no address", k.ep))
	case 1:
		c.endWith(k.reason, k.errs[0])
	default:
		c.endWith(k.reason, &triesError{k.errs})
	}
}

// triesError is of several addresses.
type triesError struct{ each []error }

func (e *triesError) Unwrap() []error { return e.each }

func (e *triesError) Error() string {
	var b strings.Builder
	for n, err := range e.each {
		if n > 0 {
			b.WriteString("; ")
		}
		b.WriteString(err.Error())
	}
	return b.String()
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
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return OverLimit
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
	c.endRace()
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
