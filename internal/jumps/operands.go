package jumps

import "github.com/wirehost/wirehost/internal/wasmbin"

const (
	firstStore   wasmbin.Opcode = 0x36
	extendSigned wasmbin.Opcode = 0xac
)

// pushes tells whether an instruction leaves one value more.
func pushes(op wasmbin.Opcode) bool {
	return op >= wasmbin.OpI32Const && op <= wasmbin.OpF64Const || op == wasmbin.OpGlobalGet ||
		op == wasmbin.OpMemorySize
}

// changes tells whether it makes one value of one.
func changes(op wasmbin.Opcode) bool {
	switch {
	case op == wasmbin.OpMemoryGrow, op == wasmbin.OpI32Eqz, op == wasmbin.OpI64Eqz:
		return true
	case op >= 0x67 && op <= 0x69, op >= 0x79 && op <= 0x7b: // bits counted
		return true
	case op >= 0x8b && op <= 0x91, op >= 0x99 && op <= 0x9f: // of one float
		return true
	}
	return op >= wasmbin.OpI32WrapI64 && op <= 0xc4 // another type
}

// joins tells whether it makes one value of two: all that is left of arithmetic.
func joins(op wasmbin.Opcode) bool {
	return op > wasmbin.OpI32Eqz && op < wasmbin.OpI32WrapI64 && !changes(op)
}

// accessed is how many bytes a load or store reaches.
func accessed(op wasmbin.Opcode) uint64 {
	// i32, i64, f32, f64; i32 by 8 and 16 bits, i64 by 8, 16 and 32; each but the first four
	// twice, for both signs; then the stores
	const sizes = "\x04\x08\x04\x08\x01\x01\x02\x02\x01\x01\x02\x02\x04\x04\x04\x08\x04\x08\x01\x02\x01\x02\x04"
	return uint64(sizes[op-wasmbin.OpI32Load])
}
