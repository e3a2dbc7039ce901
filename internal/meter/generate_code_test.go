package meter

import "github.com/wirehost/wirehost/internal/wasmbin"

func (g *generator) zero(t wasmbin.ValueType) {
	switch t {
	case wasmbin.I32:
		g.i32(0)
	case wasmbin.I64:
		g.out = append(g.out, byte(wasmbin.OpI64Const), 0)
	default:
		g.op(wasmbin.OpV128Const)
		g.out = append(g.out, make([]byte, 16)...)
	}
}

func (g *generator) values(types []wasmbin.ValueType, depth int) {
	for _, t := range types {
		g.value(t, depth)
	}
}

// address leaves an address that is mostly inside the memory.
func (g *generator) address(depth int) {
	switch g.n(6) {
	case 0:
		g.sum()
		return
	case 1: // the one that a sum may have been of
		g.index(wasmbin.OpLocalGet, g.near)
		return
	}
	g.value(wasmbin.I32, depth)
	if g.n(50) > 0 {
		g.i32(0x1ffff)
		g.op(0x71) // i32.and
	}
	if g.n(3) == 0 {
		g.near = g.local(wasmbin.I32)
		g.index(wasmbin.OpLocalTee, g.near)
	}
}

// sum leaves an address that is computed in 64 bits, as Go does it: of the local near, or
// of one that the sum takes round the end of 32 bits.
func (g *generator) sum() {
	local, k := g.near, int64(g.n(300))
	switch g.n(8) {
	case 0:
		local = g.local(wasmbin.I32)
		g.i32(int32(-1 - g.n(200)))
		g.index(wasmbin.OpLocalSet, local)
	case 1:
		k = int64(g.r.Uint64()) >> g.n(64)
	case 2: // no local
		g.out = wasmbin.AppendS64(append(g.out, byte(wasmbin.OpI64Const)), k)
		g.op(wasmbin.OpI32WrapI64)
		return
	}
	g.index(wasmbin.OpLocalGet, local)
	g.op(wasmbin.Opcode(0xac + g.n(2))) // i64.extend_i32_s or _u
	g.out = wasmbin.AppendS64(append(g.out, byte(wasmbin.OpI64Const)), k)
	g.op(wasmbin.OpI64Add, wasmbin.OpI32WrapI64)
}

func (g *generator) memarg() { g.out = append(g.out, 0, byte(g.n(100))) }

// value leaves a value of type t.
func (g *generator) value(t wasmbin.ValueType, depth int) {
	if depth <= 0 || g.n(3) == 0 {
		g.index(wasmbin.OpLocalGet, g.local(t))
		return
	}
	switch g.n(7) {
	case 0: // an if with a result
		g.value(wasmbin.I32, depth-1)
		g.block(wasmbin.OpIf, wasmbin.BlockType(int8(t<<1)>>1))
		g.push([]wasmbin.ValueType{t}, false)
		g.value(t, depth-1)
		g.op(wasmbin.OpElse)
		g.value(t, depth-1)
		g.pop()
		return
	case 1: // a block that may be left with a value
		g.block(wasmbin.OpBlock, wasmbin.BlockType(int8(t<<1)>>1))
		g.push([]wasmbin.ValueType{t}, false)
		g.value(t, depth-1)
		g.value(wasmbin.I32, depth-1)
		g.index(wasmbin.OpBrIf, 0)
		g.op(wasmbin.OpDrop)
		g.value(t, depth-1)
		g.pop()
		return
	case 2:
		g.value(t, depth-1)
		g.value(t, depth-1)
		g.value(wasmbin.I32, depth-1)
		if t == wasmbin.V128 {
			g.out = append(g.out, byte(wasmbin.OpSelectTyped), 1, byte(t))
		} else {
			g.op(wasmbin.OpSelect)
		}
		return
	}
	switch t {
	case wasmbin.I32:
		g.value32(depth)
	case wasmbin.I64:
		g.value64(depth)
	default:
		g.value128(depth)
	}
}

