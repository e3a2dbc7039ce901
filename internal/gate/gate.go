// Package gate gives a module one way in, in place of its exported functions, and a
// way to everything that an instance of it has in mind.
//
// Each exported function that a host wants to call costs wazero a stack of its own, of
// 10 KB, in each instance. So [Add] writes one function that calls the others by
// number, and exports that alone. The start section becomes one of them, so that an
// instance can be made without running anything. The mutable globals are exported:
// with them, the linear memory and what the module's bytes say, an instance can be put
// into another, unless its code changes something that can't be read from outside,
// which [Info] tells.
package gate

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

const (
	// CallName is the name of the function that calls the others: its parameters are
	// four i32, those of the callee first, then the callee's number. It returns the
	// callee's result as i64, an i32 without its sign, 0 where there is none.
	CallName = prefix + "call"
	// Params is how many parameters a callee has at most.
	Params = 4

	prefix       = "wirehost."
	globalPrefix = prefix + "global."
	maxGlobals   = 256
)

// GlobalName is the name under which the n-th of Info.Globals is exported.
func GlobalName(n int) string { return globalPrefix + strconv.Itoa(n) }

// Wrote tells whether a function of that name is one that Add has written.
func Wrote(name string) bool { return strings.HasPrefix(name, prefix) }

// Info is what Add has found in a module.
type Info struct {
	Start   bool   `json:"start,omitempty"`   // it has a start section, which has the number behind the last name
	Globals int    `json:"globals,omitempty"` // mutable ones, which are exported
	Plain   string `json:"plain,omitempty"`   // why its instances can't be put into others; "" = they can
}

// Add puts the gate into a valid module: names[n] becomes the function of number n. A
// name that is not exported, or no function, is a trap when it is called, as any other
// number is. Exports of functions end, those of memory stay.
func Add(m *wasmbin.Module, names []string) (Info, error) {
	i := Info{Start: m.Start != nil}
	x := newIndirect(m)
	uses, err := scan(m, x)
	if err != nil {
		return i, err
	}
	callees, err := findCallees(m, names)
	if err != nil {
		return i, err
	}
	kept := m.Exports[:0]
	for _, e := range m.Exports {
		if e.Kind != wasmbin.KindFunction || uses.refs { // a reference must be declared
			kept = append(kept, e)
		}
	}
	m.Exports = kept
	i.Plain = uses.plain
	i.exportGlobals(m)
	if i.Plain == "" && !uses.refs {
		if err := x.replace(); err != nil {
			return i, err
		}
	} else {
		x.order = nil
	}
	addCall(m, callees, x.names(names, callees))
	return i, nil
}

// findCallees are the functions of the names, and behind them the start section's; -1
// where there is none.
func findCallees(m *wasmbin.Module, names []string) ([]int64, error) {
	types := m.FunctionTypes()
	callees := make([]int64, len(names)+1)
	for n := range callees {
		callees[n] = -1
	}
	for n, name := range names {
		for _, e := range m.Exports {
			if e.Name == name && e.Kind == wasmbin.KindFunction {
				callees[n] = int64(e.Index)
				if t := m.Types[types[e.Index]]; !callable(t) {
					return nil, fmt.Errorf("gate: %s: found %v, wanted at most %d parameters, all i32, and one result",
						name, t,
						Params)
				}
			}
		}
	}
	if m.Start != nil {
		callees[len(names)] = int64(*m.Start)
		m.Start = nil
	}
	return callees, nil
}

func callable(t wasmbin.FuncType) bool {
	for _, p := range t.Params {
		if p != wasmbin.I32 {
			return false
		}
	}
	return len(t.Params) <= Params && (len(t.Results) == 0 ||
		len(t.Results) == 1 && (t.Results[0] == wasmbin.I32 || t.Results[0] == wasmbin.I64))
}

// exportGlobals exports the mutable globals.
func (i *Info) exportGlobals(m *wasmbin.Module) {
	imported := m.ImportedGlobals()
	count := 0
	for n := range m.Globals {
		if !m.Globals[n].Mutable {
			continue
		}
		switch m.Globals[n].Type {
		case wasmbin.I32, wasmbin.I64, wasmbin.F32, wasmbin.F64:
			count++
		default:
			i.Plain = "a mutable global of a vector or a reference"
		}
	}
	switch {
	case imported > 0:
		i.Plain = "imported globals"
	case count > maxGlobals:
		i.Plain = fmt.Sprintf("%d mutable globals, more than %d", count, maxGlobals)
	}
	if i.Plain != "" {
		return
	}
	for n := range m.Globals {
		if m.Globals[n].Mutable {
			m.Exports = append(m.Exports,
				wasmbin.Export{Name: GlobalName(i.Globals), Kind: wasmbin.KindGlobal, Index: uint32(n)})
			i.Globals++
		}
	}
}

// use is what a module's code does.
type use struct {
	refs  bool   // it has ref.func
	plain string // see Info
}

// scan looks for what changes an instance where nobody can see it: tables, and which
// segments have been dropped.
func scan(m *wasmbin.Module, x *indirect) (u use, err error) {
	if len(m.Memories) != 1 {
		u.plain = "no memory of its own"
	}
	imported := m.ImportedFunctions()
	s := wasmbin.NewScanner(m)
	for i := range m.Code {
		s.Reset(&m.Code[i], len(m.Types[m.Functions[i]].Params))
		for in := (wasmbin.Instr{}); s.Next(&in); {
			x.see(&in)
			switch in.Op {
			case wasmbin.OpRefFunc:
				u.refs = true
			case wasmbin.OpTableSet, wasmbin.OpTableFill, wasmbin.OpTableCopy, wasmbin.OpTableInit, wasmbin.OpTableGrow:
				u.plain = "code that writes a table"
			case wasmbin.OpElemDrop:
				u.plain = "code that drops a segment"
			case wasmbin.OpMemoryInit, wasmbin.OpDataDrop:
				u.plain = "code that names data segments"
			}
		}
		if err := s.Err(); err != nil {
			return u, fmt.Errorf("gate: function %d: %w", imported+i, err)
		}
	}
	return u, nil
}
