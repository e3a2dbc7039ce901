package meter

import (
	"fmt"
	"slices"
	"strings"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

// Options bound what Rewrite allows a module. The zero value is safe.
type Options struct {
	// StackBytes bounds the stack of one call into the guest, as frame.go
	// weighs it; 0 = DefaultStackBytes.
	StackBytes uint32
	// MaxTableElements bounds all tables of an instance together; 0 =
	// DefaultTableElements. table.grow past it gives -1.
	MaxTableElements uint32
	// Exports are the names that stay exported; nil keeps all. wazero compares each
	// export with each function, when it first needs their names.
	Exports []string

	// exportGlobals exports fuel and stack, so that a test can go on with an
	// instance after a trap.
	exportGlobals bool
}

const (
	// DefaultStackBytes keeps wazero's stack, which doubles, at 1.3 MB for
	// ordinary code, and at 11 MB for code made to defeat the estimate.
	DefaultStackBytes = 1 << 20
	// MinStackBytes is the least that is of use to a guest.
	MinStackBytes = 16 << 10
	// MaxStackBytes is half of what wazero itself allows.
	MaxStackBytes = 24 << 20
	// DefaultTableElements is some 0.8 MB.
	DefaultTableElements = 100_000
)

func (o Options) withDefaults() Options {
	if o.StackBytes == 0 {
		o.StackBytes = DefaultStackBytes
	}
	o.StackBytes = min(max(o.StackBytes, MinStackBytes), MaxStackBytes)
	if o.MaxTableElements == 0 {
		o.MaxTableElements = DefaultTableElements
	}
	return o
}

// Info tells what Rewrite did.
type Info struct {
	Functions int // that the module defines
	Counted   int // of them weigh on the stack
	Light     int // of them are paid for by their callers
	Loops     int // heads that charge
	Charges   int // other places that charge
}

// Rewrite returns module with metering in it. It refuses what it doesn't
// understand: nothing passes unmetered. Of custom sections only the names of
// functions are kept, cut to wasmbin.MaxLabel bytes. The result shares no memory
// with module.
func Rewrite(module []byte, o Options) ([]byte, *Info, error) {
	m, err := wasmbin.Decode(module)
	if err != nil {
		return nil, nil, err
	}
	return RewriteModule(m, len(module), o)
}

// RewriteModule is Rewrite of a decoded module, of so many bytes, which it uses up.
func RewriteModule(m *wasmbin.Module, size int, o Options) ([]byte, *Info, error) {
	return rewrite(m, size, o.withDefaults())
}

// plan is what all steps share.
type plan struct {
	m         *wasmbin.Module
	o         Options
	size      int // bytes of the module
	functions []function
	referred  []bool // by function index: ref.func names it
	imported  uint32 // functions that the original imports
	refill    uint32 // index of the import
	fuel      uint32 // index of the global of that name: i64, units left
	stack     uint32 // likewise: i32, bytes left
	types     map[string]uint32
	pieces    pieces
	refs      refs
	emitted   int // bytes of code
	info      Info
}

func rewrite(m *wasmbin.Module, size int, o Options) ([]byte, *Info, error) {
	p := &plan{m: m, o: o, size: size, imported: uint32(m.ImportedFunctions())}
	p.refill = p.imported
	p.fuel = uint32(m.ImportedGlobals() + len(m.Globals))
	p.stack = p.fuel + 1
	if err := p.refuseNames(); err != nil {
		return nil, nil, err
	}
	if err := p.capTables(); err != nil {
		return nil, nil, err
	}
	if err := p.analyse(); err != nil {
		return nil, nil, err
	}
	if err := p.findRefs(); err != nil {
		return nil, nil, err
	}
	p.countStack()
	p.count()
	p.pieces.init(p)
	if err := p.emit(); err != nil {
		return nil, nil, err
	}
	names := m.Names()
	p.keepExports()
	p.shiftIndices()
	p.addRefs()
	p.addOurs()
	if err := p.pieces.define(p.emitted); err != nil {
		return nil, nil, err
	}
	p.keepNames(names)
	return m.Encode(), &p.info, nil
}

// refuseNames refuses a module that reaches for what is ours: metering twice
// would be wrong, too.
func (p *plan) refuseNames() error {
	for i := range p.m.Imports {
		if im := &p.m.Imports[i]; im.Module == ModuleName {
			return fmt.Errorf("%w: the module imports %q.%q", ErrReserved, im.Module,
				wasmbin.Cut(im.Name, wasmbin.MaxLabel))
		}
	}
	for i := range p.m.Exports {
		if e := &p.m.Exports[i]; strings.HasPrefix(e.Name, ModuleName) {
			return fmt.Errorf("%w: the module exports %q", ErrReserved, wasmbin.Cut(e.Name, wasmbin.MaxLabel))
		}
	}
	return nil
}

// capTables gives every table a maximum; all of them together stay within the
// limit.
func (p *plan) capTables() error {
	limit := uint64(p.o.MaxTableElements)
	least := uint64(0)
	for i := range p.m.Tables {
		least += uint64(p.m.Tables[i].Min)
	}
	if least > limit {
		return fmt.Errorf("%w: tables of %d elements, at most %d allowed", ErrTables, least, limit)
	}
	if len(p.m.Tables) == 0 {
		return nil
	}
	share := uint32((limit - least) / uint64(len(p.m.Tables)))
	for i := range p.m.Tables {
		t := &p.m.Tables[i]
		if most := t.Min + share; !t.HasMax || t.Max > most {
			t.Max, t.HasMax = most, true
		}
	}
	return nil
}

func (p *plan) analyse() error {
	p.functions = make([]function, len(p.m.Code))
	a := newAnalyser(p.m)
	a.size = p.size
	p.referred = a.referred
	for i := range p.m.Code {
		a.weigh(i)
	}
	for i := range p.m.Code {
		if err := a.analyse(i, &p.functions[i]); err != nil {
			return fmt.Errorf("function %d: %w", int(p.imported)+i, err)
		}
	}
	return nil
}

// count fills in Info.
func (p *plan) count() {
	p.info.Functions = len(p.functions)
	for i := range p.functions {
		f := &p.functions[i]
		if f.counted {
			p.info.Counted++
		}
		if f.light {
			p.info.Light++
		}
		for _, pt := range f.points {
			switch pt.kind {
			case pointLoop:
				p.info.Loops++
			case pointPlain:
				p.info.Charges++
			}
		}
	}
}

func (p *plan) emit() error {
	size := 0
	for i := range p.m.Code {
		size += len(p.m.Code[i].Body)
	}
	e := &emitter{p: p, scan: wasmbin.NewScanner(p.m), out: make([]byte, 0, size+size/2)}
	code := make([]wasmbin.Code, len(p.m.Code))
	for i := range p.m.Code {
		body, locals, err := e.emit(i)
		if err != nil {
			return fmt.Errorf("function %d: %w", int(p.imported)+i, err)
		}
		code[i] = wasmbin.Code{Locals: locals, Body: body}
		if err := p.checkGrowth(len(e.out)); err != nil {
			return err
		}
	}
	p.m.Code, p.emitted = code, len(e.out)
	return nil
}

// shift is the new index of a function: one import more stands before those
// that the module defines.
func (p *plan) shift(f uint32) uint32 {
	if f >= p.imported {
		return f + 1
	}
	return f
}

func (p *plan) shiftIndices() {
	m := p.m
	for i := range m.Exports {
		if e := &m.Exports[i]; e.Kind == wasmbin.KindFunction {
			e.Index = p.shift(e.Index)
		}
	}
	if m.Start != nil {
		*m.Start = p.shift(*m.Start)
	}
	expr := func(e *wasmbin.Expr) {
		if e.Op == wasmbin.OpRefFunc {
			e.Index = p.shift(e.Index)
		}
	}
	for i := range m.Globals {
		expr(&m.Globals[i].Init)
	}
	for i := range m.Elements {
		s := &m.Elements[i]
		for j := range s.Functions {
			s.Functions[j] = p.shift(s.Functions[j])
		}
		for j := range s.Exprs {
			expr(&s.Exprs[j])
		}
	}
}

// addOurs adds the import and the globals.
func (p *plan) addOurs() {
	m := p.m
	m.Imports = append(m.Imports, wasmbin.Import{
		Module: ModuleName, Name: RefillName, Kind: wasmbin.KindFunction,
		Function: p.typeOf([]wasmbin.ValueType{wasmbin.I64}, []wasmbin.ValueType{wasmbin.I64}),
	})
	p.addGlobal(wasmbin.I64, wasmbin.OpI64Const, 0, fuelName)
	p.addGlobal(wasmbin.I32, wasmbin.OpI32Const, int64(p.o.StackBytes), stackName)
}

func (p *plan) addGlobal(t wasmbin.ValueType, op wasmbin.Opcode, value int64, name string) {
	m := p.m
	if p.o.exportGlobals {
		index := uint32(m.ImportedGlobals() + len(m.Globals))
		m.Exports = append(m.Exports, wasmbin.Export{Name: name, Kind: wasmbin.KindGlobal, Index: index})
	}
	m.Globals = append(m.Globals, wasmbin.Global{
		GlobalType: wasmbin.GlobalType{Type: t, Mutable: true},
		Init:       wasmbin.Expr{Op: op, Raw: wasmbin.AppendS64([]byte{byte(op)}, value)},
	})
}

// keepExports takes out what nobody asks for.
func (p *plan) keepExports() {
	if p.o.Exports != nil {
		p.m.Exports = slices.DeleteFunc(p.m.Exports, func(e wasmbin.Export) bool {
			return !slices.Contains(p.o.Exports, e.Name)
		})
	}
}

// keepNames puts the names of functions, and nothing else, in the place of all
// custom sections: wazero reads no other, but holds on to them, and trips over
// some that the specification allows.
func (p *plan) keepNames(n wasmbin.Names) {
	p.m.Custom = nil
	for i := range n.Functions {
		n.Functions[i].Index = p.shift(n.Functions[i].Index)
	}
	n.Functions = append(n.Functions, p.pieces.names()...)
	n.Module = wasmbin.Cut(n.Module, moduleNames/(len(p.m.Functions)+1))
	if n.Module != "" || len(n.Functions) > 0 {
		p.m.Custom = []wasmbin.Custom{{
			Name: wasmbin.NameSection, Data: wasmbin.AppendNames(nil, n), After: wasmbin.SectionData,
		}}
	}
}

// typeOf gives the index of a function type, a new one if need be.
func (p *plan) typeOf(params, results []wasmbin.ValueType) uint32 {
	if p.types == nil {
		p.types = map[string]uint32{}
		for i := len(p.m.Types) - 1; i >= 0; i-- {
			p.types[typeKey(p.m.Types[i].Params, p.m.Types[i].Results)] = uint32(i)
		}
	}
	key := typeKey(params, results)
	i, ok := p.types[key]
	if !ok {
		i = uint32(len(p.m.Types))
		p.types[key] = i
		p.m.Types = append(p.m.Types, wasmbin.FuncType{Params: params, Results: results})
	}
	return i
}

func typeKey(params, results []wasmbin.ValueType) string {
	b := make([]byte, 0, len(params)+len(results)+1)
	for _, t := range params {
		b = append(b, byte(t))
	}
	b = append(b, 0)
	for _, t := range results {
		b = append(b, byte(t))
	}
	return string(b)
}

// paramBlock is the type of a block that takes what t takes, and leaves it.
func (p *plan) paramBlock(t wasmbin.BlockType) wasmbin.BlockType {
	if t < 0 {
		return wasmbin.BlockEmpty
	}
	params := p.m.Types[t].Params
	if len(params) == 0 {
		return wasmbin.BlockEmpty
	}
	return wasmbin.BlockType(p.typeOf(params, params))
}

// resultBlock is the type of a block that leaves what functions of a type do.
func (p *plan) resultBlock(typ uint32) wasmbin.BlockType {
	switch results := p.m.Types[typ].Results; len(results) {
	case 0:
		return wasmbin.BlockEmpty
	case 1:
		return wasmbin.BlockType(int8(results[0]<<1) >> 1)
	default:
		return wasmbin.BlockType(p.typeOf(nil, results))
	}
}
