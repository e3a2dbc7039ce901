// Package bounded is a map that knows how much memory it takes and has a limit,
// so that a plugin that stores what its peers send answers an error in time,
// instead of running into the limit of its memory, which is a trap.
package bounded

import (
	"container/heap"
	"iter"
)

// Overhead is about what the map and the allocator take for an entry beside its
// bytes.
const Overhead = 128

// Value is what a Map has under a key.
type Value interface {
	Size() int  // bytes
	End() int64 // when it expires, as Map.Now counts; 0 is never
}

// Map has values that may expire. Set its fields before its first use.
type Map[V Value] struct {
	Limit int          // of bytes
	Now   func() int64 // the time, in a unit of the owner's

	items map[string]*entry[V]
	ends  ends[V] // of those that expire
	bytes int
}

// Len counts the entries, with expired ones that nobody asked for since.
func (m *Map[V]) Len() int { return len(m.items) }

// Bytes is what they take.
func (m *Map[V]) Bytes() int { return m.bytes }

// Get finds what has not expired.
func (m *Map[V]) Get(key []byte) (V, bool) {
	var none V
	e := m.items[string(key)]
	if e == nil {
		return none, false
	}
	if e.value.End() != 0 && e.value.End() <= m.Now() {
		m.remove(e)
		return none, false
	}
	return e.value, true
}

// Fits tells whether there is room for a value of size bytes under a key, in
// the place of what is there.
func (m *Map[V]) Fits(key []byte, size int) bool {
	need := len(key) + size + Overhead
	if old, ok := m.Get(key); ok {
		need = size - old.Size()
	}
	return need <= 0 || m.Room(need)
}

// Room tells whether there is room for so many bytes, with Overhead for each
// entry among them, or makes it: what expired first goes first. It looks at no
// entry in vain, since with thousands of requests in one callback a search for
// each would outlast the callback's time.
func (m *Map[V]) Room(need int) bool {
	for m.bytes+need > m.Limit && len(m.ends) > 0 && m.ends[0].value.End() <= m.Now() {
		m.remove(m.ends[0])
	}
	return m.bytes+need <= m.Limit
}

// Put keeps a value. It asks nobody: see Fits.
func (m *Map[V]) Put(key []byte, v V) {
	e := m.items[string(key)]
	if e == nil {
		if m.items == nil {
			m.items = map[string]*entry[V]{}
		}
		e = &entry[V]{key: string(key)}
		m.items[e.key] = e
	} else {
		m.bytes -= e.cost()
	}
	e.value = v
	m.bytes += e.cost()
	m.ends.settle(e)
}

// Delete removes an entry, expired or not.
func (m *Map[V]) Delete(key []byte) {
	if e := m.items[string(key)]; e != nil {
		m.remove(e)
	}
}

func (m *Map[V]) remove(e *entry[V]) {
	m.bytes -= e.cost()
	delete(m.items, e.key)
	if e.place > 0 {
		heap.Remove(&m.ends, e.place-1)
	}
}

// Clear removes all.
func (m *Map[V]) Clear() { m.items, m.ends, m.bytes = nil, nil, 0 }

// All is every entry, in no order, with expired ones that nobody asked for
// since.
func (m *Map[V]) All() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for k, e := range m.items {
			if !yield(k, e.value) {
				return
			}
		}
	}
}
