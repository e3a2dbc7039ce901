package guest

import (
	"errors"

	"github.com/tetratelabs/wazero/experimental"
)

// ErrNoRoom is the cause where the system has no addresses left for a linear
// memory. It is no fault of the guest's: the next start may go well.
var ErrNoRoom = errors.New("no room for a linear memory")

// allocator gives wazero the memory that was reserved. A growth past it fails,
// which the guest sees as -1, and refused is called.
func (m *linearMemory) allocator() experimental.MemoryAllocator {
	return experimental.MemoryAllocatorFunc(func(uint64, uint64) experimental.LinearMemory { return m })
}

// SetShort says whether the process is short of memory: then no linear memory grows,
// and no instance starts.
func (r *Reservations) SetShort(short bool) { r.short.Store(short) }

// Live counts the linear memories that there are.
func (r *Reservations) Live() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.live
}
