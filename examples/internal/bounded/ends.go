package bounded

import "container/heap"

// entry is a value in its place.
type entry[V Value] struct {
	key   string
	value V
	place int // in the map's ends, counted from 1; 0 is in none
}

// cost is what it takes, in bytes.
func (e *entry[V]) cost() int { return len(e.key) + e.value.Size() + Overhead }

// ends is a heap of the entries that expire, the next one first.
type ends[V Value] []*entry[V]

func (h ends[V]) Len() int           { return len(h) }
func (h ends[V]) Less(i, j int) bool { return h[i].value.End() < h[j].value.End() }
func (h ends[V]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i+1, j+1
}

// Push and Pop are for package heap.
func (h *ends[V]) Push(x any) {
	e := x.(*entry[V])
	*h = append(*h, e)
	e.place = len(*h)
}

func (h *ends[V]) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	e.place = 0
	return e
}

// settle puts an entry whose value is new where it belongs.
func (h *ends[V]) settle(e *entry[V]) {
	switch expires := e.value.End() != 0; {
	case expires && e.place > 0:
		heap.Fix(h, e.place-1)
	case expires:
		heap.Push(h, e)
	case e.place > 0:
		heap.Remove(h, e.place-1)
	}
}
