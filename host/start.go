package host

import (
	"container/list"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/reactor"
)

// A start makes an instance: it instantiates the module and calls it, up to
// startFactory. Where that takes more than a few ms it happens on a goroutine of
// its own, and the connections that it is for wait for it (reactor.Later), not
// their loop.

const (
	// quickStart is how long a start may take on a loop. What takes longer there is
	// given up, and begins anew off the loop.
	quickStart = 5 * time.Millisecond
	// slowStart is from when on a version's starts are made off the loops, until
	// quickInARow have taken less.
	slowStart   = time.Millisecond
	quickInARow = 8
)

var (
	// errSlow says that a start on a loop took too long.
	errSlow = errors.New("the start takes longer than a loop may wait")
	// errLate says that an instance is to be waited for.
	errLate = errors.New("the instance is being started")
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

// start is an instance that is made off the loop. Its place among the version's
// instances has been taken.
type start struct {
	slot  *slot
	phase atomic.Int32
	inst  *instance // what became of it, when it is over
	err   error

	rehearsal bool   // no connection waits for it
	done      func() // told once, when it is over or dropped; may be nil
}

// The phases of a start.
const (
	startQueued int32 = iota
	startBegun
	startDropped
)

// starter makes a version's starts, in the order in which they were asked for. Any
// goroutine.
type starter struct {
	mu      sync.Mutex
	idle    sync.Cond // none runs, or is to
	queue   []*start
	running int
	stopped bool
	hurry   atomic.Int64 // looks at the clock since it runs away; 0 = it does not
}

// add has a start made, with less than most beside it.
func (r *starter) add(st *start, most int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue = append(r.queue, st)
	if r.running < most {
		r.running++
		go r.run()
	}
}

// next is the start to be made now; nil when there is none.
func (r *starter) next() *start {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.queue) > 0 {
		st := r.queue[0]
		r.queue[0] = nil
		r.queue = r.queue[1:]
		switch {
		case r.stopped:
			st.drop()
		case st.phase.CompareAndSwap(startQueued, startBegun):
			return st
		}
	}
	r.queue = nil
	if r.running--; r.running == 0 {
		r.idle.Broadcast()
	}
	return nil
}

func (r *starter) run() {
	for st := r.next(); st != nil; st = r.next() {
		s := st.slot
		st.inst, st.err = s.ver.makeInstance(false)
		if err := s.loop.CallFromThread(func() { s.finished(st) }); err != nil { // the loop has ended
			if st.inst != nil {
				st.inst.close()
			}
			st.tell()
		}
	}
}

// stop ends all starts, and waits for those that run: their time is over. The loops
// have ended.
func (r *starter) stop() {
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	r.hurry.Store(1)
	r.await()
	r.hurry.Store(0)
}

// hurried is a clock that runs away while the starter stops.
func (r *starter) hurried(clock func() time.Duration) func() time.Duration {
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
func (r *starter) await() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.running > 0 {
		r.idle.Wait()
	}
}

// AwaitStarts waits until no instance is being started off the loops, and tells how
// many had been when it was called. What connections wait for has been given
// to their loops then. It is for tests over sockets in memory.
func (h *Host) AwaitStarts() (made uint64) {
	for _, p := range h.snapshot() {
		made += p.starts.Load()
		p.mu.Lock()
		versions := p.listed()
		p.mu.Unlock()
		for _, v := range versions {
			v.starter.await()
		}
	}
	return made
}

// drop gives up a start that has not begun, and tells whether it was one.
func (st *start) drop() bool {
	if !st.phase.CompareAndSwap(startQueued, startDropped) {
		return false
	}
	st.slot.ver.giveBack()
	st.tell()
	return true
}

func (st *start) tell() {
	if st.done != nil {
		st.done()
	}
}

// waiter is a connection that waits for an instance: its reactor.Later. On its
// loop.
type waiter struct {
	slot *slot
	t    reactor.Transport
	at   *list.Element // in slot.waiters; nil when it is to ask again
	inst *instance     // its own, started and not committed; of isolation connection
	err  error         // why there is none
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
			i.close()
		}
		return s.ver.plugin.BuildProtocol(t)
	case i != nil:
		s.adopt(i)
		return s.ver.plugin.build(i, t)
	}
	return s.ver.plugin.buildOn(s, t)
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

// again has w's connection ask again.
func (s *slot) again(w *waiter) {
	s.waiters.Remove(w.at)
	w.at = nil
	w.t.BuildAgain()
}

// await has a connection wait for an instance, and starts one where none is being
// started that it can have. It returns its reactor.Later, or why there is none.
func (s *slot) await(t reactor.Transport) error {
	if s.ver.cfg.Isolation == config.IsolationConnection || len(s.starts) == 0 {
		if err := s.begin(&start{slot: s}); err != nil {
			return err
		}
	}
	w := &waiter{slot: s, t: t}
	w.at = s.waiters.PushBack(w)
	return w
}

// begin begins a start off the loop.
func (s *slot) begin(st *start) error {
	if err := s.ver.take(); err != nil {
		return err
	}
	s.starts = append(s.starts, st)
	s.ver.plugin.starts.Add(1)
	s.ver.starter.add(st, s.ver.plugin.host.startsAtOnce)
	return nil
}

// finished takes what became of a start.
func (s *slot) finished(st *start) {
	s.forget(st)
	defer st.tell()
	switch {
	case s.handedOn:
		if st.inst != nil {
			st.inst.close()
		}
	case st.err != nil:
		s.unstarted(st)
	case s.ver.cfg.Isolation == config.IsolationConnection:
		s.started()
		s.offer(st.inst)
		s.trim()
	case s.inst != nil && s.inst.dead == nil:
		st.inst.close()
		s.release(nil)
	default:
		s.adopt(st.inst)
		s.release(nil)
	}
}

func (s *slot) forget(st *start) {
	for n, other := range s.starts {
		if other == st {
			s.starts = append(s.starts[:n], s.starts[n+1:]...)
			return
		}
	}
}

// unstarted refuses those who waited for a start that has failed: one alone where
// that was no fault of the guest's and each waits for its own.
func (s *slot) unstarted(st *start) {
	if !passing(st.err) || st.rehearsal {
		s.failed(st.err)
	} else if s.ver.cfg.Isolation == config.IsolationConnection {
		if e := s.waiters.Front(); e != nil {
			w := e.Value.(*waiter)
			w.err = st.err
			s.again(w)
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
		s.again(w)
	}
}

// offer gives a started instance to the one that has waited longest, or ends it.
func (s *slot) offer(i *instance) {
	e := s.waiters.Front()
	if e == nil || s.handedOn {
		i.close()
		return
	}
	w := e.Value.(*waiter)
	w.inst = i
	s.again(w)
}

// trim drops starts that have not begun and that no connection waits for.
func (s *slot) trim() {
	wanted := s.waiters.Len()
	if wanted > 0 && s.ver.cfg.Isolation != config.IsolationConnection {
		return
	}
	for n := len(s.starts) - 1; n >= 0 && len(s.starts) > wanted; n-- {
		if st := s.starts[n]; !st.rehearsal && st.drop() {
			s.forget(st)
		}
	}
}

// handOn says that another slot takes new connections, or none does: those that
// wait ask there.
func (s *slot) handOn() {
	s.handedOn = true
	for _, st := range s.starts {
		st.drop()
	}
	s.release(nil)
}
