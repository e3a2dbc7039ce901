package abi

// Kind is what an import or export is.
type Kind byte

const (
	KindFunction Kind = iota
	KindTable
	KindMemory
	KindGlobal
)

func (k Kind) String() string {
	return [...]string{"function", "table", "memory", "global"}[k&3]
}

// ModuleImport is an import of a described module. Signature is a function's.
type ModuleImport struct {
	Module, Name string
	Kind         Kind
	Signature    Signature
}

// ModuleExport is an export of a described module. Signature is a function's.
type ModuleExport struct {
	Name      string
	Kind      Kind
	Signature Signature
}

// MemoryType is a memory's size in pages of 64 KiB.
type MemoryType struct {
	Min, Max uint32
	HasMax   bool
}

// Module describes a module: all that the contract speaks of.
type Module struct {
	Imports  []ModuleImport
	Exports  []ModuleExport
	Memory   *MemoryType // nil without one
	HasStart bool        // it has a start section
}

// Export finds an export by name.
func (m *Module) Export(name string) (ModuleExport, bool) {
	for _, e := range m.Exports {
		if e.Name == name {
			return e, true
		}
	}
	return ModuleExport{}, false
}
