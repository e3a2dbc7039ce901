package wasmbin

import (
	"fmt"
	"unicode/utf8"
)

// Bounds on what a module may hold. A runtime makes more of some bytes than of
// others: a run of locals is two bytes and 50,000 locals, a function of four
// bytes is 300 bytes of definitions. So each thing that costs more than it
// weighs has a bound, and is refused before a runtime sees it. The figures
// behind "costs" are of wazero 1.12, without machine code; those behind "found"
// are the most in Go guests of 2 to 23 MB (net/http, crypto/ssh, gob, go/types),
// esbuild (Go, 14 MB), swc (Rust, 18 MB) and QuickJS (C).
const (
	// MaxTypes: found 117; one costs 150 bytes and an entry of machine code.
	MaxTypes = 50_000
	// MaxTypeValues bounds parameters and results of all types together: found
	// 612. The runtime builds each type's name value by value, which for a type
	// of 1,000 copies 4.5 MB.
	MaxTypeValues = 50_000
	// MaxParams and MaxResults are those of the WebAssembly JavaScript interface
	// (section 7.1); found 23.
	MaxParams  = 1_000
	MaxResults = 1_000
	// MaxImports: found 68. Looking up one walks over all of them.
	MaxImports = 1_000
	// MaxFunctions bounds those that the module defines: found 16,346; one costs
	// 300 bytes, and 0.5 µs at the first trap.
	MaxFunctions = 100_000
	// MaxTables: found 1.
	MaxTables = 100
	// MaxGlobals: found 8; one costs 120 bytes, and 90 more in each instance.
	MaxGlobals = 50_000
	// MaxExports: found 75. The runtime compares each with each function.
	MaxExports = 10_000
	// MaxElementSegments: found 2. MaxElements bounds the elements of all of
	// them: found 13,014; one costs 70 bytes, and 50 more in each instance.
	MaxElementSegments = 10_000
	MaxElements        = 250_000
	// MaxDataSegments is where Go's linker stops splitting data, which is as
	// many as V8 takes: found 100,000; one costs 80 bytes, and 24 more in each
	// instance.
	MaxDataSegments = 100_000
	// MaxCustom bounds custom sections: found 3, with DWARF some 12.
	MaxCustom = 1_000

	// MaxBody is the most bytes of one function's body: found 199,775. The
	// validator has a slot of 8 bytes for each value on the stack, of which two
	// bytes of code can make one.
	MaxBody = 4 << 20
	// MaxBlocks bounds the blocks, loops and ifs of one function: found 4,629. The
	// compiler goes down a chain of them by recursion, 600 bytes a block, and
	// takes time by their square: two minutes for 100,000. MaxDepth is how
	// deep they nest: found 3,289, since Go's compiler opens all of a function's
	// blocks at its start; one open costs 140 bytes.
	MaxBlocks = 50_000
	MaxDepth  = 20_000
	// MaxTargets bounds the labels of one br_table, as the JavaScript interface
	// does; MaxAllTargets those of one body's: found 5,491 and some 10,000.
	MaxTargets    = 65_520
	MaxAllTargets = 500_000
	// MaxLocals bounds those of one function, parameters included, as the
	// JavaScript interface does: found 538. MaxAllLocals bounds those that
	// all functions declare: found 138,259; one costs 8 bytes.
	MaxLocals    = 50_000
	MaxAllLocals = 2_000_000

	// MaxName is the most bytes of an import's or export's name, which bind, and
	// so can't be cut.
	MaxName = 4_096
	// MaxLabel is where names are cut that only people read: those of the name
	// section and of custom sections. Each stands in up to 30 lines of a trap.
	MaxLabel = 256
)

// Cut gives the start of s that is at most n bytes long, and does not end inside
// of a character.
func Cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return string(cut([]byte(s[:n+1]), n))
}

func cut(b []byte, n int) []byte {
	if len(b) <= n {
		return b
	}
	for n > 0 && !utf8.RuneStart(b[n]) {
		n--
	}
	return b[:n]
}

// tooMany refuses a number over its bound.
func (r *reader) tooMany(at int, n uint64, wanted string, most int) bool {
	if n <= uint64(most) {
		return false
	}
	r.fail(at, fmt.Sprintf("%d %s", n, wanted), fmt.Sprintf("at most %d", most))
	return true
}
