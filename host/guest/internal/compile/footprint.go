package compile

import (
	"fmt"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/internal/meter"
	"github.com/wirehost/wirehost/internal/wasmbin"
)

// freeFootprint is what an instance may take on the host's side of
// limits.memory without its being counted, so that a module whose linear memory
// is all that the limit allows still loads: a C, Rust or Zig guest takes 1 to 5 KB.
const freeFootprint = 64 << 10

// A module's machine code is in the server's memory while it is loaded. Guests of
// 0.5 to 23 MB have 4 times their bytes of it; 39 KB made for the purpose had 150 MB.
const (
	codeRatio = 16
	codeSlack = 16 << 20 // bytes, for small modules
)

// checkCode refuses machine code of so many bytes where the module has too few.
func checkCode(code int64, module int) error {
	if most := codeRatio*int64(module) + codeSlack; code > most {
		return refuse(fmt.Errorf("found %d bytes of machine code, wanted at most %d: %d times the module's %d, and %d",
			code, most, codeRatio, module, codeSlack))
	}
	return nil
}

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
	return []string{fmt.Sprintf("memory: found %d bytes at the start (%v), wanted at most limits.memory, %d, and %d "+
		"beside linear memory",
		f.Sum(), f, limit, freeFootprint)}
}

// keptExports are the exports that the host asks for: those of functions by their
// numbers in the gate.
func keptExports() []string {
	var names []string
	for _, e := range abi.Exports() {
		names = append(names, e.Name)
	}
	return names
}
