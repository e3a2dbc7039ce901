package host

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/reactor"
)

// view is what a loop has told of itself. Nobody changes it.
type view struct {
	slots   map[*slot]slotView
	took    map[*plugin]guest.Callbacks
	details reactor.LoopDetails
	queued  uint64
	late    time.Duration // for how long the loop has not answered a newer question
}

// slotView is what a slot had.
type slotView struct {
	connections, pagedOut int
	memory                uint64
	err                   error
}

// lookout asks one loop for its view: once at a time, however many wait for it.
type lookout struct {
	mu    sync.Mutex
	asked chan struct{} // closed when the loop has answered; nil = it is not asked
	since time.Time     // asked was made
	last  *view         // nil = it has never answered
}

// ask has the loop answer in its next turn. since says when it was asked first, which may be
// long ago.
func (k *lookout) ask(h *Host, l *reactor.Loop) (answered <-chan struct{}, since time.Time, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.asked != nil {
		return k.asked, k.since, nil
	}
	done := make(chan struct{})
	err = l.CallFromThread(func() {
		k.mu.Lock()
		k.asked = nil // before the look: who comes during it may have changed something
		k.mu.Unlock()
		v := h.viewOf(l)
		k.mu.Lock()
		k.last = v
		k.mu.Unlock()
		close(done)
	})
	if err != nil {
		return nil, since, ErrNotRunning
	}
	k.asked, k.since = done, time.Now()
	return done, k.since, nil
}

// view is the last one.
func (k *lookout) view(late bool) view {
	k.mu.Lock()
	defer k.mu.Unlock()
	var v view
	if k.last != nil {
		v = *k.last
	}
	if late && k.asked != nil {
		v.late = time.Since(k.since)
	}
	return v
}

// look asks all loops at the same time, and waits for their answers, together no longer
// than Options.Patience: of a loop that is late, the view is an earlier one. One that has
// been late for so long already is not waited for again: who looks twice for one answer
// waits once. The error is ErrNotRunning.
func (h *Host) look() ([]view, error) {
	loops := h.reactor.Loops()
	answers, waited := make([]<-chan struct{}, len(loops)), make([]bool, len(loops))
	for n, l := range loops {
		var since time.Time
		var err error
		if answers[n], since, err = h.lookouts[n].ask(h, l); err != nil {
			return nil, err
		}
		waited[n] = h.o.Patience > 0 && time.Since(since) >= h.o.Patience
	}
	var over <-chan time.Time
	if h.o.Patience > 0 {
		timer := time.NewTimer(h.o.Patience)
		defer timer.Stop()
		over = timer.C
	}
	views := make([]view, len(loops))
	spent := false
	for n, answered := range answers {
		if !spent && !waited[n] {
			select {
			case <-answered:
			case <-over:
				spent = true
			}
		}
		late := false
		select {
		case <-answered:
		default:
			late = true
		}
		views[n] = h.lookouts[n].view(late)
	}
	return views, nil
}

// viewOf is a loop's view now. On the loop.
func (h *Host) viewOf(l *reactor.Loop) *view {
	v := &view{slots: map[*slot]slotView{}, took: map[*plugin]guest.Callbacks{}, details: l.Details()}
	for _, p := range h.all() {
		v.took[p] = p.took[l.Index()]
		for _, s := range p.allSlots() {
			if s.place.Loop == l {
				v.slots[s] = slotView{connections: s.place.CountConnections(), pagedOut: s.place.PagedOut(),
					memory: s.place.Memory(), err: s.err}
			}
		}
	}
	for t := range l.Connections {
		v.queued += uint64(t.Stats().Queued)
	}
	return v
}

// Answers waits until every event loop has answered, or ctx is done: then the error says
// which has not. A host that has ended, or not started, has none to ask.
func (h *Host) Answers(ctx context.Context) error {
	if !h.ready.started() {
		return nil
	}
	for n, l := range h.reactor.Loops() {
		answered := make(chan struct{})
		if err := l.CallFromThread(func() { close(answered) }); err != nil {
			continue // it has ended
		}
		select {
		case <-answered:
		case <-ctx.Done():
			return fmt.Errorf("event loop %d does not answer: %w", n, ctx.Err())
		}
	}
	return nil
}
