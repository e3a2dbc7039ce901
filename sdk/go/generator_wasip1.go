package wirehost

import "unsafe"

// generator is the state of the one random generator that Go's runtime has in a guest, as
// internal/chacha8rand lays it out.
type generator struct {
	buf   [32]uint64
	seed  [4]uint64
	i, n  uint32 // the next of buf, and how many there are
	block uint32 // of those that seed makes, of 8 to 32 numbers each
}

// runtimeRand draws from it, as the functions of math/rand and math/rand/v2 do, new maps
// and hash/maphash.
//
//go:linkname runtimeRand runtime.rand
func runtimeRand() uint64

// runtimeGenerator is looked for once, in _initialize. It is nil where it was not found
// (RATIONALE.md).
var runtimeGenerator = findGenerator()

// findGenerator finds it by what it gives: two numbers that follow each other stand in
// its buffer, and its index is behind them. It lies in a large variable of the runtime's,
// and the linker puts large ones behind small ones, such as instance.
func findGenerator() *generator {
	const most = 256 << 10 // bytes to look through; 1 to 12 KB were needed
	start := unsafe.Pointer(&instance)
	heap := uintptr(unsafe.Pointer(instance)) // and all that lies below is there
	a, b := runtimeRand(), runtimeRand()
	for at := uintptr(0); at < most && uintptr(start)+at+unsafe.Sizeof(generator{}) < heap; at += 8 {
		if p := (*[2]uint64)(unsafe.Add(start, at)); p[0] != a || p[1] != b {
			continue
		}
		for k := range 31 {
			g := (*generator)(unsafe.Add(start, int(at)-8*k))
			if int(g.i) == k+2 && (g.n == 32 || g.n == 28) && g.block < 16 && g.block%4 == 0 {
				return g
			}
		}
	}
	return nil
}

// reseed has it go on from another seed, of 32 bytes: not quite the one that the factory
// gets, whose own generator would give the same numbers.
func (g *generator) reseed(seed []byte) {
	for n, word := range *(*[4]uint64)(unsafe.Pointer(unsafe.SliceData(seed))) {
		g.seed[n] = ^word
	}
	g.i, g.n, g.block = 0, 0, 0 // nothing is left of what the old one made
}
