package meter

import (
	"math/rand/v2"
	"slices"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

// generator makes valid modules out of random numbers. All that they do is
// bounded: loops count down, and every call takes from a budget.
type generator struct {
	r      *rand.Rand
	m      *wasmbin.Module
	out    []byte
	types  []wasmbin.ValueType // of the locals; behind them are loop counters
	labels [][]wasmbin.ValueType
	loops  []bool // by label
	near   int    // a local that was an address lately
	size   int    // statements that may still be made

	clean      bool // of a function: see dispatch
	dispatches int
}

const (
	genGlobals = 4 // i32, i64, i32, i64; then the budget
	genBudget  = genGlobals
	genCalls   = 150

	genCounters = 4
)

var genTypes = []wasmbin.ValueType{wasmbin.I32, wasmbin.I32, wasmbin.I64, wasmbin.V128}

func (g *generator) n(n int) int { return g.r.IntN(n) }

func (g *generator) someTypes(most int) []wasmbin.ValueType {
	types := make([]wasmbin.ValueType, g.n(most+1))
	for i := range types {
		types[i] = genTypes[g.n(len(genTypes))]
	}
	return types
}

func generate(seed1, seed2 uint64) []byte {
	g := &generator{r: rand.New(rand.NewPCG(seed1, seed2)), m: &wasmbin.Module{}}
	m := g.m
	m.Types = []wasmbin.FuncType{{}, {Results: []wasmbin.ValueType{wasmbin.I32}}}
	for range 3 {
		m.Types = append(m.Types, wasmbin.FuncType{Params: g.someTypes(3), Results: g.someTypes(2)})
	}
	count := 2 + g.n(6)
	for range count {
		m.Functions = append(m.Functions, uint32(g.n(len(m.Types))))
	}
	m.Memories = []wasmbin.Limits{{Min: 3, Max: 6, HasMax: true}}
	m.Tables = []wasmbin.TableType{
		{Element: wasmbin.Funcref, Limits: wasmbin.Limits{Min: 20_000, Max: 40_000, HasMax: true}},
		{Element: wasmbin.Externref, Limits: wasmbin.Limits{Min: 10, Max: 30_000, HasMax: true}},
	}
	for i := range genGlobals + 1 {
		t, op := wasmbin.I32, wasmbin.OpI32Const
		if i < genGlobals && i%2 == 1 {
			t, op = wasmbin.I64, wasmbin.OpI64Const
		}
		value := int64(g.n(100))
		if i == genBudget {
			value = genCalls
		}
		m.Globals = append(m.Globals, wasmbin.Global{
			GlobalType: wasmbin.GlobalType{Type: t, Mutable: true},
			Init:       wasmbin.Expr{Op: op, Raw: wasmbin.AppendS64([]byte{byte(op)}, value)},
		})
		m.Exports = append(m.Exports, wasmbin.Export{Name: string(rune('A' + i)), Kind: wasmbin.KindGlobal,
			Index: uint32(i)})
	}
	segment := make([]byte, 70_000)
	for i := range segment {
		segment[i] = byte(g.r.Uint32())
	}
	m.Data = []wasmbin.Data{wasmbin.PassiveData(segment)}
	m.DataCount = new(uint32(1))
	var functions []uint32
	for i := range 9_000 {
		functions = append(functions, uint32(i%count))
	}
	m.Elements = []wasmbin.Element{
		wasmbin.ActiveElement(0, wasmbin.Expr{Op: wasmbin.OpI32Const, Raw: []byte{byte(wasmbin.OpI32Const), 0}},
			functions[:100]),
		wasmbin.PassiveElement(functions),
	}
	for i := range count {
		m.Exports = append(m.Exports, wasmbin.Export{Name: string(rune('a' + i)), Index: uint32(i)})
		m.Code = append(m.Code, g.function(m.Types[m.Functions[i]]))
	}
	m.Exports = append(m.Exports, wasmbin.Export{Name: "memory", Kind: wasmbin.KindMemory})
	return m.Encode()
}

func (g *generator) op(ops ...wasmbin.Opcode) {
	for _, op := range ops {
		g.out = wasmbin.AppendOpcode(g.out, op)
	}
}

func (g *generator) index(op wasmbin.Opcode, i int) {
	g.op(op)
	g.out = wasmbin.AppendU32(g.out, uint32(i))
}

func (g *generator) i32(v int32) {
	g.op(wasmbin.OpI32Const)
	g.out = wasmbin.AppendS64(g.out, int64(v))
}

func (g *generator) block(op wasmbin.Opcode, t wasmbin.BlockType) {
	g.op(op)
	g.out = wasmbin.AppendS64(g.out, int64(t))
}

// function makes a body that ends at once when the budget is used up.
func (g *generator) function(t wasmbin.FuncType) wasmbin.Code {
	g.out, g.size = nil, 4+g.n(60)
	g.clean, g.dispatches = g.n(2) == 0, 0
	locals := append([]wasmbin.ValueType{wasmbin.I32, wasmbin.I32, wasmbin.I64, wasmbin.V128}, g.someTypes(8)...)
	g.types = slices.Concat(t.Params, locals)
	g.labels, g.loops = [][]wasmbin.ValueType{t.Results}, []bool{false}
	g.near = g.local(wasmbin.I32)
	g.index(wasmbin.OpGlobalGet, genBudget)
	g.i32(1)
	g.op(wasmbin.OpI32Sub)
	g.index(wasmbin.OpGlobalSet, genBudget)
	g.index(wasmbin.OpGlobalGet, genBudget)
	g.i32(0)
	g.op(wasmbin.OpI32LtS)
	g.block(wasmbin.OpIf, wasmbin.BlockEmpty)
	for _, r := range t.Results {
		g.zero(r)
	}
	g.op(wasmbin.OpReturn, wasmbin.OpEnd)
	for g.size > 0 {
		g.statement(0)
	}
	for _, r := range t.Results {
		g.value(r, 2)
	}
	g.op(wasmbin.OpEnd)
	c := wasmbin.Code{Body: g.out}
	for range genCounters + 1 {
		locals = append(locals, wasmbin.I32)
	}
	for _, l := range locals {
		c.Locals = append(c.Locals, wasmbin.LocalRun{Count: 1, Type: l})
	}
	return c
}

// push and pop keep the labels of open blocks.
func (g *generator) push(takes []wasmbin.ValueType, loop bool) {
	g.labels, g.loops = append(g.labels, takes), append(g.loops, loop)
}

func (g *generator) pop() {
	g.op(wasmbin.OpEnd)
	g.labels, g.loops = g.labels[:len(g.labels)-1], g.loops[:len(g.loops)-1]
}

// local picks a local of a type; there is one of each.
func (g *generator) local(t wasmbin.ValueType) int {
	for i := g.n(len(g.types)); ; i = (i + 1) % len(g.types) {
		if g.types[i] == t {
			return i
		}
	}
}

// target picks a label to branch to. Going round a loop is the loop's own
// business.
func (g *generator) target() int {
	for range 8 {
		l := g.n(len(g.labels))
		if !g.loops[len(g.labels)-1-l] {
			return l
		}
	}
	return len(g.labels) - 1 // the function's
}
