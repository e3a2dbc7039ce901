package admin

import (
	"container/list"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	maxViewers = 8 // of the page at a time; one more ends the oldest
	sightEvery = time.Second
)

// feed tells everybody who looks at the page how the host does. It looks once for all of
// them, and only while there is somebody. Any goroutine.
type feed struct {
	look func() []byte                             // nil = there is nothing to tell
	tick func() (at <-chan time.Time, stop func()) // when to look again

	mu      sync.Mutex
	viewers list.List // of *viewer, the oldest first
	stop    chan struct{}
	ended   bool
}

// viewer is one who looks.
type viewer struct {
	events chan []byte   // the newest one that was not taken
	over   chan struct{} // closed where another took its place, or the server ends
	at     *list.Element
}

func newFeed(look func() []byte) *feed {
	return &feed{look: look, tick: func() (<-chan time.Time, func()) {
		t := time.NewTicker(sightEvery)
		return t.C, t.Stop
	}}
}

// join is a new viewer, who must leave; nil = the server ends.
func (f *feed) join() *viewer {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return nil
	}
	v := &viewer{events: make(chan []byte, 1), over: make(chan struct{})}
	v.at = f.viewers.PushBack(v)
	if f.viewers.Len() == 1 {
		f.stop = make(chan struct{})
		go f.run(f.stop)
	}
	if f.viewers.Len() > maxViewers {
		f.remove(f.viewers.Front())
	}
	return v
}

// remove ends a viewer. The lock is held.
func (f *feed) remove(at *list.Element) {
	if v, ok := f.viewers.Remove(at).(*viewer); ok {
		close(v.over)
	}
}

// leave is the end of a viewer; that of the last one ends the looking.
func (f *feed) leave(v *viewer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-v.over: // it is removed
	default:
		f.remove(v.at)
	}
	f.rest()
}

// rest ends the looking where nobody looks. The lock is held.
func (f *feed) rest() {
	if f.viewers.Len() == 0 && f.stop != nil {
		close(f.stop)
		f.stop = nil
	}
}

// end ends all viewers, for good.
func (f *feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	for at := f.viewers.Front(); at != nil; at = f.viewers.Front() {
		f.remove(at)
	}
	f.rest()
}

func (f *feed) hasEnded() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ended
}

// run looks until stop is closed.
func (f *feed) run(stop <-chan struct{}) {
	again, done := f.tick()
	defer done()
	for {
		if text := f.look(); text != nil {
			f.tell(text)
		}
		select {
		case <-again:
		case <-stop:
			return
		}
	}
}

// tell gives each viewer what is new; one who has not taken what was before loses that.
func (f *feed) tell(text []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for at := f.viewers.Front(); at != nil; at = at.Next() {
		v, _ := at.Value.(*viewer)
		select {
		case <-v.events:
		default:
		}
		v.events <- text // has room: only this sends, and with the lock held
	}
}

// events tells one viewer, as server-sent events, until either end goes away.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	if p := otherSite(r); p != nil { // of a monitor too: others' pages are no viewers
		s.reply(w, r, nil, p)
		return
	}
	v := s.feed.join()
	if v == nil {
		s.reply(w, r, nil, kindNotRunning.problem("the server is ending"))
		return
	}
	defer s.feed.leave(v)
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{}) // nothing more is to arrive
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	for {
		var err error
		select {
		case text := <-v.events:
			s.mustLeave(w)
			_, err = fmt.Fprintf(w, "data: %s\n\n", text)
		case <-v.over:
			if !s.feed.hasEnded() { // the page asks again, of the process that comes next
				s.mustLeave(w)
				_, _ = fmt.Fprint(w, "event: over\ndata: another looks\n\n")
			}
			return
		case <-r.Context().Done():
			return
		}
		if err != nil || c.Flush() != nil {
			return // it does not read
		}
	}
}
