package wasmbin

import (
	"fmt"

	"github.com/wirehost/wirehost/abi"
)

// ValueType is a value type's code in the binary format.
type ValueType = abi.ValueType

// The value types.
const (
	I32                 = abi.I32
	I64                 = abi.I64
	F32       ValueType = 0x7d
	F64                 = abi.F64
	V128      ValueType = 0x7b
	Funcref   ValueType = 0x70
	Externref ValueType = 0x6f
)

func isValue(t ValueType) bool { return isReference(t) || t >= V128 && t <= I32 }

func isReference(t ValueType) bool { return t == Funcref || t == Externref }

// Kind is what an import or an export is.
type Kind = abi.Kind

// The kinds.
const (
	KindFunction = abi.KindFunction
	KindTable    = abi.KindTable
	KindMemory   = abi.KindMemory
	KindGlobal   = abi.KindGlobal
)

// SectionID is a section's number in the binary format.
type SectionID byte

// The sections, in their order in a module but for the custom ones.
const (
	SectionCustom SectionID = iota
	SectionType
	SectionImport
	SectionFunction
	SectionTable
	SectionMemory
	SectionGlobal
	SectionExport
	SectionStart
	SectionElement
	SectionCode
	SectionData
	SectionDataCount // stands between elements and code
)

var sectionNames = [...]string{"custom", "type", "import", "function", "table", "memory", "global", "export",
	"start", "element", "code", "data", "data count"}

func (id SectionID) String() string {
	if int(id) < len(sectionNames) {
		return sectionNames[id] + " section"
	}
	return fmt.Sprintf("section %d", byte(id))
}

// place is where a section stands among the others.
func (id SectionID) place() int {
	switch {
	case id == SectionDataCount:
		return int(SectionElement)*2 + 1
	default:
		return int(id) * 2
	}
}

// FuncType is a function's or a block's type.
type FuncType struct {
	Params, Results []ValueType
}

// Equal reports whether both are the same type.
func (t FuncType) Equal(u FuncType) bool {
	return string(typeBytes(t.Params)) == string(typeBytes(u.Params)) &&
		string(typeBytes(t.Results)) == string(typeBytes(u.Results))
}

func typeBytes(types []ValueType) []byte {
	b := make([]byte, len(types))
	for i, t := range types {
		b[i] = byte(t)
	}
	return b
}

// Limits are a table's in elements or a memory's in pages of 64 KiB.
type Limits struct {
	Min, Max uint32
	HasMax   bool
}

// TableType is a table's type.
type TableType struct {
	Element ValueType // Funcref or Externref
	Limits
}

// GlobalType is a global's type.
type GlobalType struct {
	Type    ValueType
	Mutable bool
}

// Import is one import. Of the last four fields the one that Kind names counts.
type Import struct {
	Module, Name string
	Kind         Kind
	Function     uint32 // type index
	Table        TableType
	Memory       Limits
	Global       GlobalType
}

// Global is a global that the module defines.
type Global struct {
	GlobalType
	Init Expr
}

// Export is one export.
type Export struct {
	Name  string
	Kind  Kind
	Index uint32
}

// Expr is a constant expression: one instruction and the end.
type Expr struct {
	Op    Opcode
	Index uint32 // of OpGlobalGet and OpRefFunc
	Raw   []byte // opcode and immediate of the others, a part of the input
}

// Constant is the number that an expression of one i32.const gives; ok is false for any
// other.
func (e Expr) Constant() (value uint64, ok bool) {
	if e.Op != OpI32Const || len(e.Raw) < 2 {
		return 0, false
	}
	v, shift := int64(0), 0
	for _, b := range e.Raw[1:] {
		v |= int64(b&0x7f) << shift
		if shift += 7; b&0x80 == 0 {
			if shift < 64 && b&0x40 != 0 {
				v |= -1 << shift
			}
			return uint64(uint32(v)), true
		}
	}
	return 0, false
}

// ElementMode says what becomes of an element segment.
type ElementMode byte

// The modes of an element segment: written into a table at the start; taken by
// table.init; there so that functions may be referred to.
const (
	ElementActive ElementMode = iota
	ElementPassive
	ElementDeclarative
)

// Element is an element segment.
type Element struct {
	Mode      ElementMode
	Table     uint32 // of an active one
	Offset    Expr   // of an active one
	Type      ValueType
	Functions []uint32 // function indices, where the segment has no expressions
	Exprs     []Expr   // else this, and it is not nil
	flags     uint32   // the form that it was written in
}

// LocalRun is a run of locals of one type.
type LocalRun struct {
	Count uint32
	Type  ValueType
}

// Code is a function's body.
type Code struct {
	Offset int // of Body, in the file
	Locals []LocalRun
	Body   []byte // instructions with the last end; a part of the input
}

// Data is a data segment.
type Data struct {
	Passive bool
	Memory  uint32 // of an active one
	Offset  Expr   // of an active one
	Init    []byte // a part of the input
	flags   uint32
}

// Custom is a custom section.
type Custom struct {
	Name  string
	Data  []byte    // what follows the name; a part of the input
	After SectionID // the last section before it that is not custom; SectionCustom for none
}

// Module is a decoded module. Index spaces start with the imports, as in the
// specification: function n of Functions has the index ImportedFunctions()+n.
type Module struct {
	Types     []FuncType
	Imports   []Import
	Functions []uint32 // type indices; as many as Code
	Tables    []TableType
	Memories  []Limits
	Globals   []Global
	Exports   []Export
	Start     *uint32
	Elements  []Element
	DataCount *uint32
	Code      []Code
	Data      []Data
	Custom    []Custom
}

// imported counts the imports of a kind.
func (m *Module) imported(k Kind) int {
	n := 0
	for i := range m.Imports {
		if m.Imports[i].Kind == k {
			n++
		}
	}
	return n
}

// ImportedFunctions is the number of imported functions, and so the index of
// the first function that the module defines.
func (m *Module) ImportedFunctions() int { return m.imported(KindFunction) }

// ImportedTables is the number of imported tables.
func (m *Module) ImportedTables() int { return m.imported(KindTable) }

// ImportedMemories is the number of imported memories.
func (m *Module) ImportedMemories() int { return m.imported(KindMemory) }

// ImportedGlobals is the number of imported globals.
func (m *Module) ImportedGlobals() int { return m.imported(KindGlobal) }

// FunctionTypes gives the type index of every function, imported ones first.
func (m *Module) FunctionTypes() []uint32 {
	types := make([]uint32, 0, len(m.Imports)+len(m.Functions))
	for i := range m.Imports {
		if m.Imports[i].Kind == KindFunction {
			types = append(types, m.Imports[i].Function)
		}
	}
	return append(types, m.Functions...)
}

// PassiveData is a data segment for memory.init.
func PassiveData(init []byte) Data { return Data{Passive: true, Init: init, flags: 1} }

// ActiveElement is an element segment that fills a table at the start.
func ActiveElement(table uint32, offset Expr, functions []uint32) Element {
	return Element{Table: table, Offset: offset, Type: Funcref, Functions: functions, flags: 2}
}

// PassiveElement is an element segment for table.init.
func PassiveElement(functions []uint32) Element {
	return Element{Mode: ElementPassive, Type: Funcref, Functions: functions, flags: 1}
}