func (g *generator) value32(depth int) {
	switch g.n(8) {
	case 0:
		g.i32(int32(g.r.Uint32() >> g.n(32)))
	case 1:
		g.address(depth - 1)
		g.op(wasmbin.Opcode(0x2c + g.n(4))) // i32.load8_s to load16_u
		g.memarg()
	case 2:
		g.index(wasmbin.OpGlobalGet, 2*g.n(2))
	case 3:
		g.op(wasmbin.OpMemorySize, 0)
	case 4:
		g.i32(int32(g.n(3)))
		g.op(wasmbin.OpMemoryGrow, 0)
	case 5:
		g.op(wasmbin.OpRefNull)
		g.out = append(g.out, byte(wasmbin.Externref))
		g.i32(int32(g.n(4000)))
		g.index(wasmbin.OpTableGrow, 1)
	case 6:
		g.value(wasmbin.V128, depth-1)
		g.op(0x21b) // i32x4.extract_lane
		g.out = append(g.out, byte(g.n(4)))
	default:
		g.value(wasmbin.I32, depth-1)
		g.value(wasmbin.I32, depth-1)
		g.op(wasmbin.Opcode(0x6a + g.n(15))) // arithmetic; may divide by zero
	}
}

func (g *generator) value64(depth int) {
	switch g.n(4) {
	case 0:
		g.index(wasmbin.OpGlobalGet, 1+2*g.n(2))
	case 1:
		g.value(wasmbin.I32, depth-1)
		g.op(wasmbin.OpI64ExtendI32)
	case 2:
		g.address(depth - 1)
		g.op(wasmbin.Opcode(0x30 + g.n(6))) // i64.load8_s to load32_u
		g.memarg()
	default:
		g.value(wasmbin.I64, depth-1)
		g.value(wasmbin.I64, depth-1)
		g.op(wasmbin.Opcode(0x7c + g.n(3)))
	}
}

func (g *generator) value128(depth int) {
	switch g.n(3) {
	case 0:
		g.value(wasmbin.I32, depth-1)
		g.op(0x211) // i32x4.splat
	case 1:
		g.address(depth - 1)
		g.op(0x200) // v128.load
		g.memarg()
	default:
		g.value(wasmbin.V128, depth-1)
		g.value(wasmbin.V128, depth-1)
		g.op(0x2ae) // i32x4.add
	}
}

// statement leaves nothing.
func (g *generator) statement(depth int) {
	g.size--
	if g.size < 0 || depth > 5 {
		return
	}
	switch g.n(14) {
	case 12, 13:
		g.dispatch(depth)
	case 0, 1:
		l := g.n(len(g.types))
		g.value(g.types[l], 3)
		g.index(wasmbin.OpLocalSet, l)
	case 2:
		g.address(2)
		g.value(wasmbin.I64, 3)
		g.op(wasmbin.Opcode(0x3c + g.n(3))) // i64.store8 to store32
		g.memarg()
	case 3:
		i := g.n(genGlobals)
		g.value([]wasmbin.ValueType{wasmbin.I32, wasmbin.I64}[i%2], 3)
		g.index(wasmbin.OpGlobalSet, i)
	case 4:
		g.value(wasmbin.I32, 2)
		g.block(wasmbin.OpIf, wasmbin.BlockEmpty)
		g.push(nil, false)
		g.statements(depth)
		if g.n(2) == 0 {
			g.op(wasmbin.OpElse)
			g.statements(depth)
		}
		g.pop()
	case 5:
		g.block(wasmbin.OpBlock, wasmbin.BlockEmpty)
		g.push(nil, false)
		g.statements(depth)
		g.pop()
	case 6, 7:
		g.loop(depth)
	case 8:
		g.call()
	case 9:
		g.bulk()
	case 10:
		l := g.target()
		g.values(g.labels[len(g.labels)-1-l], 2)
		g.value(wasmbin.I32, 2)
		g.index(wasmbin.OpBrIf, l)
		for range g.labels[len(g.labels)-1-l] {
			g.op(wasmbin.OpDrop)
		}
	default:
		g.jump(depth)
	}
}

func (g *generator) statements(depth int) {
	for range g.n(5) {
		g.statement(depth + 1)
	}
}

