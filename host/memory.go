package host

import (
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/host/config"
)

// errNoRoom is the cause where the system has no addresses left for a linear
// memory. It is no fault of the guest's: the next start may go well.
var errNoRoom = errors.New("no room for a linear memory")

// reserve gets the range that an instance's linear memory is to lie in. It comes
// before wazero is asked for anything: wazero panics where it gets no memory.
func (v *version) reserve() (*linearMemory, error) {
	h := v.plugin.host
	if h.short.Load() {
		return nil, fmt.Errorf("%s: %w: the process is short of memory", v.name, errNoRoom)
	}
	mem, err := h.memory.reserve(v.memory)
	if err != nil {
		return nil, fmt.Errorf("%s: %w of %d bytes: %w", v.name, errNoRoom, v.memory, err)
	}
	mem.refused, mem.short = v.growthRefused, &h.short
	if err := v.prog.image.put(mem); err != nil {
		mem.Free()
		return nil, fmt.Errorf("%s: %w: its image: %w", v.name, errNoRoom, err)
	}
	return mem, nil
}

// mostMemory is what a module's linear memory may grow to, in bytes.
func mostMemory(mod wazero.CompiledModule, limit config.Size) uint64 {
	most := uint64(1 << 32)
	if m := mod.ExportedMemories()[abi.ExportMemory]; m != nil {
		if pages, ok := m.Max(); ok {
			most = uint64(pages) * wasmPage
		}
	}
	if limit > 0 {
		most = min(most, uint64(limit))
	}
	return max(most, wasmPage)
}

// allocator gives wazero the memory that was reserved. A growth past it fails,
// which the guest sees as -1, and refused is called.
func (m *linearMemory) allocator() experimental.MemoryAllocator {
	return experimental.MemoryAllocatorFunc(func(uint64, uint64) experimental.LinearMemory { return m })
}
