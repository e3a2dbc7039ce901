package gate

import (
	"cmp"
	"slices"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

// writer writes a body.
type writer struct{ out []byte }

func (w *writer) op(op wasmbin.Opcode) { w.out = append(w.out, byte(op)) }
func (w *writer) end()                 { w.op(wasmbin.OpEnd) }

func (w *writer) block() {
	w.op(wasmbin.OpBlock)
	w.out = wasmbin.AppendS64(w.out, int64(wasmbin.BlockEmpty))
}

func (w *writer) index(op wasmbin.Opcode, i uint32) {
	w.op(op)
	w.out = wasmbin.AppendU32(w.out, i)
}

// params pushes the first n parameters.
func (w *writer) params(n int) {
	for i := range n {
		w.index(wasmbin.OpLocalGet, uint32(i))
	}
}

// addCall adds the function that calls the others: a table of blocks, each with the
// call of one callee behind it. names are for functions that have none.
func addCall(m *wasmbin.Module, callees []int64, names []wasmbin.FunctionName) {
	types := m.FunctionTypes()
	var present []uint32
	labels := make([]uint32, len(callees))
	for n, f := range callees {
		if labels[n] = ^uint32(0); f >= 0 {
			labels[n] = uint32(len(present))
			present = append(present, uint32(f))
		}
	}
	trap := uint32(len(present)) // the outermost block
	w := writer{}
	for range trap + 1 {
		w.block()
	}
	w.index(wasmbin.OpLocalGet, Params)
	w.index(wasmbin.OpBrTable, uint32(len(labels)))
	for _, l := range append(labels, trap) {
		w.out = wasmbin.AppendU32(w.out, min(l, trap))
	}
	for _, f := range present {
		w.end()
		t := m.Types[types[f]]
		w.params(len(t.Params))
		w.index(wasmbin.OpCall, f)
		switch {
		case len(t.Results) == 0:
			w.out = wasmbin.AppendS64(append(w.out, byte(wasmbin.OpI64Const)), 0)
		case t.Results[0] == wasmbin.I32:
			w.op(wasmbin.OpI64ExtendI32)
		}
		w.op(wasmbin.OpReturn)
	}
	w.end()
	w.op(wasmbin.OpUnreachable)
	w.end()

	i32 := wasmbin.I32
	call := uint32(len(types))
	m.Types = append(m.Types, wasmbin.FuncType{
		Params: []wasmbin.ValueType{i32, i32, i32, i32, i32}, Results: []wasmbin.ValueType{wasmbin.I64},
	})
	m.Functions = append(m.Functions, uint32(len(m.Types)-1))
	m.Code = append(m.Code, wasmbin.Code{Body: w.out})
	m.Exports = append(m.Exports, wasmbin.Export{Name: CallName, Kind: wasmbin.KindFunction, Index: call})
	addNames(m, append(names, wasmbin.FunctionName{Index: call, Name: CallName}))
}

// addNames names functions that have no name.
func addNames(m *wasmbin.Module, more []wasmbin.FunctionName) {
	names := m.Names()
	named := map[uint32]bool{}
	for _, f := range names.Functions {
		named[f.Index] = true
	}
	for _, f := range more {
		if !named[f.Index] {
			named[f.Index] = true
			names.Functions = append(names.Functions, f)
		}
	}
	slices.SortFunc(names.Functions, func(a, b wasmbin.FunctionName) int { return cmp.Compare(a.Index, b.Index) })
	section := wasmbin.Custom{Name: wasmbin.NameSection, Data: wasmbin.AppendNames(nil, names),
		After: wasmbin.SectionData}
	for i := range m.Custom {
		if m.Custom[i].Name == wasmbin.NameSection {
			m.Custom[i] = section
			return
		}
	}
	m.Custom = append(m.Custom, section)
}
