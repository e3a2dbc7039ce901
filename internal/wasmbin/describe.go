package wasmbin

import "github.com/wirehost/wirehost/abi"

// Describe says of a module what the contract speaks of. Names are cut to
// MaxLabel bytes; none that the contract knows is that long.
func (m *Module) Describe() abi.Module {
	var d abi.Module
	types := m.FunctionTypes()
	known := map[uint32]abi.Signature{} // shared by all that have the type
	signature := func(t uint32) abi.Signature {
		s, ok := known[t]
		if !ok && int(t) < len(m.Types) {
			s = abi.Signature{Params: m.Types[t].Params, Results: m.Types[t].Results}
			known[t] = s
		}
		return s
	}
	for i := range m.Imports {
		in := &m.Imports[i]
		e := abi.ModuleImport{Module: Cut(in.Module, MaxLabel), Name: Cut(in.Name, MaxLabel), Kind: in.Kind}
		if in.Kind == KindFunction {
			e.Signature = signature(in.Function)
		}
		if in.Kind == KindMemory {
			d.Memory = memoryType(in.Memory)
		}
		d.Imports = append(d.Imports, e)
	}
	for _, ex := range m.Exports {
		e := abi.ModuleExport{Name: Cut(ex.Name, MaxLabel), Kind: ex.Kind}
		if ex.Kind == KindFunction && int(ex.Index) < len(types) {
			e.Signature = signature(types[ex.Index])
		}
		d.Exports = append(d.Exports, e)
	}
	if len(m.Memories) > 0 {
		d.Memory = memoryType(m.Memories[0])
	}
	return d
}

func memoryType(l Limits) *abi.MemoryType {
	return &abi.MemoryType{Min: l.Min, Max: l.Max, HasMax: l.HasMax}
}
