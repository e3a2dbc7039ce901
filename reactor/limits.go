package reactor

import (
	"errors"
	"fmt"
	"time"
)

// Rates bound the bytes a second of each connection, as its socket has them. The zero
// value bounds nothing.
type Rates struct {
	In  int64 // it is not read meanwhile; 0 = any number
	Out int64 // what is written is queued meanwhile; 0 = any number
	// Least is what a peer must send while bytes have come that nothing was written
	// for, and take while there is output for it, on the average of ten seconds; who
	// does not is cut off, with reason Timeout. 0 = any number.
	Least int64
}

const (
	// leastWindow is how long a peer may be slower than Rates.Least.
	leastWindow = 10 * time.Second
	// rateDepth is for how long a connection that was silent may be read, or
	// written, as fast as it goes: the next bytes then wait.
	rateDepth = time.Second / 4
)

var (
	errOld  = errors.New("older than max_age")
	errRate = errors.New("the rate lets it go on") // never told: it ends nothing
	errSlow = errors.New("slower than rate.least")
)

// limits is what a connection has of its own where its listener has limits of connections:
// values, which Freeze can hand over, but for peer, which is found again by the address.
type limits struct {
	peer *peer // that it counts to; nil = none
	rate Rates
	dies time.Duration // when it is as old as it may be; 0 = never

	in, out     bucket
	inAt, outAt time.Duration // while flagReadLater, flagWriteLater are set: until when

	begun    time.Duration // since when the peer has something begun; 0 = it has not
	begunIn  uint64        // connection.in then
	taking   time.Duration // since when the peer has something to take; 0 = it has not
	takingAt int64         // how many bytes it had taken then
	owed     int64         // how many it had to take then, those too that it had taken
}

// newLimits is what a connection that was made at a moment needs; nil is nothing.
func (o *ListenOptions) newLimits(made time.Duration) *limits {
	if o.Rate == (Rates{}) && o.MaxAge <= 0 && !o.PerPeer.any() {
		return nil
	}
	m := &limits{rate: o.Rate}
	if o.MaxAge > 0 {
		m.dies = made + o.MaxAge
	}
	return m
}

// adoptLimits gives a connection of another reactor the limits that its listener has here.
// It counts to its peer, however many that has.
func (c *connection) adoptLimits(s Frozen) {
	now, o := c.setupBy, c.listener.options.Load()
	m := o.newLimits(c.opened)
	if m == nil {
		return
	}
	m.in, m.out = bucket(now+s.InDebt), bucket(now+s.OutDebt)
	if t := c.listener.peers.Load(); t != nil && c.peer.IsValid() && s.Named == o.ProxyProtocol {
		m.peer = t.count(c.peer.Addr(), now)
	}
	c.limits = m
}

// depthOf is how long a bucket of bytes takes to fill; a slow one holds one byte at least.
func depthOf(rate int64) time.Duration {
	return max(rateDepth, (time.Second+time.Duration(rate)-1)/time.Duration(rate))
}

// goOn is how many bytes there must be before a connection that has none goes on: half of
// what the bucket holds, so that it is not woken for each.
func goOn(rate int64) int64 { return max(1, rate*int64(rateDepth/2)/int64(time.Second)) }

// slowed tells whether what the connection writes waits for its rate.
func (c *connection) slowed() bool { return c.limits != nil && c.limits.rate.Out > 0 }

// readable is how much of buf may be read now, which is one byte at least.
func (m *limits) readable(c *connection, buf []byte) []byte {
	if m.rate.In <= 0 {
		return buf
	}
	return buf[:min(int64(len(buf)), max(1, m.in.left(c.loop.now, depthOf(m.rate.In), m.rate.In)))]
}

