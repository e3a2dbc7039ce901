package meter

import "github.com/wirehost/wirehost/internal/wasmbin"

// frame estimates the stack that a function takes under wazero's compiler,
// which gives every value that ever lives across a call a slot of its own, and
// never uses a slot twice. Few values do, so a value counts as one byte, an
// eighth of a slot; RATIONALE.md has the figures. The estimate is above the
// truth for ordinary code, and for code made to defeat it no less than an eighth
// of it.
type frame struct {
	locals   uint64 // number
	localMem uint64 // their bytes
	sets     uint64 // local.set and local.tee so far
	values   uint64
	arity    int // most parameters and results of a call
}

const (
	// frameBase is the return address, the frame pointer, the registers saved
	// and wazero's two pointers.
	frameBase = 160
	slotBytes = 8
	// maxFrame bounds a frame; above it, one is enough to be refused.
	maxFrame = 2 * MaxStackBytes
)

func (f *frame) reset(sig *wasmbin.FuncType, c *wasmbin.Code) {
	*f = frame{arity: len(sig.Params) + len(sig.Results)}
	add := func(t wasmbin.ValueType, n uint64) {
		f.locals += n
		f.localMem += n * slotBytes
		if t == wasmbin.V128 {
			f.localMem += n * slotBytes
		}
	}
	for _, t := range sig.Params {
		add(t, 1)
	}
	for _, run := range c.Locals {
		add(run.Type, uint64(run.Count))
	}
}

// call counts the values that a call gives, and the room for its arguments.
func (f *frame) call(t *wasmbin.FuncType) {
	f.values += uint64(len(t.Results))
	f.arity = max(f.arity, len(t.Params)+len(t.Results))
}

// join counts the values that come together where branches meet: at most each
// local that was set since sets, and the block's own. It gives their number.
func (f *frame) join(sets uint64, values int) uint64 {
	n := min(f.locals, f.sets-sets) + uint64(values)
	f.values += n
	return n
}

func (f *frame) bytes() uint32 {
	n := frameBase + f.localMem + f.values + uint64(f.arity)*slotBytes
	return uint32(min(n, maxFrame))
}

// produces holds how many bytes of a frame the result of an instruction counts
// for; calls and blocks are counted elsewhere.
var produces = makeProduces()

func makeProduces() (p [0x300]uint8) {
	for op := range p {
		switch {
		case op >= 0x200:
			p[op] = 2
		case op >= int(wasmbin.OpI32Load) && op < int(wasmbin.OpI32Const), op >= int(wasmbin.OpI32Eqz):
			p[op] = 1
		}
	}
	for _, op := range []wasmbin.Opcode{wasmbin.OpSelect, wasmbin.OpSelectTyped, wasmbin.OpGlobalGet,
		wasmbin.OpTableGet} {
		p[op] = 1
	}
	for op := wasmbin.Opcode(0x36); op <= wasmbin.OpI64Store32; op++ {
		p[op] = 0
	}
	return p
}
