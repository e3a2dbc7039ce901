//go:build !unix

package guest

import (
	"sync"
	"sync/atomic"
)

// linearMemory grows by copying, on systems without mmap.
type linearMemory struct {
	from    *Reservations
	buf     []byte
	limit   uint64
	freed   bool
	refused func(wanted uint64) // a growth
	size    uint64              // bytes that wazero has
	forced  bool                // it grows to what it was before, however short memory is
}

// Reservations count linear memories. Any goroutine.
type Reservations struct {
	short atomic.Bool

	mu   sync.Mutex
	live int
}

// NewReservations has Go's heap hold the memories.
func NewReservations() *Reservations { return &Reservations{} }

func (r *Reservations) reserve(size uint64) (*linearMemory, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live++
	return &linearMemory{from: r, limit: size}, nil
}

func (m *linearMemory) Reallocate(size uint64) []byte {
	if size > m.limit || m.size > 0 && size > m.size && !m.forced && m.from.short.Load() {
		m.refused(size)
		return nil
	}
	if more := int(size) - len(m.buf); more > 0 {
		m.buf = append(m.buf, make([]byte, more)...)
	}
	m.size = size
	return m.buf[:size]
}

// bytes is what wazero has.
func (m *linearMemory) bytes() []byte { return m.buf[:m.size] }

// Free gives the memory back, once.
func (m *linearMemory) Free() {
	if m.freed {
		return
	}
	m.buf, m.freed = nil, true
	m.from.mu.Lock()
	defer m.from.mu.Unlock()
	m.from.live--
}
