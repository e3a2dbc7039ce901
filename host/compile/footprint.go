package compile

import (
	"fmt"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/host/meter"
	"github.com/wirehost/wirehost/host/wasmbin"
)

// freeFootprint is what an instance may take on the host's side of
// limits.memory without its being counted, so that a module whose linear memory
// is all that the limit allows still loads: a C, Rust or Zig guest takes 1 to 5 KB.
const freeFootprint = 64 << 10

// footprintFaults holds what an instance takes at its start against limits.memory.
// It walks over the code only where that can make a difference.
func footprintFaults(m *wasmbin.Module, l Limits) []string {
	limit := l.Memory
	fits := func(f meter.Footprint) bool {
		return limit == 0 || f.Memory+max(f.Host(), freeFootprint)-freeFootprint <= limit
	}
	if fits(meter.AtMost(m, l.meter())) {
		return nil
	}
	f, err := meter.Measure(m, l.meter())
	switch {
	case err != nil:
		return []string{err.Error()}
	case fits(f):
		return nil
	}
	return []string{fmt.Sprintf("memory: found %d bytes at the start (%v), wanted at most limits.memory, %d, and %d beside linear memory",
		f.Sum(), f, limit, freeFootprint)}
}

// keptExports are the exports that the host asks for.
func keptExports() []string {
	var names []string
	for _, e := range abi.Exports() {
		names = append(names, e.Name)
	}
	return names
}
