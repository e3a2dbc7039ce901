package reactor

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// The times of RFC 8305, section 8, that it recommends.
const (
	attemptDelay    = 250 * time.Millisecond // until the next address is tried, where the last one has not answered
	resolutionDelay = 50 * time.Millisecond  // that addresses of IPv4 wait for those of IPv6
)

// maxRivals is how many addresses may have been tried, and not have answered, beside the
// last one: each takes a descriptor.
const maxRivals = 4

// race is what is known of a name's addresses (RFC 8305, "happy eyeballs").
type race struct {
	resolving int          // families that are asked for
	six, four []netip.Addr // still to be tried
	lastSix   bool         // the last one tried was of IPv6
	began     bool
	wait      *DelayedCall // for addresses of IPv6; nil = none
	lookup    error        // why a family has no address
	rivals    []*rival     // tried before the last one, and not answered yet; the oldest first
}

// rival is an attempt at an address, after which another was begun.
type rival struct {
	c     *connection
	fd    FD
	token uint64
	peer  netip.AddrPort
}

func (k *race) add(addrs ...netip.Addr) {
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() {
			k.four = append(k.four, a)
		} else {
			k.six = append(k.six, a)
		}
	}
}

func (k *race) left() bool { return len(k.six)+len(k.four) > 0 }

// next is the next address to be tried: IPv6 and IPv4 take turns, while there are both.
func (k *race) next() netip.Addr {
	from := &k.six
	if len(k.six) == 0 || k.lastSix && len(k.four) > 0 {
		from = &k.four
	}
	a := (*from)[0]
	*from = (*from)[1:]
	k.lastSix = a.Is6()
	return a
}

// takeAddresses takes those of one family.
func (c *connection) takeAddresses(addrs []netip.Addr, err error) {
	if c.stage != stageConnecting {
		return
	}
	k := &c.client.race
	k.resolving--
	if k.add(addrs...); lookupWeight(err) > lookupWeight(k.lookup) {
		k.lookup = err
	}
	switch {
	case k.began && c.fd == 0:
		c.connectNext() // nothing else is left
	case k.began:
		c.setupBy = c.nextAttempt()
		c.settleLater()
	case k.resolving == 0 || len(k.six) > 0:
		c.beginRace()
	case len(k.four) > 0 && k.wait == nil:
		k.wait = c.loop.CallLater(resolutionDelay, c.beginRace)
	}
}

// beginRace tries the first address.
func (c *connection) beginRace() {
	if c.stage != stageConnecting {
		return
	}
	if k := &c.client.race; !k.began {
		k.began = true
		k.stopWaiting()
		c.connectNext()
	}
}

func (k *race) stopWaiting() {
	if k.wait != nil {
		k.wait.Cancel()
		k.wait = nil
	}
}

// lookupWeight orders the errors of two families: that a name has no address of one says less
// than that the other's could not be asked for, and that may pass.
func lookupWeight(err error) int {
	var dns *net.DNSError
	var none *net.AddrError // there are addresses, of the other family
	switch isDNS := errors.As(err, &dns); {
	case err == nil:
		return 0
	case isDNS && dns.IsNotFound, errors.As(err, &none):
		return 1
	case !isDNS || !dns.IsTimeout:
		return 2
	}
	return 3
}

// connectNext tries the next address, or fails where none is left and none may still answer.
func (c *connection) connectNext() {
	k := c.client
	for k.race.left() {
		a := k.race.next()
		if k.o.Allow != nil {
			if err := k.o.Allow(k.ep, a); err != nil {
				k.reason, k.errs = NotAllowed, append(k.errs, err)
				continue
			}
		}
		c.peer = netip.AddrPortFrom(a, k.ep.Port)
		if c.startConnect("tcp", c.peer.String()) {
			c.setupBy = c.nextAttempt()
			return
		}
	}
	switch {
	case len(k.race.rivals) > 0 || k.race.resolving > 0:
		c.setupBy = k.by
		c.settleLater()
	case len(k.errs) == 0 && k.race.lookup != nil:
		c.endWith(lookupReason(k.race.lookup), k.race.lookup)
	default:
		c.failConnect()
	}
}

