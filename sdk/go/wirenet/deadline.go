package wirenet

import (
	"container/heap"
	"time"
)

// waker is a connection or a socket: wake wakes whoever waits there. mu is held.
type waker interface{ wake() }

// deadline is that of one direction of a connection or a socket. Times are on the
// server's clock, in nanoseconds; 0 is never.
type deadline struct {
	owner   waker
	at      int64 // when it is
	key     int64 // what it is sorted by in the server's deadlines: at, or earlier than it
	place   int   // there, counted from 1; 0 is in none
	changed bool  // listed in the server's moved
	expired bool
}

// deadlines is a heap by keys, the earliest one first. A deadline that moves away,
// as they do with each request, stays where it is until it comes to the front.
type deadlines []*deadline

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].key < d[j].key }
func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].place, d[j].place = i+1, j+1
}

// Push and Pop are for package heap.
func (d *deadlines) Push(x any) {
	e := x.(*deadline)
	*d = append(*d, e)
	e.place = len(*d)
}

func (d *deadlines) Pop() any {
	old := *d
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*d = old[:len(old)-1]
	e.place = 0
	return e
}

// setDeadline makes e expire at t; the zero t is never. mu is held.
func (s *Server) setDeadline(e *deadline, t time.Time) {
	e.at, e.expired = 0, false
	if t.IsZero() {
		return
	}
	at, passed := s.instant(t)
	if passed {
		e.expired = true
		return
	}
	e.at = at
	if !e.changed {
		e.changed = true
		s.moved = append(s.moved, e)
	}
}

// instant is t on the server's clock, and whether it has passed.
func (s *Server) instant(t time.Time) (at int64, passed bool) {
	if !t.After(s.begin.at) {
		return 0, true // such as net/http's time.Unix(1, 0), which needs no clock
	}
	now := s.now()
	if t == t.Round(0) { // it has no monotonic reading
		at = now + int64(time.Until(t))
	} else {
		at = s.begin.now + int64(t.Sub(s.begin.at))
	}
	return at, at <= now
}

// setDeadlines makes each of list expire at t.
func (s *Server) setDeadlines(t time.Time, list ...*deadline) {
	for _, e := range list {
		if s.setDeadline(e, t); e.expired {
			e.owner.wake()
		}
	}
	s.stir()
}

// dropDeadline forgets e for good.
func (s *Server) dropDeadline(e *deadline) {
	e.at = 0
	if e.place > 0 {
		heap.Remove(&s.deadlines, e.place-1)
	}
}

// firstDeadline is when the next deadline is; 0 is never. It sorts in what was
// set since it was asked last.
func (s *Server) firstDeadline() int64 {
	for i, e := range s.moved {
		s.moved[i], e.changed = nil, false
		switch {
		case e.at == 0:
		case e.place == 0:
			e.key = e.at
			heap.Push(&s.deadlines, e)
		case e.at < e.key:
			e.key = e.at
			heap.Fix(&s.deadlines, e.place-1)
		}
	}
	s.moved = s.moved[:0]
	for len(s.deadlines) > 0 {
		switch e := s.deadlines[0]; e.at {
		case e.key:
			return e.at
		case 0:
			heap.Pop(&s.deadlines)
		default:
			e.key = e.at
			heap.Fix(&s.deadlines, 0)
		}
	}
	return 0
}

// expire wakes who waits past a deadline that is due now. mu is held.
func (s *Server) expire() {
	for {
		at := s.firstDeadline()
		if at == 0 || at > s.now() {
			return
		}
		e := heap.Pop(&s.deadlines).(*deadline)
		e.at, e.expired = 0, true
		e.owner.wake()
	}
}
