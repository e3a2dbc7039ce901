package wasmbin

import "fmt"

// Opcode is an instruction. The low byte is its code, or its number behind one
// of the two prefixes of WebAssembly 2.0.
type Opcode uint16

const (
	prefixMisc Opcode = 0xfc
	prefixSIMD Opcode = 0xfd

	miscBase Opcode = 0x100
	simdBase Opcode = 0x200
)

func misc(n uint32) Opcode {
	if n > 17 {
		return OpInvalid
	}
	return miscBase | Opcode(n)
}

func simd(n uint32) Opcode {
	if n > 0xff {
		return OpInvalid
	}
	return simdBase | Opcode(n)
}

// The instructions that are read by name somewhere; the others are told apart
// only by their immediates.
const (
	OpUnreachable  Opcode = 0x00
	OpNop          Opcode = 0x01
	OpBlock        Opcode = 0x02
	OpLoop         Opcode = 0x03
	OpIf           Opcode = 0x04
	OpElse         Opcode = 0x05
	OpEnd          Opcode = 0x0b
	OpBr           Opcode = 0x0c
	OpBrIf         Opcode = 0x0d
	OpBrTable      Opcode = 0x0e
	OpReturn       Opcode = 0x0f
	OpCall         Opcode = 0x10
	OpCallIndirect Opcode = 0x11
	OpDrop         Opcode = 0x1a
	OpSelect       Opcode = 0x1b
	OpSelectTyped  Opcode = 0x1c
	OpLocalGet     Opcode = 0x20
	OpLocalSet     Opcode = 0x21
	OpLocalTee     Opcode = 0x22
	OpGlobalGet    Opcode = 0x23
	OpGlobalSet    Opcode = 0x24
	OpTableGet     Opcode = 0x25
	OpTableSet     Opcode = 0x26
	OpI32Load      Opcode = 0x28
	OpI64Store32   Opcode = 0x3e
	OpMemorySize   Opcode = 0x3f
	OpMemoryGrow   Opcode = 0x40
	OpI32Const     Opcode = 0x41
	OpI64Const     Opcode = 0x42
	OpF32Const     Opcode = 0x43
	OpF64Const     Opcode = 0x44
	OpI32Eqz       Opcode = 0x45
	OpI32LtS       Opcode = 0x48
	OpI32LtU       Opcode = 0x49
	OpI32GtU       Opcode = 0x4b
	OpI32LeU       Opcode = 0x4d
	OpI64Eqz       Opcode = 0x50
	OpI64LtS       Opcode = 0x53
	OpI64GtU       Opcode = 0x56
	OpI32Add       Opcode = 0x6a
	OpI32Sub       Opcode = 0x6b
	OpI32DivS      Opcode = 0x6d
	OpI32RemU      Opcode = 0x70
	OpI32Shl       Opcode = 0x74
	OpI32ShrU      Opcode = 0x76
	OpI64Add       Opcode = 0x7c
	OpI64Sub       Opcode = 0x7d
	OpI64DivS      Opcode = 0x7f
	OpI64RemU      Opcode = 0x82
	OpI64And       Opcode = 0x83
	OpI64Shl       Opcode = 0x86
	OpF32Sqrt      Opcode = 0x91
	OpF32Div       Opcode = 0x95
	OpF64Sqrt      Opcode = 0x9f
	OpF64Div       Opcode = 0xa3
	OpI32WrapI64   Opcode = 0xa7
	OpI64ExtendI32 Opcode = 0xad // unsigned
	OpRefNull      Opcode = 0xd0
	OpRefIsNull    Opcode = 0xd1
	OpRefFunc      Opcode = 0xd2

	OpMemoryInit Opcode = miscBase | 8
	OpDataDrop   Opcode = miscBase | 9
	OpMemoryCopy Opcode = miscBase | 10
	OpMemoryFill Opcode = miscBase | 11
	OpTableInit  Opcode = miscBase | 12
	OpElemDrop   Opcode = miscBase | 13
	OpTableCopy  Opcode = miscBase | 14
	OpTableGrow  Opcode = miscBase | 15
	OpTableSize  Opcode = miscBase | 16
	OpTableFill  Opcode = miscBase | 17

	OpV128Const Opcode = simdBase | 12

	OpInvalid Opcode = 0xffff
)

func (op Opcode) String() string {
	switch {
	case op < miscBase:
		return fmt.Sprintf("instruction %#02x", uint16(op))
	case op < simdBase:
		return fmt.Sprintf("instruction 0xfc %d", uint16(op-miscBase))
	case op < simdBase+0x100:
		return fmt.Sprintf("instruction 0xfd %d", uint16(op-simdBase))
	}
	return "an unknown instruction"
}

