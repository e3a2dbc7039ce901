package wirenet

import (
	"container/heap"
	"time"
)

// deadline is that of one direction of a connection.
type deadline struct {
	conn    *Conn
	at      time.Time
	place   int // in the server's deadlines, counted from 1; 0 is in none
	expired bool
}

// deadlines is a heap of those that are to come, the next one first.
type deadlines []*deadline

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].at.Before(d[j].at) }
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

// set makes e expire at t; the zero t is never. mu is held.
func (s *Server) setDeadline(e *deadline, t time.Time) {
	e.at, e.expired = t, false
	switch {
	case t.IsZero():
		s.dropDeadline(e)
	case !t.After(s.now()):
		e.expired = true
		s.dropDeadline(e)
	case e.place > 0:
		heap.Fix(&s.deadlines, e.place-1)
	default:
		heap.Push(&s.deadlines, e)
	}
}

func (s *Server) dropDeadline(e *deadline) {
	if e.place > 0 {
		heap.Remove(&s.deadlines, e.place-1)
	}
}

// expire wakes who waits past a deadline that is due now. mu is held.
func (s *Server) expire() {
	if len(s.deadlines) == 0 {
		return
	}
	for now := s.now(); len(s.deadlines) > 0 && !s.deadlines[0].at.After(now); {
		e := heap.Pop(&s.deadlines).(*deadline)
		e.expired = true
		e.conn.readable.Broadcast()
		e.conn.writable.Broadcast()
	}
}