// hasRead counts n bytes that were read, and reports whether the peer was fast enough.
func (m *limits) hasRead(c *connection, n int) bool {
	now := c.loop.now
	if rate := m.rate.In; rate > 0 {
		m.in.take(now, int64(n), rate)
		if m.in.left(now, depthOf(rate), rate) < max(1, goOn(rate)/4) {
			m.inAt = m.in.at(goOn(rate), depthOf(rate), rate)
			c.flags |= flagReadLater
			c.settleLater()
		}
	}
	switch {
	case m.rate.Least <= 0:
	case m.begun == 0:
		m.begun, m.begunIn = now, c.in-uint64(n)
	case now-m.begun >= leastWindow:
		if took := int64(c.in - m.begunIn); tooFew(took, now-m.begun, m.rate.Least) {
			c.endWith(Timeout, fmt.Errorf("%w: %d bytes came in %v", errSlow, took, now-m.begun))
			return false
		}
		m.begun, m.begunIn = now, c.in
	}
	return true
}

func tooFew(n int64, in time.Duration, least int64) bool {
	return float64(n) < float64(least)*in.Seconds()
}

// hasWritten counts n bytes that the socket has taken. They are an answer to what came.
func (m *limits) hasWritten(c *connection, n int) {
	now := c.loop.now
	if m.rate.Out > 0 {
		m.out.take(now, int64(n), m.rate.Out)
	}
	if m.rate.Least <= 0 {
		return
	}
	m.begun = 0
	if m.taking == 0 && c.flags&flagUnix == 0 { // which does not tell bytes
		m.taking, m.takingAt, m.owed = now, int64(c.sent)-int64(n), int64(c.sent)
		c.settleLater()
	}
}

// checkTaking looks, at the end of a window, at what the peer has taken. What was there at
// its beginning must be taken by now, or enough of it.
func (m *limits) checkTaking(c *connection, now time.Duration) {
	unsent := int64(c.sys().Unsent(c.fd))
	taken := int64(c.sent) - unsent
	switch {
	case unsent == 0 && c.flags&flagBlocked == 0:
		m.taking = 0
		return
	case taken < m.owed && tooFew(taken-m.takingAt, now-m.taking, m.rate.Least):
		c.endWith(Timeout, fmt.Errorf("%w: it took %d bytes in %v", errSlow, taken-m.takingAt, now-m.taking))
		return
	}
	m.taking, m.takingAt, m.owed = now, taken, int64(c.sent)
}

// writeLater has the rest of the output wait for its rate.
func (c *connection) writeLater() {
	m := c.limits
	m.outAt = m.out.at(goOn(m.rate.Out), depthOf(m.rate.Out), m.rate.Out)
	c.flags = c.flags&^flagBlocked | flagWriteLater
	c.settleLater()
}

// spent tells whether nothing may be written now.
func (m *limits) spent(c *connection) bool {
	return m.out.left(c.loop.now, depthOf(m.rate.Out), m.rate.Out) == 0
}

// writable cuts the front of the output to what may be written now.
func (m *limits) writable(c *connection, pieces [][]byte) [][]byte {
	left := int(m.out.left(c.loop.now, depthOf(m.rate.Out), m.rate.Out))
	if left == 0 {
		return nil
	}
	for i, p := range pieces {
		if len(p) >= left {
			pieces[i] = p[:left]
			return pieces[:i+1]
		}
		left -= len(p)
	}
	return pieces
}

// deadline tells the moments at which the connection is to be looked at.
func (m *limits) deadline(c *connection, earlier func(time.Duration, error)) {
	if c.flags&flagReadLater != 0 {
		earlier(m.inAt, errRate)
	}
	if c.flags&flagWriteLater != 0 {
		earlier(m.outAt, errRate)
	}
	if m.taking > 0 {
		earlier(m.taking+leastWindow, errRate)
	}
	switch {
	case m.dies == 0 || c.unbuilt():
	case c.closing(): // behind what is queued; a peer that takes a byte now and then does not keep it
		earlier(m.dies+c.loop.r.cfg.CloseTimeout, errOld)
	default:
		earlier(m.dies, errOld)
	}
}

// due does what is due now of what deadline has told, but for the end.
func (m *limits) due(c *connection) {
	now := c.loop.sys.Now()
	if c.flags&flagReadLater != 0 && now >= m.inAt {
		c.flags &^= flagReadLater
		c.resumed()
	}
	if c.flags&flagWriteLater != 0 && now >= m.outAt {
		c.flags &^= flagWriteLater
		c.flush()
	}
	if m.taking > 0 && now >= m.taking+leastWindow && !c.ended() {
		m.checkTaking(c, now)
	}
}
