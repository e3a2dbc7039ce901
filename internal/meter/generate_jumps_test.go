package meter

import "github.com/wirehost/wirehost/internal/wasmbin"

// dispatch is a loop as Go's compiler makes them, or nearly: blocks, a br_table
// by a local, and behind each block's end code that sets the local and goes round.
//
//	block
//	  loop
//	    block … block  local.get n  br_table …  end
//	      …
//	    end
//	      …
//	  end
//	end
//
// Behind each end a counter is taken from, which leaves the whole at zero.
func (g *generator) dispatch(depth int) {
	if depth > 2 || g.clean && (depth > 0 || g.dispatches > 0) {
		return
	}
	g.dispatches++
	blocks, by := 1+g.n(4), g.local(wasmbin.I32)
	if g.clean { // a local of its own, and mostly nothing that makes it stay
		by = len(g.types) + genCounters
	}
	counter := len(g.types) + depth
	g.i32(int32(1 + g.n(12)))
	g.index(wasmbin.OpLocalSet, counter)
	g.block(wasmbin.OpBlock, wasmbin.BlockEmpty)
	g.push(nil, false)
	outer := len(g.labels)
	g.block(wasmbin.OpLoop, wasmbin.BlockEmpty)
	g.push(nil, true)
	if g.n(12) == 0 {
		g.statement(depth + 1) // at the head, where nothing may be
	}
	for range blocks {
		g.block(wasmbin.OpBlock, wasmbin.BlockEmpty)
		g.push(nil, false)
	}
	g.index(wasmbin.OpLocalGet, by)
	g.index(wasmbin.OpBrTable, blocks)
	for i := range blocks + 1 {
		label := i
		if g.n(6) == 0 {
			label = g.n(blocks)
		}
		if i == blocks || g.n(12) == 0 {
			label = blocks + 1 // out
		}
		g.out = wasmbin.AppendU32(g.out, uint32(label))
	}
	for range blocks {
		g.pop()
		g.index(wasmbin.OpLocalGet, counter)
		g.i32(1)
		g.op(wasmbin.OpI32Sub)
		g.index(wasmbin.OpLocalTee, counter)
		g.op(wasmbin.OpI32Eqz)
		g.index(wasmbin.OpBrIf, len(g.labels)-outer)
		for range 1 + g.n(3) {
			g.statements(depth)
			g.round(by, len(g.labels)-outer-1, blocks, depth)
		}
	}
	g.pop()
	g.pop()
}

// round jumps to the label of a loop that dispatches, mostly as Go does.
func (g *generator) round(by, label, blocks, depth int) {
	inside := g.n(4) > 0
	if inside {
		g.value(wasmbin.I32, 1)
		g.block(wasmbin.OpIf, wasmbin.BlockEmpty)
		g.push(nil, false)
		label++
	} else if g.n(3) > 0 {
		return // the code behind it would be dead
	}
	kind := g.n(10)
	if g.clean && g.n(20) > 0 {
		kind = 9
	}
	switch kind {
	case 5:
		g.index(wasmbin.OpLocalGet, by)
		g.index(wasmbin.OpGlobalSet, 0)
	case 0:
		g.value(wasmbin.I32, 1)
		g.index(wasmbin.OpBrIf, label)
	case 1:
		g.index(wasmbin.OpBr, label)
	case 2:
		g.i32(int32(g.n(blocks)))
		g.index(wasmbin.OpLocalSet, by)
		g.statement(depth + 2)
		g.index(wasmbin.OpBr, label)
	case 3:
		g.i32(int32(g.n(blocks)))
		g.index(wasmbin.OpLocalTee, by)
		g.index(wasmbin.OpBrTable, 1)
		g.out = wasmbin.AppendU32(wasmbin.AppendU32(g.out, uint32(label)), uint32(label))
	case 4:
		g.i32(int32(g.n(blocks)))
		g.index(wasmbin.OpLocalSet, g.local(wasmbin.I32))
		g.index(wasmbin.OpBr, label)
	default:
		g.i32(int32(g.n(blocks+3)) - 1)
		g.index(wasmbin.OpLocalSet, by)
		g.index(wasmbin.OpBr, label)
	}
	if inside {
		if g.n(6) == 0 {
			g.op(wasmbin.OpElse)
			g.statement(depth + 2)
		}
		g.pop()
	}
}
