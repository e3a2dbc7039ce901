package meter

import (
	"errors"
	"fmt"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

// wazero makes a new reference each time that ref.func is executed, and keeps it
// for as long as the instance lives: 32 bytes an instruction. So the functions
// that code refers to stand in a table of ours, filled at the start, and
// `ref.func f` becomes `i32.const n; table.get`. References can't be compared,
// so nobody sees a difference.

// ErrUndeclared is code that refers to a function which nothing outside of the
// code names: what the validator refuses, as long as it sees it.
var ErrUndeclared = errors.New("meter: ref.func of an undeclared function")

// refs are the functions that ref.func names.
type refs struct {
	functions []uint32          // their original indices, ascending
	at        map[uint32]uint32 // where they stand in the table
	table     uint32            // index of ours
}

// findRefs collects what the analysis has found, and holds it against what the
// module declares.
func (p *plan) findRefs() error {
	p.refs = refs{at: map[uint32]uint32{}, table: uint32(p.m.ImportedTables() + len(p.m.Tables))}
	for f, is := range p.referred {
		if is {
			p.refs.at[uint32(f)] = uint32(len(p.refs.functions))
			p.refs.functions = append(p.refs.functions, uint32(f))
		}
	}
	if len(p.refs.functions) == 0 {
		return nil
	}
	declared := p.declared()
	for _, f := range p.refs.functions {
		if !declared[f] {
			return fmt.Errorf("%w: found function %d, wanted one that is exported, or that a segment or a global names",
				ErrUndeclared, f)
		}
	}
	return nil
}

// declared marks the functions that something outside of the code names.
func (p *plan) declared() []bool {
	m := p.m
	declared := make([]bool, len(p.referred))
	expr := func(e *wasmbin.Expr) {
		if e.Op == wasmbin.OpRefFunc {
			declared[e.Index] = true
		}
	}
	for i := range m.Exports {
		if e := &m.Exports[i]; e.Kind == wasmbin.KindFunction {
			declared[e.Index] = true
		}
	}
	for i := range m.Globals {
		expr(&m.Globals[i].Init)
	}
	for i := range m.Elements {
		for _, f := range m.Elements[i].Functions {
			declared[f] = true
		}
		for j := range m.Elements[i].Exprs {
			expr(&m.Elements[i].Exprs[j])
		}
	}
	return declared
}

// segment is the new index of an element segment: ours stands before the others,
// since wazero leaves out those behind one that does not fit its table.
func (r *refs) segment(i uint32) uint32 {
	if len(r.functions) > 0 {
		return i + 1
	}
	return i
}

// addRefs adds the table and its segment.
func (p *plan) addRefs() {
	n := uint32(len(p.refs.functions))
	if n == 0 {
		return
	}
	functions := make([]uint32, n)
	for i, f := range p.refs.functions {
		functions[i] = p.shift(f)
	}
	start := wasmbin.Expr{Op: wasmbin.OpI32Const, Raw: []byte{byte(wasmbin.OpI32Const), 0}}
	p.m.Tables = append(p.m.Tables, wasmbin.TableType{
		Element: wasmbin.Funcref, Limits: wasmbin.Limits{Min: n, Max: n, HasMax: true},
	})
	p.m.Elements = append([]wasmbin.Element{wasmbin.ActiveElement(p.refs.table, start, functions)}, p.m.Elements...)
}

// reference writes what stands for ref.func.
func (e *emitter) reference(in *wasmbin.Instr) {
	e.flush(in.Start)
	e.i32(int32(e.p.refs.at[in.Index]))
	e.index(wasmbin.OpTableGet, e.p.refs.table)
	e.copied = in.End
}

// dropElement writes elem.drop of the segment's new index.
func (e *emitter) dropElement(in *wasmbin.Instr) {
	e.flush(in.Start)
	e.out = wasmbin.AppendU32(wasmbin.AppendOpcode(e.out, in.Op), e.p.refs.segment(in.Index))
	e.copied = in.End
}
