package meter

import (
	"fmt"
	"strings"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

// Footprint is what an instance of a metered module takes when it starts, in
// bytes, by its parts. All but linear memory is Go's heap. wazero shares nothing
// of it between instances. Stacks come on top, which Options.StackBytes bounds.
type Footprint struct {
	Memory   uint64 // linear memory at its start
	Tables   uint64 // tables, as large as they can grow
	Globals  uint64
	Elements uint64 // references of element segments
	Refs     uint64 // references of ref.func, in code and globals
	Data     uint64 // headers of data segments
	Imports  uint64
}

// What one of each takes in wazero 1.12 (module_engine.go, store.go), rounded up.
const (
	bytesTable   = 176 // TableInstance and pointers to it
	bytesEntry   = 8   // of a table
	bytesGlobal  = 96  // GlobalInstance, a pointer, 16 bytes of the module's context
	bytesRef     = 40  // functionInstance, and its place in a list that doubles
	bytesSegment = 24  // slice header
	bytesImport  = 40
	bytesPage    = 64 << 10
)

// Sum is the whole, linear memory included.
func (f Footprint) Sum() uint64 { return f.Memory + f.Host() }

// Host is all but linear memory.
func (f Footprint) Host() uint64 {
	return f.Tables + f.Globals + f.Elements + f.Refs + f.Data + f.Imports
}

// String gives the parts that there are, as in "memory 65536 + tables 8000".
func (f Footprint) String() string {
	parts := []string{fmt.Sprintf("memory %d", f.Memory)}
	for _, p := range []struct {
		name string
		n    uint64
	}{
		{"tables", f.Tables}, {"globals", f.Globals}, {"element segments", f.Elements},
		{"references", f.Refs}, {"data segments", f.Data}, {"imports", f.Imports},
	} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", p.name, p.n))
		}
	}
	return strings.Join(parts, " + ")
}

// Measure finds out what an instance of m takes once it is metered with o. It
// walks over the code, and fails where Rewrite would for what it finds there.
func Measure(m *wasmbin.Module, o Options) (Footprint, error) {
	u, err := scanUse(m)
	if err != nil {
		return Footprint{}, err
	}
	return measure(m, o, u), nil
}

// AtMost is no less than what Measure finds out. It looks at no code.
func AtMost(m *wasmbin.Module, o Options) Footprint {
	u := newUse(m)
	for i := range u.grown {
		u.grown[i] = true
	}
	u.refs = m.ImportedFunctions() + len(m.Functions)
	return measure(m, o, u)
}

func measure(m *wasmbin.Module, o Options, u use) Footprint {
	var f Footprint
	for _, l := range m.Memories {
		f.Memory += uint64(l.Min) * bytesPage
	}
	f.Tables = tableBytes(m, o.withDefaults(), u.grown)
	refs := u.refs
	if refs > 0 { // ours: a table, a segment, and an entry and a reference each
		f.Tables += bytesTable + uint64(refs)*bytesEntry
		f.Elements += bytesSegment
	}
	f.Globals = uint64(len(m.Globals)+2) * bytesGlobal // fuel and stack
	for i := range m.Globals {
		if m.Globals[i].Init.Op == wasmbin.OpRefFunc {
			refs++
		}
	}
	f.Refs = uint64(refs) * bytesRef
	for i := range m.Elements {
		f.Elements += segmentBytes(&m.Elements[i])
	}
	f.Data = uint64(len(m.Data)) * bytesSegment
	f.Imports = uint64(len(m.Imports)+1) * bytesImport // refill
	return f
}

// segmentBytes is what an element segment takes: an active one makes a
// reference for each element that it puts in its table; a passive one keeps them
// in a list of its own; a declarative one makes none.
func segmentBytes(e *wasmbin.Element) uint64 {
	n := uint64(len(e.Functions) + len(e.Exprs))
	switch e.Mode {
	case wasmbin.ElementActive:
		return bytesSegment + n*bytesRef
	case wasmbin.ElementPassive:
		return bytesSegment + n*(bytesRef+bytesEntry)
	}
	return bytesSegment
}

// tableBytes counts tables at the maximum that capTables gives them, and those
// that no instruction grows at their size.
func tableBytes(m *wasmbin.Module, o Options, grown []bool) uint64 {
	imported, total := m.ImportedTables(), uint64(0)
	limit, least := uint64(o.MaxTableElements), uint64(0)
	for i := range m.Tables {
		least += uint64(m.Tables[i].Min)
	}
	for i := range m.Tables {
		t := &m.Tables[i]
		n := uint64(t.Min)
		if grown[imported+i] && limit > least {
			n += (limit - least) / uint64(len(m.Tables))
			if t.HasMax {
				n = min(n, uint64(t.Max))
			}
		}
		total += bytesTable + n*bytesEntry
	}
	return total
}

// use is what code does that takes memory.
type use struct {
	grown []bool // tables, by index
	refs  int    // functions that ref.func names
}

func newUse(m *wasmbin.Module) use {
	return use{grown: make([]bool, m.ImportedTables()+len(m.Tables))}
}

func scanUse(m *wasmbin.Module) (use, error) {
	u := newUse(m)
	imported := m.ImportedFunctions()
	seen := make([]bool, imported+len(m.Functions))
	scan := wasmbin.NewScanner(m)
	for i := range m.Code {
		scan.Reset(&m.Code[i], len(m.Types[m.Functions[i]].Params))
		for in := (wasmbin.Instr{}); scan.Next(&in); {
			switch in.Op {
			case wasmbin.OpTableGrow:
				u.grown[in.Index] = true
			case wasmbin.OpRefFunc:
				if !seen[in.Index] {
					seen[in.Index] = true
					u.refs++
				}
			}
		}
		if err := scan.Err(); err != nil {
			return u, fmt.Errorf("function %d: %w", imported+i, err)
		}
	}
	return u, nil
}
