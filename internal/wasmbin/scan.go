package wasmbin

import "fmt"

// BlockType is the type of a block, loop or if: a type index, or, below zero,
// the code of an empty or a one-result type as a signed number.
type BlockType int64

// BlockEmpty is the type of a block that takes and leaves nothing.
const BlockEmpty BlockType = -64

// Instr is one instruction. The slots that its opcode has are set.
type Instr struct {
	Op         Opcode
	Start, End int // offsets in the body
	// Index is a label, local, global, function, type, table or segment: the
	// first of the immediates. Labels and all indices name something.
	Index  uint32
	Index2 uint32    // call_indirect, table.init: the table; table.copy: the source
	Block  BlockType // block, loop, if
	Labels int       // br_table: offset in the body of the number of labels
}

// Scanner walks over the instructions of one body after another, and checks
// their form, their nesting and every index in them.
type Scanner struct {
	r      reader
	spaces spaces
	types  int
	datas  int
	elems  int
	locals int

	depth   int // open blocks
	blocks  int // so far, in this body
	targets int // likewise, of br_table
	ended   bool
}

// NewScanner returns a scanner for the bodies of m. It keeps no reference to m.
func NewScanner(m *Module) *Scanner {
	s := &Scanner{types: len(m.Types), elems: len(m.Elements)}
	s.spaces = spaces{
		functions: m.ImportedFunctions() + len(m.Functions),
		tables:    m.ImportedTables() + len(m.Tables),
		memories:  m.ImportedMemories() + len(m.Memories),
		globals:   m.ImportedGlobals() + len(m.Globals),
	}
	if m.DataCount != nil {
		s.datas = int(*m.DataCount)
	}
	return s
}

// Reset starts on the body of c; params is the number of its parameters.
func (s *Scanner) Reset(c *Code, params int) {
	s.r = reader{b: c.Body, base: c.Offset, where: SectionCode.String()}
	s.depth, s.blocks, s.targets, s.ended = 0, 0, 0, false
	s.locals = params
	for _, run := range c.Locals {
		s.locals += int(run.Count)
	}
}

// Depth is the number of blocks that are open after the last instruction: a
// label of that number is the function's own.
func (s *Scanner) Depth() int { return s.depth }

// Locals is the number of locals, parameters included.
func (s *Scanner) Locals() int { return s.locals }

// Err is what Next stopped at, nil at the end of the body.
func (s *Scanner) Err() error { return s.r.err }

// Next reads an instruction into in and reports whether there was one.
func (s *Scanner) Next(in *Instr) bool {
	r := &s.r
	if r.pos >= len(r.b) {
		if r.err == nil && !s.ended {
			r.fail(r.pos, "the end of the body", fmt.Sprintf("%d more end instructions", s.depth+1))
		}
		return false
	}
	in.Start = r.pos
	if s.ended {
		r.fail(r.pos, "instructions", "nothing after the function's end")
		return false
	}
	op := Opcode(r.b[r.pos])
	r.pos++
	in.Op = op
	kind := immediates[0][op]
	switch {
	case kind == immNone:
		switch op {
		case OpEnd:
			if s.depth == 0 {
				s.ended = true
			} else {
				s.depth--
			}
		}
	case op == OpLocalGet, op == OpLocalSet, op == OpLocalTee:
		in.Index = s.index("local", s.locals)
	default:
		s.immediate(in, kind)
	}
	in.End = r.pos
	return r.err == nil
}

// index reads an index and refuses one that names nothing.
func (s *Scanner) index(what string, n int) uint32 {
	at := s.r.pos
	i := s.r.u32(what)
	if int64(i) >= int64(n) {
		s.r.fail(at, fmt.Sprintf("%s %d", what, i), fmt.Sprintf("one of %d", n))
	}
	return i
}

func (s *Scanner) immediate(in *Instr, kind immediate) {
	r := &s.r
	switch kind {
	case immBlock:
		in.Block = s.blockType()
		s.open(in.Start)
	case immLabel:
		in.Index = s.index("label", s.depth+1)
	case immTable:
		s.labels(in)
	case immFunction:
		in.Index = s.index("function", s.spaces.functions)
	case immIndirect:
		in.Index = s.index("type", s.types)
		in.Index2 = s.index("table", s.spaces.tables)
	case immTypes:
		for range r.count(1, "types") {
			readValueType(r)
		}
	case immGlobal:
		in.Index = s.index("global", s.spaces.globals)
	case immTableRef:
		in.Index = s.index("table", s.spaces.tables)
	case immMemarg:
		s.memarg()
	case immMemory:
		s.memory()
	case immI32:
		r.sleb(32, "an i32")
	case immI64:
		r.sleb(64, "an i64")
	case immF32:
		r.bytes(4, "an f32")
	case immF64:
		r.bytes(8, "an f64")
	case immRefType:
		readReferenceType(r)
	case immMisc:
		in.Op = misc(r.u32("an instruction"))
		s.prefixed(in, 1)
	case immSIMD:
		in.Op = simd(r.u32("an instruction"))
		s.prefixed(in, 2)
	default:
		s.unknown(in)
	}
}

