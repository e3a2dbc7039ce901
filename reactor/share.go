package reactor

import (
	"container/heap"
	"slices"
	"time"
)

const (
	// TurnShare is what one owner may use of a turn before the rest of what it
	// has to do waits for the next one. A callback is never cut short.
	TurnShare = 5 * time.Millisecond
	// callbackCost is the least that a callback counts for, so that those which
	// are too short to be measured end a turn as well.
	callbackCost = time.Microsecond
	// sampled is how many callbacks pass between two looks at the clock.
	sampled = 16
	// readyBatch is how many events a turn takes at first; while some of them
	// wait, all, so that those of others are among them, up to maxReady.
	readyBatch, maxReady = 256, 1 << 20
)

// Share is what one owner of protocols and delayed calls may take of each turn of
// a loop. An owner that has taken it is late: what comes for it then waits in a
// queue, in order, and in the next turn it comes after everybody else. So others
// wait for one callback of it, however many are due. It is the loop's, as all of
// its methods are but CallFromThread. A nil Share is one without a bound.
type Share struct {
	loop   *Loop
	turn   uint64        // that used is of
	used   time.Duration // in that turn
	late   bool          // what comes waits
	listed bool          // in loop.lateShares
	held   int           // Holds without their Release: it is late until then
	queue  []postponed
	head   int    // of queue
	posted []call // functions, for which somebody waits: they come before the queue

	timers  timerHeap    // the owner's delayed calls
	first   *DelayedCall // stands for the first of them in the loop's heap
	waiting bool         // first is due, and waits for the next turn outside of that heap
}

// postponed is one thing of the queue: one of the three.
type postponed struct {
	conn *connection // with what its flags and events say
	fn   func()
	call call // an accepted socket

	at  time.Duration // the delayed calls that were due then,
	seq uint64        // and were there, come before it
}

// NewShare makes one for an owner. Any goroutine.
func (l *Loop) NewShare() *Share {
	s := &Share{loop: l}
	s.first = l.newCall(s.firstDue)
	return s
}

// Spent is told of each callback, and how long it took; 0 is one of which that is
// not known.
func (s *Share) Spent(d time.Duration) {
	if s == nil {
		return
	}
	l := s.loop
	l.ran[l.pieces%sampled] = s
	l.pieces++
	if d > 0 {
		l.known += d
		s.spend(d)
	}
	if l.pieces == sampled {
		l.sampleTime()
	}
}

func (s *Share) spend(d time.Duration) {
	if l := s.loop; s.turn != l.turnSeq {
		s.turn, s.used = l.turnSeq, 0
	}
	s.used += d
	if s.used >= TurnShare && !s.late {
		s.late = true
		if !s.listed {
			s.listed = true
			s.loop.lateShares = append(s.loop.lateShares, s)
		}
	}
}

// markTime begins a row of callbacks that are measured together.
func (l *Loop) markTime(now time.Duration) {
	l.markedAt, l.known, l.pieces = now, 0, 0
}

// sampleTime divides the time of the last callbacks, as far as it is not known whose
// it was, among those who made them: a callback that is too short for its own
// clock may take milliseconds, if its code misses every cache.
func (l *Loop) sampleTime() {
	now := l.sys.Now()
	each := max(callbackCost, (now-l.markedAt-l.known)/sampled)
	l.markTime(now)
	for _, s := range l.ran {
		s.spend(each)
	}
}

// Late tells whether the owner has used up its share of the turn.
func (s *Share) Late() bool { return s != nil && s.late }

// Hold has everything that comes for the owner wait, in order, until Release was called as
// often. The loop spins meanwhile where something waits: it is for milliseconds.
func (s *Share) Hold() {
	if s != nil {
		s.held++
		s.late = true
	}
}

// Release ends a Hold.
func (s *Share) Release() {
	if s == nil || s.held == 0 {
		return
	}
	if s.held--; s.held == 0 && !s.listed {
		s.listed = true
		s.loop.lateShares = append(s.loop.lateShares, s)
	}
}

// CallLater is Loop.CallLater for the owner.
func (s *Share) CallLater(d time.Duration, fn func()) *DelayedCall {
	t := s.loop.newCall(fn)
	t.share = s
	t.schedule(d)
	return t
}

// Call calls fn, now or, where the owner is late, in a later turn. It is not called
// if the loop ends before that.
func (s *Share) Call(fn func()) {
	if s.late {
		s.push(postponed{fn: fn})
		return
	}
	fn()
}

// CallFromThread is Loop.CallFromThread for the owner, whose other things it comes
// before. Any goroutine.
func (s *Share) CallFromThread(fn func()) error { return s.loop.post(call{fn: fn, share: s}) }

// follow has the loop know when the first of the owner's delayed calls is due. A nil
// Share has none.
func (s *Share) follow() {
	switch {
	case s == nil || s.waiting:
	case len(s.timers) == 0:
		s.first.Cancel()
	case s.first.index < 0 || s.first.seq != s.timers[0].seq:
		s.first.when, s.first.seq = s.timers[0].when, s.timers[0].seq
		s.loop.timers.put(s.first)
	}
}

