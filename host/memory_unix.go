//go:build unix

package host

import (
	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/unix"
)

// linearMemory is a range of addresses reserved once for all that an instance
// may grow to, so that it never moves: a view of it stays valid. Pages cost
// nothing until they are touched.
type linearMemory struct {
	reserved []byte
	refused  func(wanted uint64)
}

// reservation makes linear memories of at most limit bytes. A growth past it
// fails, which the guest sees as -1, and refused is called.
func reservation(limit uint64, refused func(wanted uint64)) experimental.MemoryAllocator {
	return experimental.MemoryAllocatorFunc(func(_, most uint64) experimental.LinearMemory {
		most = max(min(most, limit), wasmPage)
		b, err := unix.Mmap(-1, 0, int(most), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
		if err != nil {
			b = nil // Reallocate fails, and with it the instantiation
		}
		return &linearMemory{reserved: b, refused: refused}
	})
}

func (m *linearMemory) Reallocate(size uint64) []byte {
	if size > uint64(len(m.reserved)) {
		m.refused(size)
		return nil
	}
	return m.reserved[:size:len(m.reserved)]
}

func (m *linearMemory) Free() {
	if m.reserved != nil {
		_ = unix.Munmap(m.reserved) // fails only for a range that is not ours
		m.reserved = nil
	}
}