func lookupReason(err error) Reason {
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsTimeout {
		return Timeout
	}
	return NoSuchHost
}

// nextAttempt is when the next address is to be tried, or else the end of all.
func (c *connection) nextAttempt() time.Duration {
	k := c.client
	if !k.race.left() {
		return k.by
	}
	return min(k.by, c.loop.sys.Now()+attemptDelay)
}

// tryAnother tries the next address beside the one that has not answered, when its time has
// come, and reports whether there was one.
func (c *connection) tryAnother() bool {
	k := c.client
	if c.stage != stageConnecting || c.fd == 0 || !k.race.left() || c.loop.sys.Now() >= k.by {
		return false
	}
	if len(k.race.rivals) == maxRivals {
		oldest := k.race.rivals[0]
		k.noteFailure("tcp://"+oldest.peer.String(), syscall.ETIMEDOUT)
		c.dropRival(oldest)
	}
	c.makeRival()
	c.connectNext()
	return true
}

// makeRival has the present attempt go on by itself.
func (c *connection) makeRival() {
	l := c.loop
	v := &rival{c: c, fd: c.fd, token: listenerToken | l.r.listenerSeq.Add(1), peer: c.peer}
	if c.polled {
		c.polled = false
		if err := l.poller.Remove(c.fd); err != nil {
			l.r.log.Warn("poller: remove", "fd", c.fd, "err", err)
		}
	}
	c.fd = 0
	if err := l.poller.Add(v.fd, v.token, WriteEvent); err != nil {
		c.client.noteFailure("tcp://"+v.peer.String(), err)
		v.close()
		return
	}
	if l.rivals == nil {
		l.rivals = map[uint64]*rival{}
	}
	l.rivals[v.token] = v
	l.r.others.Add(1)
	c.client.race.rivals = append(c.client.race.rivals, v)
}

func (v *rival) close() {
	if err := v.c.loop.sys.Close(v.fd); err != nil {
		v.c.loop.r.log.Debug("close", "fd", v.fd, "err", err)
	}
}

// leave takes it out of the race; its socket is the caller's.
func (v *rival) leave() {
	l, k := v.c.loop, &v.c.client.race
	if err := l.poller.Remove(v.fd); err != nil {
		l.r.log.Warn("poller: remove", "fd", v.fd, "err", err)
	}
	delete(l.rivals, v.token)
	l.r.others.Add(-1)
	k.rivals = slices.DeleteFunc(k.rivals, func(other *rival) bool { return other == v })
}

func (c *connection) dropRival(v *rival) {
	v.leave()
	v.close()
}

// endRace closes the losers. It may come again.
func (c *connection) endRace() {
	if c.client == nil {
		return
	}
	k := &c.client.race
	k.stopWaiting()
	for len(k.rivals) > 0 {
		c.dropRival(k.rivals[0])
	}
}

// takeEvents is the socket's word on how the attempt went. One that has answered takes the
// place of the last one, and is then told of as that.
func (v *rival) takeEvents() {
	c := v.c
	err := c.loop.sys.ConnectResult(v.fd)
	switch {
	case c.stage != stageConnecting, errors.Is(err, syscall.EINPROGRESS), errors.Is(err, syscall.EAGAIN):
	case err != nil:
		c.client.noteFailure("tcp://"+v.peer.String(), err)
		c.dropRival(v)
		if c.fd == 0 {
			c.connectNext()
		}
	default:
		if c.fd != 0 {
			c.dropSocket(c.loop.sys.Close)
		}
		v.leave()
		c.fd, c.peer, c.setupBy = v.fd, v.peer, c.client.by
		c.settleLater()
	}
}