// loop goes round a few times; some loops carry values.
func (g *generator) loop(depth int) {
	if depth > 3 {
		return
	}
	var params []wasmbin.ValueType
	if g.n(2) == 0 {
		params = []wasmbin.ValueType{wasmbin.I32, wasmbin.I64}
	}
	counter := len(g.types) + depth
	g.i32(int32(1 + g.n(6)))
	g.index(wasmbin.OpLocalSet, counter)
	g.values(params, 2)
	t := wasmbin.BlockEmpty
	if params != nil {
		g.m.Types = append(g.m.Types, wasmbin.FuncType{Params: params, Results: params})
		t = wasmbin.BlockType(len(g.m.Types) - 1)
	}
	g.block(wasmbin.OpLoop, t)
	g.push(params, true)
	for range params {
		g.op(wasmbin.OpDrop)
	}
	g.statements(depth)
	g.values(params, 2)
	g.index(wasmbin.OpLocalGet, counter)
	g.i32(1)
	g.op(wasmbin.OpI32Sub)
	g.index(wasmbin.OpLocalTee, counter)
	g.i32(0)
	g.op(0x4a) // i32.gt_s
	g.index(wasmbin.OpBrIf, 0)
	g.pop()
	for range params {
		g.op(wasmbin.OpDrop)
	}
}

func (g *generator) call() {
	t := uint32(0)
	if g.n(2) == 0 {
		f := g.n(len(g.m.Functions))
		t = g.m.Functions[f]
		g.values(g.m.Types[t].Params, 2)
		g.index(wasmbin.OpCall, f)
	} else {
		t = uint32(g.n(5))
		g.values(g.m.Types[t].Params, 2)
		g.value(wasmbin.I32, 1)
		g.i32(127)
		g.op(0x71) // i32.and; entries from 100 on are null
		g.index(wasmbin.OpCallIndirect, int(t))
		g.out = append(g.out, 0)
	}
	for range g.m.Types[t].Results {
		g.op(wasmbin.OpDrop)
	}
}

// bulk works on a range that may be longer than a piece, or out of bounds.
func (g *generator) bulk() {
	// args leaves a destination, a source and a length below these; a third of
	// the lengths are short.
	args := func(dest, source, length int) {
		if g.n(3) == 0 {
			length = 100
		}
		g.i32(int32(g.n(dest)))
		g.i32(int32(g.n(source)))
		g.i32(int32(length/2 + g.n(length/2)))
	}
	switch g.n(7) {
	case 0:
		args(150_000, 256, 110_000)
		g.op(wasmbin.OpMemoryFill, 0)
	case 1:
		args(120_000, 120_000, 120_000)
		g.op(wasmbin.OpMemoryCopy, 0, 0)
	case 2:
		args(140_000, 3_000, 75_000)
		g.index(wasmbin.OpMemoryInit, 0)
		g.out = append(g.out, 0)
	case 3:
		args(12_000, 200, 10_000)
		g.index(wasmbin.OpTableInit, 1)
		g.out = append(g.out, 0)
	case 4:
		args(11_000, 11_000, 13_000)
		g.op(wasmbin.OpTableCopy, 0, 0)
	case 5:
		g.i32(int32(200 + g.n(12_000)))
		g.index(wasmbin.OpRefFunc, g.n(len(g.m.Functions)))
		g.i32(int32(g.n(13_000)))
		g.index(wasmbin.OpTableFill, 0)
	default:
		if g.n(8) == 0 {
			g.index(wasmbin.OpDataDrop, 0)
		} else {
			g.index(wasmbin.OpElemDrop, 1)
		}
	}
}

// jump leaves the code behind it without a way in; a block ends there.
func (g *generator) jump(depth int) {
	g.block(wasmbin.OpBlock, wasmbin.BlockEmpty)
	g.push(nil, false)
	l := g.target()
	takes := g.labels[len(g.labels)-1-l]
	g.values(takes, 2)
	switch g.n(4) {
	case 0:
		g.index(wasmbin.OpBr, l)
	case 1:
		g.value(wasmbin.I32, 1)
		g.index(wasmbin.OpBrTable, 1)
		g.out = wasmbin.AppendU32(wasmbin.AppendU32(g.out, uint32(l)), uint32(l))
	case 2:
		g.values(g.labels[0], 2)
		g.op(wasmbin.OpReturn)
	default:
		if len(takes) == 0 { // between two labels that take nothing
			g.value(wasmbin.I32, 1)
			g.index(wasmbin.OpBrTable, 1)
			g.out = wasmbin.AppendU32(wasmbin.AppendU32(g.out, 0), uint32(l))
		} else {
			g.index(wasmbin.OpBr, l)
		}
	}
	g.statements(depth)
	g.pop()
}
