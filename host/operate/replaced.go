package operate

import (
	"sync"
	"sync/atomic"
)

// sink is where something is told to, until close, which writes what is left.
type sink[T any] interface {
	*T
	close()
	lostEver() uint64 // how much was lost, ever
}

// replaced is a sink that a reload of the configuration may replace. The zero value is off.
// Any goroutine.
type replaced[C comparable, T any, S sink[T]] struct {
	now  atomic.Pointer[T] // nil = off
	gone atomic.Uint64     // what those that are closed have lost

	mu    sync.Mutex // held while the sink is replaced
	cfg   C
	ended bool
}

// set goes over to a configuration, whose sink open makes; nil = it is off. On an error the
// sink that was there stays, and the next set tries again.
func (r *replaced[C, T, S]) set(cfg C, open func(C) (*T, error)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended || cfg == r.cfg {
		return nil
	}
	s, err := open(cfg)
	if err != nil {
		return err
	}
	r.cfg = cfg
	r.replace(s)
	return nil
}

func (r *replaced[C, T, S]) replace(s *T) {
	if was := r.now.Swap(s); was != nil {
		S(was).close()
		r.gone.Add(S(was).lostEver())
	}
}

// end closes the sink, and no other comes.
func (r *replaced[C, T, S]) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	r.replace(nil)
}

// lost is how much was lost, ever.
func (r *replaced[C, T, S]) lost() uint64 {
	n := r.gone.Load()
	if s := r.now.Load(); s != nil {
		n += S(s).lostEver()
	}
	return n
}
