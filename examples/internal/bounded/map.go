// Package bounded is a map that knows how much memory it takes and has a limit,
// so that a plugin that stores what its peers send answers an error in time,
// instead of running into the limit of its memory, which is a trap.
package bounded

import "iter"

// Overhead is about what the map and the allocator take for an entry beside its
// bytes.
const Overhead = 128

// swept is how many entries are looked at for expired ones where there is no
// room.
const swept = 1000

// Value is what a Map has under a key.
type Value interface {
	Size() int  // bytes
	End() int64 // when it expires, as Map.Now counts; 0 is never
}

// Map has values that may expire. Set its fields before its first use.
type Map[V Value] struct {
	Limit int          // of bytes
	Now   func() int64 // the time, in a unit of the owner's

	items map[string]V
	bytes int
}

// Len counts the entries, with expired ones that nobody asked for since.
func (m *Map[V]) Len() int { return len(m.items) }

// Bytes is what they take.
func (m *Map[V]) Bytes() int { return m.bytes }

func cost[V Value](key string, v V) int { return len(key) + v.Size() + Overhead }

// Get finds what has not expired.
func (m *Map[V]) Get(key []byte) (V, bool) {
	v, ok := m.items[string(key)]
	if ok && v.End() != 0 && v.End() <= m.Now() {
		m.Delete(key)
		var none V
		return none, false
	}
	return v, ok
}

// Fits tells whether there is room for a value of size bytes under a key, in
// the place of what is there.
func (m *Map[V]) Fits(key []byte, size int) bool {
	need := len(key) + size + Overhead
	if old, ok := m.Get(key); ok {
		need -= cost(string(key), old)
	}
	return need <= 0 || m.Room(need)
}

// Room tells whether there is room for so many bytes, with Overhead for each
// entry among them, or makes it.
func (m *Map[V]) Room(need int) bool {
	if m.bytes+need > m.Limit {
		m.sweep()
	}
	return m.bytes+need <= m.Limit
}

// Put keeps a value. It asks nobody: see Fits.
func (m *Map[V]) Put(key []byte, v V) {
	k := string(key)
	if old, ok := m.items[k]; ok {
		m.bytes -= cost(k, old)
	}
	if m.items == nil {
		m.items = map[string]V{}
	}
	m.bytes += cost(k, v)
	m.items[k] = v
}

// Delete removes an entry, expired or not.
func (m *Map[V]) Delete(key []byte) {
	if v, ok := m.items[string(key)]; ok {
		m.bytes -= cost(string(key), v)
		delete(m.items, string(key))
	}
}

// Clear removes all.
func (m *Map[V]) Clear() { m.items, m.bytes = nil, 0 }

// All is every entry, in no order, with expired ones that nobody asked for
// since.
func (m *Map[V]) All() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for k, v := range m.items {
			if !yield(k, v) {
				return
			}
		}
	}
}

// sweep removes the expired of some entries: of others each time, since a Go map
// begins anywhere.
func (m *Map[V]) sweep() {
	now, looked := m.Now(), 0
	for k, v := range m.items {
		if v.End() != 0 && v.End() <= now {
			m.bytes -= cost(k, v)
			delete(m.items, k)
		}
		if looked++; looked == swept {
			return
		}
	}
}
