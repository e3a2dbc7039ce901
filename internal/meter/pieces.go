package meter

import (
	"fmt"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

// Instructions on ranges become calls of functions that Rewrite adds, one for
// each instruction and segment or table in use. They charge by length and work
// in pieces, with the same result and the same traps: a range that is out of
// bounds traps before anything is written.
const (
	pieceBytes    = 64 << 10
	pieceElements = 8 << 10
	bytesPerUnit  = 4 // binary logarithm: 16 bytes are a unit
	elemsPerUnit  = 1 // 2 elements are one
	rangeBase     = 16
	growBase      = 500
)

// isRange reports whether op is one of those instructions.
func isRange(op wasmbin.Opcode) bool {
	switch op {
	case wasmbin.OpMemoryGrow, wasmbin.OpMemoryInit, wasmbin.OpMemoryCopy, wasmbin.OpMemoryFill,
		wasmbin.OpTableInit, wasmbin.OpTableCopy, wasmbin.OpTableGrow, wasmbin.OpTableFill:
		return true
	}
	return false
}

// piece is one added function.
type piece struct {
	op   wasmbin.Opcode
	a, b uint32 // Instr.Index, Index2
}

type pieces struct {
	p     *plan
	all   []piece
	index map[piece]uint32 // of the function

	tables []wasmbin.ValueType // what each table holds
}

func (s *pieces) init(p *plan) {
	s.p, s.index = p, map[piece]uint32{}
	for i := range p.m.Imports {
		if im := &p.m.Imports[i]; im.Kind == wasmbin.KindTable {
			s.tables = append(s.tables, im.Table.Element)
		}
	}
	for _, t := range p.m.Tables {
		s.tables = append(s.tables, t.Element)
	}
}

// function gives the new index of the function that stands for in.
func (s *pieces) function(in *wasmbin.Instr) uint32 {
	want := piece{op: in.Op}
	switch in.Op {
	case wasmbin.OpMemoryInit, wasmbin.OpTableGrow, wasmbin.OpTableFill:
		want.a = in.Index
	case wasmbin.OpTableInit, wasmbin.OpTableCopy:
		want.a, want.b = in.Index, in.Index2
	}
	i, ok := s.index[want]
	if !ok {
		i = s.p.imported + 1 + uint32(len(s.p.functions)+len(s.all))
		s.index[want] = i
		s.all = append(s.all, want)
	}
	return i
}

// names gives the functions' names, for the name section.
func (s *pieces) names() []wasmbin.FunctionName {
	names := make([]wasmbin.FunctionName, len(s.all))
	for i, f := range s.all {
		names[i] = wasmbin.FunctionName{Index: s.index[f], Name: fmt.Sprintf("%s.%s", ModuleName, rangeNames[f.op])}
	}
	return names
}

var rangeNames = map[wasmbin.Opcode]string{
	wasmbin.OpMemoryGrow: "memory.grow", wasmbin.OpMemoryInit: "memory.init", wasmbin.OpMemoryCopy: "memory.copy",
	wasmbin.OpMemoryFill: "memory.fill", wasmbin.OpTableInit: "table.init", wasmbin.OpTableCopy: "table.copy",
	wasmbin.OpTableGrow: "table.grow", wasmbin.OpTableFill: "table.fill",
}

// define adds the functions to the module, to so many bytes of code.
func (s *pieces) define(code int) error {
	for _, f := range s.all {
		w := &pieceWriter{emitter: emitter{p: s.p}, f: f}
		typ := w.write()
		code += len(w.out)
		if err := s.p.checkGrowth(code); err != nil {
			return err
		}
		s.p.m.Functions = append(s.p.m.Functions, typ)
		s.p.m.Code = append(s.p.m.Code, wasmbin.Code{Locals: w.locals, Body: w.out})
	}
	return nil
}

// tableElement is what table t holds.
func (s *pieces) tableElement(t uint32) wasmbin.ValueType { return s.tables[t] }

// pieceWriter writes one function. Its parameters are those of the
// instruction: destination, source or value, and length.
type pieceWriter struct {
	emitter
	f      piece
	locals []wasmbin.LocalRun
}

const (
	argDest = iota
	argSource
	argLength
	varPiece
	varScratch
)

func (w *pieceWriter) write() (typ uint32) {
	i32 := wasmbin.I32
	three := []wasmbin.ValueType{i32, i32, i32}
	switch w.f.op {
	case wasmbin.OpMemoryGrow:
		w.grow(0, 1, []wasmbin.ValueType{i32})
		return w.p.typeOf([]wasmbin.ValueType{i32}, []wasmbin.ValueType{i32})
	case wasmbin.OpTableGrow:
		params := []wasmbin.ValueType{w.p.pieces.tableElement(w.f.a), i32}
		w.grow(1, 2, params)
		return w.p.typeOf(params, []wasmbin.ValueType{i32})
	case wasmbin.OpTableFill:
		three = []wasmbin.ValueType{i32, w.p.pieces.tableElement(w.f.a), i32}
	}
	w.locals = []wasmbin.LocalRun{{Count: 1, Type: i32}, {Count: 1, Type: wasmbin.I64}}
	w.scratch = varScratch
	w.short()
	w.bounds()
	w.pieces()
	w.op(wasmbin.OpEnd)
	return w.p.typeOf(three, nil)
}

func (w *pieceWriter) get(l uint32) { w.index(wasmbin.OpLocalGet, l) }

func (w *pieceWriter) ofMemory() bool {
	return w.f.op == wasmbin.OpMemoryFill || w.f.op == wasmbin.OpMemoryCopy || w.f.op == wasmbin.OpMemoryInit
}

func (w *pieceWriter) size() int32 {
	if w.ofMemory() {
		return pieceBytes
	}
	return pieceElements
}

// original writes the instruction itself.
func (w *pieceWriter) original() {
	w.out = wasmbin.AppendOpcode(w.out, w.f.op)
	switch w.f.op {
	case wasmbin.OpMemoryGrow, wasmbin.OpMemoryFill:
		w.out = append(w.out, 0)
	case wasmbin.OpMemoryCopy:
		w.out = append(w.out, 0, 0)
	case wasmbin.OpMemoryInit:
		w.out = append(wasmbin.AppendU32(w.out, w.f.a), 0)
	case wasmbin.OpTableFill, wasmbin.OpTableGrow:
		w.out = wasmbin.AppendU32(w.out, w.f.a)
	case wasmbin.OpTableInit:
		w.out = wasmbin.AppendU32(wasmbin.AppendU32(w.out, w.p.refs.segment(w.f.a)), w.f.b)
	default:
		w.out = wasmbin.AppendU32(wasmbin.AppendU32(w.out, w.f.a), w.f.b)
	}
}

func (w *pieceWriter) whole() {
	w.get(argDest)
	w.get(argSource)
	w.get(argLength)
	w.original()
}

// chargeLength takes fuel for as many bytes or elements as local n says.
func (w *pieceWriter) chargeLength(n uint32) {
	shift := int32(elemsPerUnit)
	if w.ofMemory() {
		shift = bytesPerUnit
	}
	w.chargeI32(func() {
		w.get(n)
		w.i32(shift)
		w.op(wasmbin.OpI32ShrU)
		w.i32(rangeBase)
		w.op(wasmbin.OpI32Add)
	})
}

// chargeI32 takes as many units as the code that push writes leaves.
func (w *pieceWriter) chargeI32(push func()) {
	w.index(wasmbin.OpGlobalGet, w.p.fuel)
	push()
	w.op(wasmbin.OpI64ExtendI32, wasmbin.OpI64Sub)
	w.index(wasmbin.OpLocalTee, w.scratch)
	w.index(wasmbin.OpGlobalSet, w.p.fuel)
	w.get(w.scratch)
	w.fuelIsOut()
	w.block(wasmbin.OpIf, wasmbin.BlockEmpty)
	w.refill()
	w.op(wasmbin.OpEnd)
}

// short does what is no longer than a piece.
func (w *pieceWriter) short() {
	w.get(argLength)
	w.i32(w.size())
	w.op(wasmbin.OpI32LeU)
	w.block(wasmbin.OpIf, wasmbin.BlockEmpty)
	w.chargeLength(argLength)
	w.whole()
	w.op(wasmbin.OpReturn, wasmbin.OpEnd)
}

// bounds lets the instruction itself trap where the whole range is not there.
func (w *pieceWriter) bounds() {
	w.sum(argDest)
	w.extent(w.f.op, w.destination())
	w.trapIfAbove()
	switch w.f.op {
	case wasmbin.OpMemoryCopy, wasmbin.OpTableCopy:
		w.sum(argSource)
		w.extent(w.f.op, w.f.b)
		w.trapIfAbove()
	case wasmbin.OpMemoryInit, wasmbin.OpTableInit:
		// A segment's length is its own secret, since it can be dropped; a
		// range of length zero at the end of ours tells.
		w.sum(argSource)
		w.i64(1<<32 - 1)
		w.trapIfAbove()
		w.i32(0)
		w.get(argSource)
		w.get(argLength)
		w.op(wasmbin.OpI32Add)
		w.i32(0)
		w.original()
	}
}

// destination is the table that the instruction writes to.
func (w *pieceWriter) destination() uint32 {
	if w.f.op == wasmbin.OpTableInit {
		return w.f.b
	}
	return w.f.a
}

// sum leaves the 64-bit end of the range that starts at local from.
func (w *pieceWriter) sum(from uint32) {
	w.get(from)
	w.op(wasmbin.OpI64ExtendI32)
	w.get(argLength)
	w.op(wasmbin.OpI64ExtendI32, wasmbin.OpI64Add)
}

// extent leaves the 64-bit size of the memory or of a table.
func (w *pieceWriter) extent(op wasmbin.Opcode, table uint32) {
	if w.ofMemory() {
		w.op(wasmbin.OpMemorySize, 0, wasmbin.OpI64ExtendI32)
		w.i64(16)
		w.op(wasmbin.OpI64Shl)
		return
	}
	w.out = wasmbin.AppendU32(wasmbin.AppendOpcode(w.out, wasmbin.OpTableSize), table)
	w.op(wasmbin.OpI64ExtendI32)
}

func (w *pieceWriter) trapIfAbove() {
	w.op(wasmbin.OpI64GtU)
	w.block(wasmbin.OpIf, wasmbin.BlockEmpty)
	w.whole()
	w.op(wasmbin.OpUnreachable, wasmbin.OpEnd)
}

// pieces does the range piece by piece: a copy to higher places from its end.
func (w *pieceWriter) pieces() {
	w.block(wasmbin.OpLoop, wasmbin.BlockEmpty)
	w.get(argLength) // piece = min(length, size)
	w.i32(w.size())
	w.get(argLength)
	w.i32(w.size())
	w.op(wasmbin.OpI32LtU, wasmbin.OpSelect)
	w.index(wasmbin.OpLocalSet, varPiece)
	w.chargeLength(varPiece)
	copies := w.f.op == wasmbin.OpMemoryCopy || w.f.op == wasmbin.OpTableCopy
	if copies {
		w.get(argDest)
		w.get(argSource)
		w.op(wasmbin.OpI32GtU)
		w.block(wasmbin.OpIf, wasmbin.BlockEmpty)
		w.lastPiece(argDest)
		w.lastPiece(argSource)
		w.get(varPiece)
		w.original()
		w.op(wasmbin.OpElse)
	}
	w.get(argDest)
	w.get(argSource)
	w.get(varPiece)
	w.original()
	w.advance(argDest)
	if w.f.op != wasmbin.OpMemoryFill && w.f.op != wasmbin.OpTableFill {
		w.advance(argSource)
	}
	if copies {
		w.op(wasmbin.OpEnd)
	}
	w.get(argLength)
	w.get(varPiece)
	w.op(wasmbin.OpI32Sub)
	w.index(wasmbin.OpLocalTee, argLength)
	w.index(wasmbin.OpBrIf, 0)
	w.op(wasmbin.OpEnd)
}

// lastPiece leaves where the last piece of the rest starts.
func (w *pieceWriter) lastPiece(from uint32) {
	w.get(from)
	w.get(argLength)
	w.op(wasmbin.OpI32Add)
	w.get(varPiece)
	w.op(wasmbin.OpI32Sub)
}

func (w *pieceWriter) advance(l uint32) {
	w.get(l)
	w.get(varPiece)
	w.op(wasmbin.OpI32Add)
	w.index(wasmbin.OpLocalSet, l)
}

// grow charges memory.grow and table.grow by the size that they ask for, since
// growing may copy. They can't be split: growing is all or nothing.
func (w *pieceWriter) grow(length, scratch uint32, params []wasmbin.ValueType) {
	w.locals = []wasmbin.LocalRun{{Count: 1, Type: wasmbin.I64}}
	w.scratch = scratch
	memory := w.f.op == wasmbin.OpMemoryGrow
	w.chargeI32(func() {
		if memory {
			w.growPages(length)
		} else {
			w.growElements(length)
		}
		w.i32(growBase)
		w.op(wasmbin.OpI32Add)
	})
	for i := range params {
		w.get(uint32(i))
	}
	w.original()
	w.op(wasmbin.OpEnd)
}

// growPages leaves 16 units for each page there will be; nothing for what is
// sure to fail.
func (w *pieceWriter) growPages(length uint32) {
	w.get(length)
	w.out = append(w.out, byte(wasmbin.OpMemorySize), 0)
	w.op(wasmbin.OpI32Add)
	w.i32(4)
	w.op(wasmbin.OpI32Shl)
	w.i32(0)
	w.get(length)
	w.i32(1 << 16)
	w.op(wasmbin.OpI32LeU, wasmbin.OpSelect)
}

// growElements leaves a unit for each 8 elements that there will be.
func (w *pieceWriter) growElements(length uint32) {
	w.get(length)
	w.i32(3)
	w.op(wasmbin.OpI32ShrU)
	w.out = wasmbin.AppendU32(wasmbin.AppendOpcode(w.out, wasmbin.OpTableSize), w.f.a)
	w.i32(3)
	w.op(wasmbin.OpI32ShrU, wasmbin.OpI32Add)
}
