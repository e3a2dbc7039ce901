package wasmbin

import "github.com/wirehost/wirehost/abi"

// Describe says of a module what the contract speaks of.
func (m *Module) Describe() abi.Module {
	d := abi.Module{HasStart: m.Start != nil}
	types := m.FunctionTypes()
	signature := func(t uint32) abi.Signature {
		if int(t) >= len(m.Types) {
			return abi.Signature{}
		}
		return abi.Signature{Params: valueTypes(m.Types[t].Params), Results: valueTypes(m.Types[t].Results)}
	}
	for i := range m.Imports {
		in := &m.Imports[i]
		e := abi.ModuleImport{Module: in.Module, Name: in.Name, Kind: abi.Kind(in.Kind)}
		if in.Kind == KindFunction {
			e.Signature = signature(in.Function)
		}
		if in.Kind == KindMemory {
			d.Memory = memoryType(in.Memory)
		}
		d.Imports = append(d.Imports, e)
	}
	for _, ex := range m.Exports {
		e := abi.ModuleExport{Name: ex.Name, Kind: abi.Kind(ex.Kind)}
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

func valueTypes(list []ValueType) []abi.ValueType {
	var types []abi.ValueType
	for _, t := range list {
		types = append(types, abi.ValueType(t))
	}
	return types
}

func memoryType(l Limits) *abi.MemoryType {
	return &abi.MemoryType{Min: l.Min, Max: l.Max, HasMax: l.HasMax}
}
