package gate

import (
	"fmt"
	"slices"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

// A table of functions costs wazero 90 bytes an element in each instance: 120 KB for a Go
// guest. Where a module only calls through a table, and never changes it, its elements
// are known: call_indirect becomes a call of a function, one for each type, that leads
// to the callee of an index by a br_table. In place of the table is one of two elements,
// through which it makes the traps that call_indirect would.

const (
	// indirectName is the name of these functions.
	indirectName = prefix + "call_indirect"
	// maxTargets bounds the elements of all br_tables, and maxCases the calls behind them.
	maxTargets = 1 << 17
	maxCases   = 1 << 15
)

// noFunction is an element that is null.
const noFunction = ^uint32(0)

// table is what is known of a table before its module runs.
type table struct {
	called   bool     // by call_indirect
	touched  bool     // by any other instruction
	elements []uint32 // functions or noFunction; nil where they are not known
}

// site is what call_indirect names.
type site struct{ typ, table uint32 }

// indirect replaces tables.
type indirect struct {
	m      *wasmbin.Module
	tables []table
	sites  map[site]uint32 // functions that take the place of call_indirect, by type and table
	order  []site
}

// newIndirect finds out what a module's tables hold.
func newIndirect(m *wasmbin.Module) *indirect {
	x := &indirect{m: m, sites: map[site]uint32{}, tables: make([]table, len(m.Tables))}
	if m.ImportedTables() > 0 {
		x.tables = nil
		return x
	}
	for t := range m.Tables {
		if m.Tables[t].Element == wasmbin.Funcref {
			x.tables[t].elements = slices.Repeat([]uint32{noFunction}, int(m.Tables[t].Min))
		}
	}
	for i := range m.Elements {
		if e := &m.Elements[i]; e.Mode == wasmbin.ElementActive && !x.fill(e) {
			x.tables[e.Table].elements = nil
		}
	}
	return x
}

// fill puts a segment into its table, and tells whether it could.
func (x *indirect) fill(e *wasmbin.Element) bool {
	to := x.tables[e.Table].elements
	at, ok := e.Offset.Constant()
	n := max(len(e.Functions), len(e.Exprs))
	if !ok || at+uint64(n) > uint64(len(to)) {
		return false
	}
	copy(to[at:], e.Functions)
	for j := range e.Exprs {
		switch e.Exprs[j].Op {
		case wasmbin.OpRefFunc:
			to[at+uint64(j)] = e.Exprs[j].Index
		case wasmbin.OpRefNull:
			to[at+uint64(j)] = noFunction
		default:
			return false
		}
	}
	return true
}

// see takes note of an instruction.
func (x *indirect) see(in *wasmbin.Instr) {
	if x.tables == nil {
		return
	}
	switch in.Op {
	case wasmbin.OpCallIndirect:
		x.tables[in.Index2].called = true
		s := site{in.Index, in.Index2}
		if _, ok := x.sites[s]; !ok {
			x.sites[s] = 0
			x.order = append(x.order, s)
		}
	case wasmbin.OpTableGet, wasmbin.OpTableSet, wasmbin.OpTableGrow, wasmbin.OpTableSize, wasmbin.OpTableFill,
		wasmbin.OpTableInit:
		t := in.Index
		if in.Op == wasmbin.OpTableInit {
			t = in.Index2
		}
		x.tables[t].touched = true
	case wasmbin.OpTableCopy:
		x.tables[in.Index].touched, x.tables[in.Index2].touched = true, true
	}
}

// known tells whether a table is one that is replaced.
func (x *indirect) known(t uint32) bool {
	return x.tables[t].called && !x.tables[t].touched && x.tables[t].elements != nil
}

// replace replaces the tables that can be, and every call through them.
func (x *indirect) replace() error {
	m := x.m
	x.order = slices.DeleteFunc(x.order, func(s site) bool { return !x.known(s.table) })
	types := m.FunctionTypes()
	targets, cases := 0, 0
	for _, s := range x.order {
		elements := x.tables[s.table].elements
		targets += len(elements)
		for _, f := range elements {
			if f != noFunction && m.Types[types[f]].Equal(m.Types[s.typ]) {
				cases++
			}
		}
	}
	if targets > maxTargets || cases > maxCases {
		x.order = nil
	}
	if len(x.order) == 0 {
		return nil
	}
	first := uint32(len(types))
	for n, s := range x.order {
		x.sites[s] = first + uint32(n)
	}
	if err := x.rewriteCalls(); err != nil {
		return err
	}
	for _, s := range x.order {
		x.addFunction(s, types)
	}
	x.shrinkTables()
	return nil
}

// rewriteCalls puts calls in the place of call_indirect.
func (x *indirect) rewriteCalls() error {
	m := x.m
	s := wasmbin.NewScanner(m)
	for i := range m.Code {
		s.Reset(&m.Code[i], len(m.Types[m.Functions[i]].Params))
		var out []byte
		body, copied := m.Code[i].Body, 0
		for in := (wasmbin.Instr{}); s.Next(&in); {
			if in.Op != wasmbin.OpCallIndirect || !x.known(in.Index2) {
				continue
			}
			if out == nil {
				out = make([]byte, 0, len(body)+len(body)/8)
			}
			out = append(append(out, body[copied:in.Start]...), byte(wasmbin.OpCall))
			out = wasmbin.AppendU32(out, x.sites[site{in.Index, in.Index2}])
			copied = in.End
		}
		if err := s.Err(); err != nil {
			return fmt.Errorf("gate: function %d: %w", m.ImportedFunctions()+i, err)
		}
		if out != nil {
			m.Code[i].Body = append(out, body[copied:]...)
		}
	}
	return nil
}

// addFunction adds the function that stands for call_indirect of a type and a table. Its
// parameters are those of the type, and the index.
func (x *indirect) addFunction(s site, types []uint32) {
	m := x.m
	t := m.Types[s.typ]
	elements := x.tables[s.table].elements
	var callees []uint32
	label := map[uint32]uint32{} // of a callee
	for _, f := range elements {
		if _, ok := label[f]; !ok && f != noFunction && m.Types[types[f]].Equal(t) {
			label[f] = uint32(len(callees))
			callees = append(callees, f)
		}
	}
	mismatch := uint32(len(callees))
	missing := mismatch + 1
	w := writer{}
	for range missing + 1 {
		w.block()
	}
	w.index(wasmbin.OpLocalGet, uint32(len(t.Params)))
	w.index(wasmbin.OpBrTable, uint32(len(elements)))
	for _, f := range elements {
		l, ok := label[f]
		switch {
		case f == noFunction:
			l = missing
		case !ok:
			l = mismatch
		}
		w.out = wasmbin.AppendU32(w.out, l)
	}
	w.out = wasmbin.AppendU32(w.out, missing)
	for _, f := range callees {
		w.end()
		w.params(len(t.Params))
		w.index(wasmbin.OpCall, f)
		w.op(wasmbin.OpReturn)
	}
	trap := func(at int32) {
		w.end()
		w.params(len(t.Params))
		w.out = wasmbin.AppendS64(append(w.out, byte(wasmbin.OpI32Const)), int64(at))
		w.index(wasmbin.OpCallIndirect, s.typ)
		w.out = wasmbin.AppendU32(w.out, s.table)
		w.op(wasmbin.OpReturn)
	}
	trap(otherType(t))
	trap(pastTheEnd)
	w.end()
	m.Types = append(m.Types, wasmbin.FuncType{
		Params: append(slices.Clone(t.Params), wasmbin.I32), Results: t.Results,
	})
	m.Functions = append(m.Functions, uint32(len(m.Types)-1))
	m.Code = append(m.Code, wasmbin.Code{Body: w.out})
}

// names are those of the functions that were added, and of callees by their exports: no
// other function is exported any more.
func (x *indirect) names(exports []string, callees []int64) (list []wasmbin.FunctionName) {
	for n, name := range exports {
		if f := callees[n]; f >= 0 {
			list = append(list, wasmbin.FunctionName{Index: uint32(f), Name: name})
		}
	}
	for _, s := range x.order {
		list = append(list, wasmbin.FunctionName{Index: x.sites[s], Name: indirectName})
	}
	return list
}

// What is in the place of a table: two functions of different types, and nothing behind
// them.
const (
	aCall      = 0 // of the type of the gate
	aNothing   = 1 // of no parameters and results
	pastTheEnd = 2
)

// otherType is an element that has not the type t.
func otherType(t wasmbin.FuncType) int32 {
	if len(t.Params) == 0 && len(t.Results) == 0 {
		return aCall
	}
	return aNothing
}

// shrinkTables puts the two elements in the place of each table that is replaced. The
// function of no parameters is added here, and the gate's comes right behind it.
func (x *indirect) shrinkTables() {
	m := x.m
	nothing := uint32(m.ImportedFunctions() + len(m.Functions))
	m.Types = append(m.Types, wasmbin.FuncType{})
	m.Functions = append(m.Functions, uint32(len(m.Types)-1))
	m.Code = append(m.Code, wasmbin.Code{Body: []byte{byte(wasmbin.OpEnd)}})
	m.Elements = slices.DeleteFunc(m.Elements, func(e wasmbin.Element) bool {
		return e.Mode == wasmbin.ElementActive && x.known(e.Table)
	})
	zero := wasmbin.Expr{Op: wasmbin.OpI32Const, Raw: []byte{byte(wasmbin.OpI32Const), 0}}
	for t := range x.tables {
		if !x.known(uint32(t)) {
			continue
		}
		m.Tables[t].Limits = wasmbin.Limits{Min: pastTheEnd, Max: pastTheEnd, HasMax: true}
		m.Elements = append(m.Elements, wasmbin.ActiveElement(uint32(t), zero, []uint32{nothing + 1, nothing}))
	}
}
