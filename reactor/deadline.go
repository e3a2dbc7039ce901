package reactor

import (
	"errors"
	"fmt"
	"math"
	"time"
)

var (
	errIdle      = errors.New("idle for too long")
	errWriting   = errors.New("output made no progress")
	errClosing   = errors.New("closing made no progress")
	errUnreadFin = errors.New("the peer closed, and its bytes were not read")
	errSetup     = errors.New("not set up in time")
	errAsk       = errors.New("the producer is asked again") // never told: it ends nothing
)

// askAgain is how long a pull producer waits that was registered again without a
// byte since the last one was asked.
const askAgain = 10 * time.Millisecond

// looks is how often a blocked connection is looked at within its limit: a limit
// is at most that part of it late.
const looks = 4

// deadline is the next moment at which the connection ends, and why. One timer
// serves all of a connection's time limits; it is made late, moved lazily, and
// the paths of data only note when there was progress.
func (c *connection) deadline() (at time.Duration, why error) {
	at = math.MaxInt64
	earlier := func(t time.Duration, err error) {
		if t < at {
			at, why = t, err
		}
	}
	cfg := &c.loop.r.cfg
	if c.setupBy > 0 {
		earlier(c.setupBy, errSetup)
	}
	if c.stage >= stageLost {
		return at, why
	}
	closing := c.closing() || c.writeSide == sideEnding
	switch {
	case closing && (c.producer != nil && c.flags&flagRetired == 0 || c.queued() > 0):
		earlier(c.progress+cfg.CloseTimeout, errClosing)
	case c.flags&flagBlocked != 0:
		earlier(c.progress+cfg.WriteTimeout, errWriting)
	}
	if c.pullAt > 0 {
		earlier(c.pullAt, errAsk) // timeUp asks
	}
	if c.flags&flagBlocked != 0 {
		earlier(c.looked+min(cfg.CloseTimeout, cfg.WriteTimeout)/looks+1, errWriting) // timeUp looks
	}
	if c.readSide == sideEnding && c.flags&flagPaused != 0 && !c.closing() {
		earlier(c.finAt+cfg.ClosedTimeout, errUnreadFin)
	}
	if c.idle > 0 && c.reached != stageAwaiting && !c.closing() {
		earlier(max(c.active, c.idleFrom)+c.idle, errIdle)
	}
	if c.limits != nil {
		c.limits.deadline(c, earlier)
	}
	return at, why
}

// armTimer makes the timer fire at the deadline, or earlier.
func (c *connection) armTimer() {
	if c.fd == 0 && c.client == nil {
		return
	}
	at, why := c.deadline()
	if why == nil {
		return
	}
	// At the very moment: a delay, counted from a clock that has gone on since, would
	// move it at each call, and what calls each turn would put it off for ever.
	switch {
	case c.timer == nil:
		c.timer = c.loop.newCall(c.timeUp)
		c.timer.scheduleAt(at)
	case c.timer.index < 0 || c.timer.when > at:
		c.timer.scheduleAt(at)
	}
}

func (c *connection) timeUp() {
	if c.flags&flagBlocked != 0 {
		c.checkUnsent()
	}
	if c.pullAt > 0 && c.loop.sys.Now() >= c.pullAt {
		c.pullAt = 0
		c.takeTurnLater()
	}
	if c.limits != nil {
		c.limits.due(c)
	}
	at, why := c.deadline()
	switch {
	case why == nil:
	case c.loop.sys.Now() < at, errors.Is(why, errIdle) && c.draining():
		c.armTimer()
	case c.stage == stageLingering:
		c.releaseSlot(false)
	case c.reached == stageAwaiting:
		c.refuseConnection(refusedProtocol, fmt.Errorf("no protocol: %w", why))
	case c.unbuilt() && c.listener != nil:
		c.refuseConnection(refusedHeader, fmt.Errorf("no PROXY header: %w", why))
	case c.client != nil && errors.Is(why, errSetup) && c.tryAnother():
	case c.stage == stageConnecting:
		c.client.reason, c.client.errs = Timeout, append(c.client.errs, why)
		c.failConnect()
	case c.stage == stageOpen && (errors.Is(why, errIdle) || errors.Is(why, errOld)):
		c.retire(why)
	default:
		c.flags &^= flagRetired
		c.endWith(Timeout, why)
	}
}

// retire closes a connection whose time is over behind what is queued, as LoseConnection
// does, but with reason Timeout, and without waiting for a producer.
func (c *connection) retire(why error) {
	c.LoseConnection()
	c.flags |= flagRetired
	c.err = why
}

// draining tells whether a connection that seems idle is not: the peer takes, bit by bit,
// what the socket took long ago. At the first look since the last byte it has the
// benefit of the doubt.
func (c *connection) draining() bool {
	if c.fd == 0 {
		return false
	}
	now, unsent := c.loop.sys.Now(), c.sys().Unsent(c.fd)
	arrived := int64(c.sent) - int64(unsent)
	goesOn := unsent > 0 && (c.looked < c.active || arrived > c.arrived)
	c.looked, c.arrived = now, arrived
	if goesOn {
		c.active = now
	}
	return goesOn
}

// inOrder tells whether the connection has ended as it should: all that was queued is on
// its way, and a FIN goes behind it.
func (c *connection) inOrder() bool {
	return c.reason == Done || c.reason == Timeout && c.flags&flagRetired != 0
}

// checkUnsent notes what the peer has taken of the output since the last look. A full
// socket polls writable only when much of its buffer is free (a third, on
// Linux), for which a slow reader may take longer than the limits are.
func (c *connection) checkUnsent() {
	c.looked = c.loop.sys.Now()
	arrived := int64(c.sent) - int64(c.sys().Unsent(c.fd))
	if arrived > c.arrived {
		c.progress, c.active = c.looked, c.looked
	}
	c.arrived = arrived
}

// SetTimeout closes the connection after d without a byte read or written.
func (c *connection) SetTimeout(d time.Duration) {
	c.idle = max(0, d)
	c.idleFrom = c.loop.sys.Now()
	c.settleLater()
}