// firstDue runs the first of the owner's delayed calls. Where the owner is late they
// all stay where they are: to move each into the queue would hold the loop for as
// long as there are many.
func (s *Share) firstDue() {
	if s.late {
		s.waiting = true
		s.loop.postponed++
		return
	}
	s.runFirst()
}

func (s *Share) runFirst() {
	t := heap.Pop(&s.timers).(*DelayedCall)
	s.follow()
	t.fn()
}

// unwait ends the wait of the delayed calls that are due.
func (s *Share) unwait() {
	if s.waiting {
		s.waiting = false
		s.loop.postponed--
		s.follow()
	}
}

// timerNext tells whether the next thing is a delayed call, of those that are due and
// were there at seq last.
func (s *Share) timerNext(last uint64) bool {
	if len(s.timers) == 0 {
		return false
	}
	t := s.timers[0]
	if len(s.queue) > 0 {
		p := &s.queue[s.head]
		return t.when <= p.at && t.seq <= p.seq
	}
	return t.when <= s.loop.now && t.seq <= last
}

func (s *Share) push(p postponed) {
	p.at, p.seq = s.loop.timersAt, s.loop.timersSeq
	s.loop.postponed++
	s.queue = append(s.queue, p)
}

// pop takes the oldest from the queue, which is not empty.
func (s *Share) pop() postponed {
	p := s.queue[s.head]
	s.queue[s.head] = postponed{}
	s.loop.postponed--
	if s.head++; s.head == len(s.queue) {
		s.queue, s.head = s.queue[:0], 0
	} else if s.head >= 1024 && 2*s.head >= len(s.queue) {
		s.queue = slices.Delete(s.queue, 0, s.head)
		s.head = 0
	}
	return p
}

// runLate gives the first n late owners, those of the turn before, what they may
// have of this one.
func (l *Loop) runLate(n int) (ran bool) {
	for _, s := range l.lateShares[:n] {
		if s.held > 0 {
			continue
		}
		s.turn, s.used, s.late = l.turnSeq, 0, false
		s.unwait()
		for last := l.timerSeq; !s.late && s.runOne(last); {
			ran = true
		}
	}
	l.lateShares = slices.DeleteFunc(l.lateShares, func(s *Share) bool {
		s.listed = s.late && s.held == 0
		return !s.listed
	})
	return ran
}

// runOne runs the next thing that waits, and reports whether there was one.
func (s *Share) runOne(last uint64) bool {
	switch {
	case len(s.posted) > 0:
		s.nextPosted().fn()
	case s.timerNext(last):
		s.runFirst()
	case len(s.queue) > 0:
		s.runPostponed(s.pop())
	default:
		return false
	}
	s.loop.settle()
	return true
}

func (s *Share) nextPosted() call {
	c := s.posted[0]
	s.posted = slices.Delete(s.posted, 0, 1)
	s.loop.postponed--
	return c
}

// postpone keeps what another goroutine has posted.
func (s *Share) postpone(c call) {
	if c.fn == nil {
		s.push(postponed{call: c})
		return
	}
	s.loop.postponed++
	s.posted = append(s.posted, c)
}

func (s *Share) runPostponed(p postponed) {
	switch {
	case p.conn != nil:
		p.conn.takePostponed()
	case p.fn != nil:
		p.fn()
	default:
		s.loop.takeCall(p.call)
	}
}

// mayTell reports whether the protocol may be called now. Where its owner is late,
// the connection is looked at again when that is over.
func (c *connection) mayTell() bool {
	if !c.share.Late() {
		return true
	}
	c.postpone()
	return false
}

func (c *connection) postpone() {
	if c.flags&flagPostponed == 0 {
		c.flags |= flagPostponed
		c.share.push(postponed{conn: c})
	}
}

// postponeEvents keeps what the poller has reported. Output goes out meanwhile: it
// is the peer's time that counts there.
func (c *connection) postponeEvents(ev Events) {
	if ev&WriteEvent != 0 && c.flags&flagBlocked != 0 {
		c.flush()
		ev &^= WriteEvent
	}
	if ev != 0 && !c.ended() {
		c.events |= ev
		c.postpone()
	}
}

// takePostponed does what has waited for the owner's share: what is to be told first, then
// what the connection asked for, then what came for it. It is in the queue again
// meanwhile, in case that a panic cuts this short.
func (c *connection) takePostponed() {
	l := c.loop
	c.flags &^= flagPostponed
	if c.flags&flagAgain != 0 || c.events != 0 {
		c.postpone()
	}
	c.settleLater()
	l.settle()
	l.current = c
	if c.flags&flagAgain != 0 && !c.share.late {
		c.flags &^= flagAgain
		c.takeTurn()
		l.settle()
	}
	if c.events != 0 && !c.share.late {
		ev := c.events
		c.events = 0
		c.takeEvents(ev)
		l.settle()
	}
	l.current = nil
}
