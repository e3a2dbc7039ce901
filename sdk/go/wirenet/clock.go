package wirenet

import (
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

const (
	soonest = time.Millisecond // from a callback to the first tick
	longest = time.Hour        // of one delayed call; what is due later is looked at again
)

// clock is what the callbacks' goroutine comes back by: one delayed call, for
// the next tick, the next deadline and the end of a budget alike.
type clock struct {
	reactor  *wirehost.Reactor
	call     *wirehost.DelayedCall // nil: none is armed
	due      time.Time             // of call
	interval time.Duration         // of the last tick; 0: no ticks
	active   bool                  // there was a callback since the last tick
	stopping bool                  // StopFactory was called
	logged   bool                  // that the server ended
}

// tick is the delayed call.
func (s *Server) tick() {
	s.mu.Lock()
	s.call = nil
	s.expire()
	for _, c := range s.early {
		c.post()
	}
	s.early = nil
	s.mu.Unlock()
	s.turn()
}

// arm ends a callback: it makes sure of the next tick and the next deadline.
// hurry: come back at once, there is more to do. mu is held.
func (s *Server) arm(hurry bool) {
	if s.stopping {
		return
	}
	var at time.Time // to come back at; zero: as armed, or never
	switch {
	case hurry:
		at = s.now()
	case s.options.Tick < 0:
	case s.call == nil, s.active && s.interval > soonest:
		if s.pace(); s.interval > 0 {
			at = s.now().Add(s.interval)
		}
	}
	if len(s.deadlines) > 0 {
		if d := s.deadlines[0].at; at.IsZero() || d.Before(at) {
			at = d
		}
	}
	switch {
	case s.call != nil && at.IsZero() && s.interval == 0:
		s.told("end of a timer", s.call.Cancel())
		s.call = nil
	case at.IsZero(), s.call != nil && !at.Before(s.due):
	default:
		s.armAt(at)
	}
}

// pace sets the time to the next tick: short after a callback, then a quarter
// longer each time.
func (s *Server) pace() {
	switch {
	case s.active:
		s.interval = min(soonest, s.options.Tick)
	case s.interval >= s.options.Tick && s.open == 0 && !s.options.Background:
		s.interval = 0
	case s.interval > 0:
		s.interval = min(s.interval+max(s.interval/4, soonest), s.options.Tick)
	}
	s.active = false
}

// armAt makes the delayed call due at a time.
func (s *Server) armAt(at time.Time) {
	d := min(max(at.Sub(s.now()), 0), longest)
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
