package host

import (
	"errors"
	"time"
)

// Overload is looked for once a second. Past a threshold no connection is
// accepted, and each second a part of the idle ones is closed, until use has
// fallen some way below it again: without that distance, accepting would be
// switched on and off with every connection.
const (
	overloadEvery = time.Second
	overloadHurry = 50 * time.Millisecond // resident memory alone: 30 µs a look
	overloadIdle  = 5 * time.Second       // a connection is idle after so long without a byte
	overloadPart  = 16                    // one in so many of a loop's connections is closed a second
	overloadLeft  = 0.05                  // of a limit: with less left, or less than use.spare, it begins
	overloadApart = 0.10                  // of a limit: so far below where it begins it ends
)

// errOverload is why an idle connection was closed.
var errOverload = errors.New("the server is out of memory or descriptors, and the connection was idle")

// use is how much of something is taken; a limit of 0 is none.
type use struct {
	what        string
	used, limit uint64
	spare       uint64 // how much must be left of the limit, at least
}

// useOfMemory is what use calls the process's resident memory.
const useOfMemory = "memory"

// useOfDescriptors is what it calls the process's descriptors.
const useOfDescriptors = "descriptors"

func (u use) part() float64 {
	if u.limit == 0 {
		return 0
	}
	return float64(u.used) / float64(u.limit)
}

// beginsAt is the part of the limit from which on there is an overload, and endsAt the
// one below which there is none any more.
func (u use) beginsAt() float64 {
	if u.limit == 0 {
		return 1
	}
	return 1 - max(overloadLeft, float64(u.spare)/float64(u.limit))
}

func (u use) endsAt() float64 { return u.beginsAt() - overloadApart }

// least is the part of the limit that makes an overload, or keeps one.
func (u use) least(on bool) float64 {
	if on {
		return u.endsAt()
	}
	return u.beginsAt()
}

// overload watches what the process uses. One goroutine.
type overload struct {
	h       *Host
	measure func() []use
	images  func() uint64 // bytes of the images that instances share
	memory  *ownMemory    // what can be given back; nil = nothing
	on      bool

	memoryLimit uint64 // as measured last
}

// watchUse looks at what the process uses, from now on: loading is what takes most.
func (h *Host) watchUse() {
	switch {
	case h.mayOpen != nil: // a test's
	case h.o.Sys != nil: // whose sockets are no descriptors
		h.mayOpen = func() uint64 { return 0 }
	default:
		h.mayOpen = descriptorLimit
	}
	o := &overload{h: h, measure: processUse(uint64(h.cfg.Reactor.MaxMemory), h.descriptors, h.sharedImages),
		images: h.sharedImages, memory: newOwnMemory(h)}
	o.check()
	h.background.Go(o.run)
}

// run checks until the host stops.
func (o *overload) run() {
	tick, hurry := time.NewTicker(overloadEvery), time.NewTicker(overloadHurry)
	defer tick.Stop()
	defer hurry.Stop()
	for {
		select {
		case <-tick.C:
			o.check()
		case <-hurry.C:
			o.hurry()
		case <-o.h.stopping:
			return
		}
	}
}

// check goes over to what the present use asks for.
func (o *overload) check() {
	uses := o.uses()
	for _, u := range uses {
		if u.what == useOfMemory {
			o.memoryLimit = u.limit
		}
	}
	if o.memory.tend(uses, o.on) {
		uses = o.uses()
	}
	worst := worstOf(uses)
	switch over := worst.part() >= worst.least(o.on); {
	case !o.on && over:
		o.on = true
		o.h.log.Warn("overload: no connections are accepted, idle ones are closed", "what", worst.what, "used",
			worst.used, "limit", worst.limit)
	case o.on && !over:
		o.on = false
		o.h.log.Info("overload is over: connections are accepted", "what", worst.what, "used", worst.used, "limit",
			worst.limit)
	}
	o.h.shortOf.Store(&worst.what)
	o.h.overloaded.Store(o.on)
	o.h.memory.SetShort(o.on && worst.what == useOfMemory)
	o.h.reactor.Shed(o.on)
	if o.on {
		o.closeIdle()
	}
	if o.on && worst.what == useOfMemory {
		o.pageOut()
	}
	if worst.what == useOfMemory && worst.limit > 0 && worst.used >= worst.limit {
		o.endLargest(worst.used-uint64(worst.endsAt()*float64(worst.limit)), worst.limit)
	}
}

// uses measures. A reactor that can accept nothing for want of descriptors has used them
// up, however many others than its sockets have; sockets of a Sys that was given are none.
func (o *overload) uses() []use {
	list := o.measure()
	if o.h.o.Sys == nil && o.h.reactor.OutOfDescriptors() {
		for n, u := range list {
			if u.what == useOfDescriptors {
				list[n].used = max(u.used, u.limit)
			}
		}
	}
	return list
}

// hurry checks at once where memory is past the limit that was found last: it may
// be filled at a gigabyte a second.
func (o *overload) hurry() {
	if o.memoryLimit > 0 && resident(o.images()) >= o.memoryLimit {
		o.check()
	}
}

// worstOf is the use that is nearest to an overload, or farthest in it.
func worstOf(uses []use) (worst use) {
	for n, u := range uses {
		if n == 0 || u.part()-u.beginsAt() > worst.part()-worst.beginsAt() {
			worst = u
		}
	}
	return worst
}

// closeIdle closes a part of the idle connections of each loop.
func (o *overload) closeIdle() {
	for _, l := range o.h.reactor.Loops() {
		n := l.Stats().Connections/overloadPart + 1
		// A loop that has ended has no connections.
		_ = l.CallFromThread(func() {
			if closed := l.CloseIdle(n, overloadIdle, errOverload); closed > 0 {
				o.h.shed.Add(uint64(closed))
			}
		})
	}
}

// Overload tells whether the host sheds load now, and how many idle connections
// that has cost. Any goroutine.
func (h *Host) Overload() (on bool, closed uint64) { return h.overloaded.Load(), h.shed.Load() }
