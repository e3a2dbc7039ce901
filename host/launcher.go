package host

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/wirehost/wirehost/host/guest"
)

const (
	// quickStart is how long a start may take on a loop. What takes longer there is
	// given up, and begins anew off the loop.
	quickStart = 5 * time.Millisecond
	// slowStart is from when on a version's starts are made off the loops, until
	// quickInARow have taken less.
	slowStart   = time.Millisecond
	quickInARow = 8
)

// pace is what is known of how long a version's starts take. Any goroutine.
type pace struct {
	hurdle atomic.Int32 // quick starts to come before they are made on the loops; 1 at first
}

func (p *pace) quick() bool { return p.hurdle.Load() == 0 }

func (p *pace) note(took time.Duration) {
	if took > slowStart {
		p.hurdle.Store(quickInARow)
	} else if n := p.hurdle.Load(); n > 0 {
		p.hurdle.CompareAndSwap(n, n-1)
	}
}

// launch is an instance that is started off the loops. Its place among the version's
// instances has been taken.
type launch struct {
	slot  *slot
	stage atomic.Int32
	inst  *guest.Instance // what became of it, when it is over
	err   error

	heir  guest.Heir
	ahead bool   // no connection waits for it
	done  func() // told once, when it is over or dropped; may be nil
}

// The stages of a launch.
const (
	launchQueued int32 = iota
	launchBegun
	launchDropped
)

// launcher makes a version's launches, in the order in which they were asked for. Any
// goroutine.
type launcher struct {
	mu      sync.Mutex
	idle    sync.Cond // none runs, or is to
	queue   []*launch
	running int
	stopped bool
	hurry   atomic.Int64 // looks at the clock since it runs away; 0 = it does not
}

// add has a launch made, with less than most beside it.
func (r *launcher) add(st *launch, most int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue = append(r.queue, st)
	if r.running < most {
		r.running++
		go r.run()
	}
}

// next is the launch to be made now; nil when there is none.
func (r *launcher) next() *launch {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.queue) > 0 {
		st := r.queue[0]
		r.queue[0] = nil
		r.queue = r.queue[1:]
		switch {
		case r.stopped:
			st.drop()
		case st.stage.CompareAndSwap(launchQueued, launchBegun):
			return st
		}
	}
	r.queue = nil
	if r.running--; r.running == 0 {
		r.idle.Broadcast()
	}
	return nil
}

func (r *launcher) run() {
	for st := r.next(); st != nil; st = r.next() {
		s := st.slot
		st.inst, st.err = s.ver.startInstance(0, nil, st.heir)
		if err := s.place.Loop.CallFromThread(func() { s.finishLaunch(st) }); err != nil { // the loop has ended
			if st.inst != nil {
				st.inst.Close()
			}
			st.tellDone()
		}
	}
}

// stopLaunches ends all, and waits for those that run: their time is over. The loops
// have ended.
func (r *launcher) stopLaunches() {
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	r.hurryStarts()
	r.await()
	r.hurry.Store(0)
}

// hurryStarts has the time of all starts be over, and of all else that the version's
// instances do.
func (r *launcher) hurryStarts() { r.hurry.Store(1) }

// hurried is a clock that runs away while the launches are stopped.
func (r *launcher) hurried(clock func() time.Duration) func() time.Duration {
	if clock == nil {
		return nil
	}
	return func() time.Duration {
		now := clock()
		if r.hurry.Load() > 0 {
			now += time.Duration(r.hurry.Add(1)) * 1000 * time.Hour
		}
		return now
	}
}

// await waits until none runs, or is to.
func (r *launcher) await() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.running > 0 {
		r.idle.Wait()
	}
}

// drop gives up a launch that has not begun, and tells whether it was one.
func (st *launch) drop() bool {
	if !st.stage.CompareAndSwap(launchQueued, launchDropped) {
		return false
	}
	st.slot.ver.Closed()
	st.tellDone()
	return true
}

func (st *launch) tellDone() {
	if st.done != nil {
		st.done()
	}
}
