package abi

import "fmt"

// Kind is what an import or export is, by its code in the binary format.
type Kind byte

// The kinds. The contract has functions and one memory.
const (
	KindFunction Kind = iota
	KindTable
	KindMemory
	KindGlobal
)

// String is the text format's word for the kind.
func (k Kind) String() string {
	names := [...]string{"function", "table", "memory", "global"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("kind %#x", byte(k))
}

// ModuleImport is an import of a described module. Signature is a function's, and
// empty of other kinds.
type ModuleImport struct {
	Module, Name string
	Kind         Kind
	Signature    Signature
}

// ModuleExport is an export of a described module. Signature is a function's, and
// empty of other kinds.
type ModuleExport struct {
	Name      string
	Kind      Kind
	Signature Signature
}

// MemoryType is a memory's size in pages of 64 KiB, at the start and at most. Max
// is 0 without HasMax.
type MemoryType struct {
	Min, Max uint32
	HasMax   bool
}

// Module describes a module: all that the contract speaks of. Package wasmbin makes
// one of a file.
type Module struct {
	Imports []ModuleImport
	Exports []ModuleExport
	Memory  *MemoryType // nil without one
}

// Export finds an export by its name, of whatever kind.
func (m *Module) Export(name string) (ModuleExport, bool) {
	for _, e := range m.Exports {
		if e.Name == name {
			return e, true
		}
	}
	return ModuleExport{}, false
}
