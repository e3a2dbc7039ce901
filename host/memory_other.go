//go:build !unix

package host

import (
	"sync"
	"sync/atomic"
)

// linearMemory grows by copying, on systems without mmap.
type linearMemory struct {
	from    *reservations
	buf     []byte
	limit   uint64
	freed   bool
	refused func(wanted uint64) // a growth
	short   *atomic.Bool        // no growth now; nil = never
	size    uint64              // bytes that wazero has
}

// reservations count a host's linear memories. Any goroutine.
type reservations struct {
	mu   sync.Mutex
	live int
}

func newReservations() *reservations { return &reservations{} }

func (r *reservations) reserve(size uint64) (*linearMemory, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live++
	return &linearMemory{from: r, limit: size}, nil
}

func (m *linearMemory) Reallocate(size uint64) []byte {
	if size > m.limit || m.size > 0 && size > m.size && m.short != nil && m.short.Load() {
		m.refused(size)
		return nil
	}
	if more := int(size) - len(m.buf); more > 0 {
		m.buf = append(m.buf, make([]byte, more)...)
	}
	m.size = size
	return m.buf[:size]
}

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
