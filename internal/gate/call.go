package gate

import (
	"cmp"
	"slices"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

// addCall adds the function that calls the others: a table of blocks, each with the
// call of one callee behind it.
func addCall(m *wasmbin.Module, callees []int64, names []string) {
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
	var body []byte
	block := func() { body = wasmbin.AppendS64(append(body, byte(wasmbin.OpBlock)), int64(wasmbin.BlockEmpty)) }
	index := func(op wasmbin.Opcode, i uint32) { body = wasmbin.AppendU32(append(body, byte(op)), i) }
	for range trap + 1 {
		block()
	}
	index(wasmbin.OpLocalGet, Params)
	index(wasmbin.OpBrTable, uint32(len(labels)))
	for _, l := range labels {
		body = wasmbin.AppendU32(body, min(l, trap))
	}
	body = wasmbin.AppendU32(body, trap)
	for _, f := range present {
		body = append(body, byte(wasmbin.OpEnd))
		t := m.Types[types[f]]
		for n := range t.Params {
			index(wasmbin.OpLocalGet, uint32(n))
		}
		index(wasmbin.OpCall, f)
		switch {
		case len(t.Results) == 0:
			body = append(body, byte(wasmbin.OpI64Const), 0)
		case t.Results[0] == wasmbin.I32:
			body = append(body, byte(wasmbin.OpI64ExtendI32))
		}
		body = append(body, byte(wasmbin.OpReturn))
	}
	body = append(body, byte(wasmbin.OpEnd), byte(wasmbin.OpUnreachable), byte(wasmbin.OpEnd))

	i32 := wasmbin.I32
	call := uint32(len(types))
	m.Types = append(m.Types, wasmbin.FuncType{
		Params: []wasmbin.ValueType{i32, i32, i32, i32, i32}, Results: []wasmbin.ValueType{wasmbin.I64},
	})
	m.Functions = append(m.Functions, uint32(len(m.Types)-1))
	m.Code = append(m.Code, wasmbin.Code{Body: body})
	m.Exports = append(m.Exports, wasmbin.Export{Name: CallName, Kind: wasmbin.KindFunction, Index: call})
	addNames(m, call, callees, names)
}

// addNames gives the function its name, and those of the callees that have none: their
// exports' have ended.
func addNames(m *wasmbin.Module, call uint32, callees []int64, exports []string) {
	names := m.Names()
	named := map[uint32]bool{}
	for _, f := range names.Functions {
		named[f.Index] = true
	}
	for n, name := range exports {
		if f := callees[n]; f >= 0 && !named[uint32(f)] {
			named[uint32(f)] = true
			names.Functions = append(names.Functions, wasmbin.FunctionName{Index: uint32(f), Name: name})
		}
	}
	names.Functions = append(names.Functions, wasmbin.FunctionName{Index: call, Name: CallName})
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