// proposal names the addition to WebAssembly that an instruction which is not of
// version 2.0 belongs to, "" where none is known. b starts with it.
func proposal(b []byte) string {
	switch b[0] {
	case 0x06, 0x07, 0x08, 0x09, 0x0a, 0x18, 0x19, 0x1f:
		return "exception handling"
	case 0x12, 0x13:
		return "tail calls"
	case 0x14, 0x15, 0xd4, 0xd5, 0xd6:
		return "typed function references"
	case 0xd3, 0xfb:
		return "garbage collection"
	case 0xfd:
		if len(b) > 2 && b[1] >= 0x80 && b[2] == 2 { // numbers from 256 on
			return "relaxed SIMD"
		}
	case 0xfe:
		return "threads"
	}
	return ""
}

// AppendOpcode appends the code of op.
func AppendOpcode(b []byte, op Opcode) []byte {
	switch {
	case op >= simdBase:
		return AppendU32(append(b, byte(prefixSIMD)), uint32(op-simdBase))
	case op >= miscBase:
		return AppendU32(append(b, byte(prefixMisc)), uint32(op-miscBase))
	}
	return append(b, byte(op))
}

// immediate is the form of what follows an opcode.
type immediate byte

const (
	immInvalid immediate = iota // no instruction of WebAssembly 2.0
	immNone
	immBlock     // block type
	immLabel     // label
	immTable     // vector of labels and a default
	immFunction  // function
	immIndirect  // type, table
	immTypes     // vector of value types
	immLocal     // local
	immGlobal    // global
	immTableRef  // table
	immTwoTables // table, table
	immMemarg    // alignment, offset
	immMemory    // zero byte
	immTwoMemory // two of them
	immI32
	immI64
	immF32
	immF64
	immRefType
	immData       // data segment
	immDataMemory // data segment, zero byte
	immElem       // element segment
	immElemTable  // element segment, table
	immV128       // 16 bytes
	immShuffle    // 16 lanes
	immLane       // one byte
	immMemargLane
	immMisc // the two prefixes
	immSIMD
)

// immediates holds the form of each opcode, in three tables of 256.
var immediates = makeImmediates()

func makeImmediates() (t [3][256]immediate) {
	fill := func(page int, from, to int, k immediate) {
		for i := from; i <= to; i++ {
			t[page][i] = k
		}
	}
	fill(0, 0x00, 0x01, immNone)
	fill(0, 0x02, 0x04, immBlock)
	t[0][OpElse], t[0][OpEnd] = immNone, immNone
	fill(0, 0x0c, 0x0d, immLabel)
	t[0][OpBrTable], t[0][OpReturn] = immTable, immNone
	t[0][OpCall], t[0][OpCallIndirect] = immFunction, immIndirect
	t[0][OpDrop], t[0][OpSelect], t[0][OpSelectTyped] = immNone, immNone, immTypes
	fill(0, 0x20, 0x22, immLocal)
	fill(0, 0x23, 0x24, immGlobal)
	fill(0, 0x25, 0x26, immTableRef)
	fill(0, 0x28, 0x3e, immMemarg)
	fill(0, 0x3f, 0x40, immMemory)
	t[0][OpI32Const], t[0][OpI64Const], t[0][OpF32Const], t[0][OpF64Const] = immI32, immI64, immF32, immF64
	fill(0, 0x45, 0xc4, immNone)
	t[0][OpRefNull], t[0][OpRefIsNull], t[0][OpRefFunc] = immRefType, immNone, immFunction
	t[0][prefixMisc], t[0][prefixSIMD] = immMisc, immSIMD

	fill(1, 0, 7, immNone)
	for op, k := range map[Opcode]immediate{
		OpMemoryInit: immDataMemory, OpDataDrop: immData, OpMemoryCopy: immTwoMemory, OpMemoryFill: immMemory,
		OpTableInit: immElemTable, OpElemDrop: immElem, OpTableCopy: immTwoTables,
		OpTableGrow: immTableRef, OpTableSize: immTableRef, OpTableFill: immTableRef,
	} {
		t[1][op-miscBase] = k
	}

	fill(2, 0, 11, immMemarg)
	t[2][12], t[2][13] = immV128, immShuffle
	fill(2, 14, 20, immNone)
	fill(2, 21, 34, immLane)
	fill(2, 35, 83, immNone)
	fill(2, 84, 91, immMemargLane)
	fill(2, 92, 93, immMemarg)
	fill(2, 94, 255, immNone)
	for _, gap := range []int{0x9a, 0xa2, 0xa5, 0xa6, 0xaf, 0xb0, 0xb2, 0xb3, 0xb4, 0xbb, 0xc2, 0xc5, 0xc6,
		0xcf, 0xd0, 0xd2, 0xd3, 0xd4, 0xe2, 0xee} {
		t[2][gap] = immInvalid
	}
	return t
}
