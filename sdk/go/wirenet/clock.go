package wirenet

import (
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

const (
	soonest = time.Millisecond // from a callback to the first tick
	longest = 480 * time.Hour  // of one delayed call; what is due later is looked at again
	lone    = 30               // delayed calls in a row for timers of Go's while no connection is open
)

// clock is what the callbacks' goroutine comes back by: one delayed call, for
// the next timer of Go's runtime, the next deadline and the end of a budget alike.
type clock struct {
	reactor  *wirehost.Reactor
	call     *wirehost.DelayedCall // nil: none is armed
	due      int64                 // of call
	interval time.Duration         // of the last tick; 0: no ticks
	calls    int                   // delayed calls since the last other callback
	stopping bool                  // StopFactory was called
	logged   bool                  // that the server ended

	// begin is one moment of the instance's life on two clocks.
	begin struct {
		at  time.Time
		now int64
	}
}

// tick is the delayed call.
func (s *Server) tick() {
	s.mu.Lock()
	s.call = nil
	s.calls++
	s.expire()
	for _, c := range s.early {
		c.post()
	}
	s.early = nil
	s.mu.Unlock()
	s.turn()
}

// arm ends a callback: it makes sure of the next deadline, and of the next timer of
// Go's runtime. hurry: come back at once, there is more to do. mu is held.
func (s *Server) arm(hurry bool) {
	if s.stopping {
		return
	}
	at := s.firstDeadline()
	if t := s.wakeUp(); t != 0 && (at == 0 || t < at) {
		at = t
	}
	switch {
	case hurry:
		s.armAt(s.now())
	case at != 0:
		s.armAt(at)
	case s.call != nil:
		s.told("end of a timer", s.call.Cancel())
		s.call = nil
	}
}

// wakeUp is when to look after the timers of Go's runtime; 0 is never.
func (s *Server) wakeUp() int64 {
	if s.options.Tick < 0 {
		return 0
	}
	at, known := s.next()
	if !known {
		return s.nextTick()
	}
	if at == 0 || s.open > 0 || s.options.Background {
		return at
	}
	if s.calls > lone || at > s.now()+int64(s.options.Tick) {
		return 0 // with no connection open an instance ends by and by
	}
	return at
}

// nextTick is when to look where it is not known when the next timer is due: 1 ms
// after a callback, then a quarter longer each time.
func (s *Server) nextTick() int64 {
	switch {
	case s.calls == 0 && (s.call == nil || s.interval == 0 || s.interval > soonest):
		s.interval = min(soonest, s.options.Tick)
	case s.call != nil:
		return s.due // still to come
	case s.interval >= s.options.Tick && s.open == 0 && !s.options.Background:
		s.interval = 0
	case s.interval > 0:
		s.interval = min(s.interval+max(s.interval/4, soonest), s.options.Tick)
	}
	if s.interval == 0 {
		return 0
	}
	return s.now() + int64(s.interval)
}

// armAt makes the delayed call due at a time.
func (s *Server) armAt(at int64) {
	if s.call != nil && at == s.due {
		return
	}
	d := min(max(time.Duration(at-s.now()), 0), longest)
	s.due = at
	if s.call != nil {
		s.told("timer", s.call.Reset(d))
		return
	}
	call, err := s.reactor.CallLater(d, s.tick)
	if err != nil {
		s.told("timer", err)
		return
	}
	s.call = call
}
