package meter

import "github.com/wirehost/wirehost/internal/wasmbin"

// A unit of fuel is about one simple machine instruction; the weights are
// coarse on purpose. What matters is that none is far below the truth, since a
// slice of fuel is what a guest may use before Go gets a chance to preempt it.
const (
	weightPlain    = 1
	weightLoad     = 3 // may miss every cache, or touch a page for the first time
	weightStore    = 8
	weightSlow     = 8 // division and square roots
	weightIndirect = 8 + maxLight
	weightCall     = 4
	weightImport   = 200 // leaves the compiled code; the host call itself lets Go preempt
	movesPerUnit   = 4   // where branches meet, values move between registers
	movesApart     = 32  // for nothing, where a br_table leads to: not all locals are alive at all of its blocks

	// maxLight bounds a function that has neither loop nor call, and is charged
	// by its callers instead of at its entry.
	maxLight      = 32
	maxLightBytes = 128 // no body longer than this is light
	// mostApart is what a point may pay for before each block behind a br_table pays
	// for itself.
	mostApart = 64
	// maxPiece bounds what one charge pays for. Longer code is charged in
	// several pieces. It must stay well below any slice.
	maxPiece = 4_000
)

// weights holds the weight of every instruction.
var weights = makeWeights()

func makeWeights() (w [0x300]uint8) {
	fill := func(from, to wasmbin.Opcode, weight uint8) {
		for op := from; op <= to; op++ {
			w[op] = weight
		}
	}
	fill(0, 0x2ff, weightPlain)
	fill(wasmbin.OpI32Load, 0x35, weightLoad)
	fill(0x36, wasmbin.OpI64Store32, weightStore)
	fill(wasmbin.OpI32DivS, wasmbin.OpI32RemU, weightSlow)
	fill(wasmbin.OpI64DivS, wasmbin.OpI64RemU, weightSlow)
	for _, op := range []wasmbin.Opcode{wasmbin.OpF32Sqrt, wasmbin.OpF32Div, wasmbin.OpF64Sqrt, wasmbin.OpF64Div,
		wasmbin.OpDataDrop, wasmbin.OpElemDrop} {
		w[op] = weightSlow
	}
	for _, op := range []wasmbin.Opcode{wasmbin.OpNop, wasmbin.OpBlock, wasmbin.OpLoop, wasmbin.OpElse,
		wasmbin.OpEnd, wasmbin.OpDrop, wasmbin.OpLocalGet, wasmbin.OpI32Const, wasmbin.OpI64Const} { // no code
		w[op] = 0
	}
	fill(wasmbin.OpTableGet, wasmbin.OpTableSet, weightStore)
	fill(0x200, 0x2ff, 2) // SIMD: some take several machine instructions
	fill(0x200, 0x20a, weightLoad)
	fill(0x254, 0x25d, weightLoad)
	w[0x20b] = weightStore
	w[wasmbin.OpRefFunc] = weightStore // becomes table.get
	w[wasmbin.OpCall] = weightCall
	w[wasmbin.OpCallIndirect] = weightIndirect
	w[wasmbin.OpBrTable] = weightCall
	return w
}
