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
	overloadIdle  = 5 * time.Second // a connection is idle after so long without a byte
	overloadPart  = 16              // one in so many of a loop's connections is closed a second
	overloadStart = 0.95            // of a limit
	overloadEnd   = 0.85
)

// errOverload is why an idle connection was closed.
var errOverload = errors.New("the server is out of memory or descriptors, and the connection was idle")

// use is how much of something is taken; a limit of 0 is none.
type use struct {
	what        string
	used, limit uint64
}

func (u use) part() float64 {
	if u.limit == 0 {
		return 0
	}
	return float64(u.used) / float64(u.limit)
}

// overload watches what the process uses.
type overload struct {
	h       *Host
	measure func() []use
	on      bool
}

// run checks until the host stops.
func (o *overload) run() {
	tick := time.NewTicker(overloadEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			o.check()
		case <-o.h.stopping:
			return
		}
	}
}

// check goes over to what the present use asks for.
func (o *overload) check() {
	worst := use{}
	for _, u := range o.measure() {
		if u.part() > worst.part() {
			worst = u
		}
	}
	switch {
	case !o.on && worst.part() >= overloadStart:
		o.on = true
		o.h.log.Warn("overload: no connections are accepted, idle ones are closed", "what", worst.what, "used", worst.used, "limit", worst.limit)
	case o.on && worst.part() < overloadEnd:
		o.on = false
		o.h.log.Info("overload is over: connections are accepted", "what", worst.what, "used", worst.used, "limit", worst.limit)
	}
	o.h.overloaded.Store(o.on)
	o.h.reactor.Shed(o.on)
	if o.on {
		o.shed()
	}
}

func (o *overload) shed() {
	for _, l := range o.h.reactor.Loops() {
		n := l.Stats().Connections/overloadPart + 1
		// A loop that has ended has no connections.
		_ = l.CallFromThread(func() {
			if closed := l.CloseIdle(n, overloadIdle, errOverload); closed > 0 {
				o.h.shedded.Add(uint64(closed))
			}
		})
	}
}

// Overload tells whether the host sheds load now, and how many idle connections
// that has cost. Any goroutine.
func (h *Host) Overload() (on bool, closed uint64) { return h.overloaded.Load(), h.shedded.Load() }
