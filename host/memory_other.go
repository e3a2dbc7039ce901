//go:build !unix

package host

import "github.com/tetratelabs/wazero/experimental"

// linearMemory grows by copying, on systems without mmap.
type linearMemory struct {
	buf     []byte
	limit   uint64
	refused func(wanted uint64)
}

// reservation makes linear memories of at most limit bytes. A growth past it
// fails, which the guest sees as -1, and refused is called.
func reservation(limit uint64, refused func(wanted uint64)) experimental.MemoryAllocator {
	return experimental.MemoryAllocatorFunc(func(capacity, most uint64) experimental.LinearMemory {
		limit := min(most, limit)
		return &linearMemory{buf: make([]byte, 0, min(capacity, limit)), limit: limit, refused: refused}
	})
}

func (m *linearMemory) Reallocate(size uint64) []byte {
	if size > m.limit {
		m.refused(size)
		return nil
	}
	if more := int(size) - len(m.buf); more > 0 {
		m.buf = append(m.buf, make([]byte, more)...)
	}
	return m.buf[:size]
}

func (m *linearMemory) Free() { m.buf = nil }