// prefixed reads the immediates of an instruction of two codes.
func (s *Scanner) prefixed(in *Instr, page int) {
	r := &s.r
	kind := immInvalid
	if in.Op != OpInvalid {
		kind = immediates[page][in.Op&0xff]
	}
	switch kind {
	case immNone:
	case immTableRef:
		in.Index = s.index("table", s.spaces.tables)
	case immTwoTables:
		in.Index = s.index("table", s.spaces.tables)
		in.Index2 = s.index("table", s.spaces.tables)
	case immElem:
		in.Index = s.index("element segment", s.elems)
	case immElemTable:
		in.Index = s.index("element segment", s.elems)
		in.Index2 = s.index("table", s.spaces.tables)
	case immData:
		in.Index = s.index("counted data segment", s.datas)
	case immDataMemory:
		in.Index = s.index("counted data segment", s.datas)
		s.memory()
	case immMemory:
		s.memory()
	case immTwoMemory:
		s.memory()
		s.memory()
	case immMemarg:
		s.memarg()
	case immMemargLane:
		s.memarg()
		r.byte("a lane")
	case immLane:
		r.byte("a lane")
	case immV128, immShuffle:
		r.bytes(16, "16 bytes")
	default:
		s.unknown(in)
	}
}

// open counts a block.
func (s *Scanner) open(at int) {
	s.depth++
	s.blocks++
	if s.depth > MaxDepth || s.blocks > MaxBlocks {
		s.r.tooMany(at, uint64(s.depth), "blocks inside one another", MaxDepth)
		s.r.tooMany(at, uint64(s.blocks), "blocks in one function", MaxBlocks)
	}
}

func (s *Scanner) unknown(in *Instr) {
	found := in.Op.String()
	if in.Op == OpInvalid {
		found = fmt.Sprintf("instruction % x", s.r.b[in.Start:min(s.r.pos, len(s.r.b))])
	}
	if name := proposal(s.r.b[in.Start:]); name != "" {
		found += " (" + name + ")"
	}
	s.r.fail(in.Start, found, "an instruction of WebAssembly 2.0")
}

func (s *Scanner) blockType() BlockType {
	at := s.r.pos
	t := BlockType(s.r.sleb(33, "a block type"))
	switch {
	case t >= 0:
		if int64(t) >= int64(s.types) {
			s.r.fail(at, fmt.Sprintf("type %d", t), fmt.Sprintf("one of %d", s.types))
		}
	case t == BlockEmpty:
	case t < BlockEmpty || !isValue(ValueType(t&0x7f)):
		s.r.fail(at, fmt.Sprintf("block type %d", t), "empty, a value type or a type index")
	}
	return t
}

func (s *Scanner) labels(in *Instr) {
	at := s.r.pos
	in.Labels = at
	n := s.r.count(1, "labels")
	s.targets += n
	if s.r.tooMany(at, uint64(n), "labels", MaxTargets) ||
		s.r.tooMany(at, uint64(s.targets), "labels of br_table in one function", MaxAllTargets) {
		return
	}
	for range n + 1 {
		if s.index("label", s.depth+1); s.r.err != nil {
			return
		}
	}
}

// EachLabel reads the labels of a br_table again, the default last.
func (s *Scanner) EachLabel(in *Instr, each func(label uint32)) {
	r := reader{b: s.r.b[:in.End], pos: in.Labels}
	for n := r.u32(""); ; n-- {
		each(r.u32(""))
		if n == 0 {
			return
		}
	}
}

// memarg reads an alignment and an offset. From 64 on the alignment's bits mean
// other things in later versions.
func (s *Scanner) memarg() {
	at := s.r.pos
	if align := s.r.u32("an alignment"); align > 4 {
		found := fmt.Sprintf("alignment 2^%d", align)
		if align&64 != 0 {
			found = "a memory index (multi-memory)"
		}
		s.r.fail(at, found, "an alignment of at most 2^4")
	}
	s.r.u32("an offset") // 64 bits with memory64, which no memory here has
}

func (s *Scanner) memory() {
	at := s.r.pos
	if m := s.r.byte("memory 0"); m != 0 {
		s.r.fail(at, fmt.Sprintf("memory %d (multi-memory)", m), "memory 0")
	}
}
