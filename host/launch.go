package host

import (
	"container/list"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/reactor"
)

// A launch starts an instance off the loops: the module is instantiated and called, up to
// startFactory, on a goroutine of its own, where that takes more than a few ms. The
// connections that it is for wait for it (reactor.Later), not their loop.

const (
	// quickStart is how long a start may take on a loop. What takes longer there is
	// given up, and begins anew off the loop.
	quickStart = 5 * time.Millisecond
	// slowStart is from when on a version's starts are made off the loops, until
	// quickInARow have taken less.
	slowStart   = time.Millisecond
	quickInARow = 8
)

// errLate says that an instance is to be waited for.
var errLate = errors.New("the instance is being started")

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
		st.inst, st.err = s.ver.startInstance(0)
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
	r.hurry.Store(1)
	r.await()
	r.hurry.Store(0)
}

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

// waiter is a connection that waits for an instance: its reactor.Later. On its
// loop.
type waiter struct {
	slot *slot
	t    reactor.Transport
	at   *list.Element   // in slot.waiters; nil when it is to ask again
	inst *guest.Instance // its own, started and not committed; of isolation connection
	err  error           // why there is none
}

func (w *waiter) Error() string { return errLate.Error() }

// BuildProtocol makes the protocol when the start is over. If the version was
// replaced meanwhile, that is the next one's matter.
func (w *waiter) BuildProtocol(t reactor.Transport) (reactor.Protocol, error) {
	s, i := w.slot, w.inst
	w.inst = nil
	switch {
	case w.err != nil:
		return nil, w.err
	case s.handedOn:
		if i != nil {
			i.Close()
		}
		return s.plugin.BuildProtocol(t)
	case i != nil:
		s.adoptInstance(i)
		return i.BuildProtocol(t)
	}
	return s.buildProtocol(t)
}

// Gone says that the connection has ended. What was started for it is the next
// one's.
func (w *waiter) Gone() {
	s := w.slot
	if w.at != nil {
		s.waiters.Remove(w.at)
		w.at = nil
	}
	if i := w.inst; i != nil {
		w.inst = nil
		s.offer(i)
	}
	s.trim()
}

// askAgain has w's connection ask again.
func (s *slot) askAgain(w *waiter) {
	s.waiters.Remove(w.at)
	w.at = nil
	w.t.BuildAgain()
}

// awaitInstance has a connection wait for an instance, and launches one where none is being
// started that it can have. It returns its reactor.Later, or why there is none.
func (s *slot) awaitInstance(t reactor.Transport) error {
	if s.ver.cfg.Isolation == config.IsolationConnection || len(s.launches) == 0 {
		if err := s.beginLaunch(&launch{slot: s}); err != nil {
			return err
		}
	}
	w := &waiter{slot: s, t: t}
	w.at = s.waiters.PushBack(w)
	return w
}

// beginLaunch begins a launch.
func (s *slot) beginLaunch(st *launch) error {
	if err := s.ver.takePlace(); err != nil {
		return err
	}
	s.launches = append(s.launches, st)
	s.plugin.launched.Add(1)
	s.ver.launcher.add(st, s.host.launchesAtOnce)
	return nil
}

// finishLaunch takes what became of a launch.
func (s *slot) finishLaunch(st *launch) {
	s.forget(st)
	defer st.tellDone()
	switch {
	case s.handedOn:
		if st.inst != nil {
			st.inst.Close()
		}
	case st.err != nil:
		s.failLaunch(st)
	case s.ver.cfg.Isolation == config.IsolationConnection:
		s.noteStart()
		s.offer(st.inst)
		s.trim()
	case s.running():
		st.inst.Close()
		s.release(nil)
	default:
		s.adoptInstance(st.inst)
		s.release(nil)
	}
}

func (s *slot) forget(st *launch) {
	for n, other := range s.launches {
		if other == st {
			s.launches = append(s.launches[:n], s.launches[n+1:]...)
			return
		}
	}
}

// failLaunch refuses those who waited for a launch that has failed: one alone where
// that was no fault of the guest's and each waits for its own.
func (s *slot) failLaunch(st *launch) {
	if !passing(st.err) || st.ahead {
		s.noteFailure(st.err)
	} else if s.ver.cfg.Isolation == config.IsolationConnection {
		if e := s.waiters.Front(); e != nil {
			w := e.Value.(*waiter)
			w.err = st.err
			s.askAgain(w)
		}
		s.trim()
		return
	}
	s.release(st.err)
	s.trim()
}

// release has all that wait ask again, or fails them.
func (s *slot) release(err error) {
	for e := s.waiters.Front(); e != nil; e = s.waiters.Front() {
		w := e.Value.(*waiter)
		w.err = err
		s.askAgain(w)
	}
}

// offer gives a started instance to the connection that has waited longest, or ends it.
func (s *slot) offer(i *guest.Instance) {
	e := s.waiters.Front()
	if e == nil || s.handedOn {
		i.Close()
		return
	}
	w := e.Value.(*waiter)
	w.inst = i
	s.askAgain(w)
}

// trim drops launches that have not begun and that no connection waits for.
func (s *slot) trim() {
	wanted := s.waiters.Len()
	if wanted > 0 && s.ver.cfg.Isolation != config.IsolationConnection {
		return
	}
	for n := len(s.launches) - 1; n >= 0 && len(s.launches) > wanted; n-- {
		if st := s.launches[n]; !st.ahead && st.drop() {
			s.forget(st)
		}
	}
}

// handOn says that another slot takes new connections, or none does: those that
// wait ask there.
func (s *slot) handOn() {
	s.handedOn = true
	for _, st := range s.launches {
		st.drop()
	}
	s.release(nil)
}
