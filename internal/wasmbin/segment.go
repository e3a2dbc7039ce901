package wasmbin

import "fmt"

// readExpr reads a constant expression of WebAssembly 2.0: one instruction.
func (d *decoder) readExpr(r *reader) Expr {
	start := r.pos
	e := Expr{Op: Opcode(r.byte("a constant expression"))}
	if e.Op == prefixSIMD {
		e.Op = simd(r.u32("an instruction"))
	}
	at := r.pos
	switch e.Op {
	case OpI32Const:
		r.sleb(32, "an i32")
	case OpI64Const:
		r.sleb(64, "an i64")
	case OpF32Const:
		r.bytes(4, "an f32")
	case OpF64Const:
		r.bytes(8, "an f64")
	case OpV128Const:
		r.bytes(16, "a v128")
	case OpRefNull:
		readReferenceType(r)
	case OpGlobalGet:
		e.Index = r.u32("a global")
		d.index(r, at, KindGlobal, e.Index)
	case OpRefFunc:
		e.Index = r.u32("a function")
		d.index(r, at, KindFunction, e.Index)
	default:
		r.fail(start, e.Op.String(), "a constant, global.get, ref.null or ref.func")
	}
	if r.err != nil {
		return e
	}
	e.Raw = r.b[start:r.pos:r.pos]
	at = r.pos
	if end := r.byte("the end of the expression"); Opcode(end) != OpEnd {
		r.fail(at, Opcode(end).String(), "the end of the expression")
	}
	return e
}

// readElement reads an element segment in one of its eight forms: bit 0 says
// passive or declarative, bit 1 that a table index (or, with bit 0, that it is
// declarative), bit 2 that expressions follow instead of function indices.
func (d *decoder) readElement(r *reader, e *Element) {
	start := r.pos
	e.flags = r.u32("a segment")
	if e.flags > 7 {
		r.fail(start, fmt.Sprintf("a segment of form %d", e.flags), "form 0 to 7")
		return
	}
	e.Type = Funcref
	switch e.flags & 3 {
	case 1:
		e.Mode = ElementPassive
	case 3:
		e.Mode = ElementDeclarative
	default:
		at := r.pos
		if e.flags&2 != 0 {
			e.Table = r.u32("a table")
		}
		d.index(r, at, KindTable, e.Table)
		e.Offset = d.readExpr(r)
	}
	exprs := e.flags&4 != 0
	if e.flags&3 != 0 {
		at := r.pos
		if exprs {
			e.Type = readReferenceType(r)
		} else if kind := r.byte("an element kind"); kind != 0 {
			r.fail(at, fmt.Sprintf("element kind %#x", kind), "0, functions")
		}
	}
	d.countElements(r)
	if exprs {
		e.Exprs = vector(r, 2, MaxElements, "elements", func(x *Expr) { *x = d.readExpr(r) })
		return
	}
	e.Functions = vector(r, 1, MaxElements, "elements", func(f *uint32) {
		at := r.pos
		*f = r.u32("a function")
		d.index(r, at, KindFunction, *f)
	})
}

// countElements looks at the number that comes next, and adds it to those of the
// segments before.
func (d *decoder) countElements(r *reader) {
	ahead := *r
	d.elements += ahead.count(1, "elements")
	r.tooMany(r.pos, uint64(d.elements), "elements of all segments", MaxElements)
}

func (d *decoder) readData(r *reader, s *Data) {
	start := r.pos
	s.flags = r.u32("a segment")
	switch s.flags {
	case 0, 2:
		at := r.pos
		if s.flags == 2 {
			s.Memory = r.u32("a memory")
		}
		d.index(r, at, KindMemory, s.Memory)
		s.Offset = d.readExpr(r)
	case 1:
		s.Passive = true
	default:
		r.fail(start, fmt.Sprintf("a segment of form %d", s.flags), "form 0 to 2")
	}
	s.Init = r.bytes(r.count(1, "bytes of data"), "data")
}

func (d *decoder) readCode(r *reader) {
	n := r.count(2, "bodies")
	if n != len(d.m.Functions) {
		r.fail(0, fmt.Sprintf("%d bodies", n), fmt.Sprintf("%d, one for each function", len(d.m.Functions)))
		return
	}
	d.m.Code = make([]Code, n)
	for i := range d.m.Code {
		at := r.pos
		body := r.bytes(int(r.u32("the size of a body")), "a body")
		if r.tooMany(at, uint64(len(body)), "bytes of a body", MaxBody); r.err != nil {
			return
		}
		params := len(d.m.Types[d.m.Functions[i]].Params)
		b := reader{b: body, base: r.base + r.pos - len(body), where: r.where}
		d.readBody(&b, &d.m.Code[i], params)
		if b.err != nil {
			b.err.(*Error).Where = fmt.Sprintf("%s, body %d", r.where, i) //nolint:errorlint // fail alone sets it
			r.err = b.err
			return
		}
		if len(d.m.Code[i].Body) == 0 {
			r.fail(at, "an empty body", "instructions")
		}
	}
}

// readBody splits a body into its locals, in a slice that all bodies share, and
// its instructions, which it does not look at.
func (d *decoder) readBody(r *reader, c *Code, params int) {
	from := len(d.locals)
	total := uint64(params)
	for range r.count(2, "runs of locals") {
		at := r.pos
		run := LocalRun{Count: r.u32("a number of locals"), Type: readValueType(r)}
		total += uint64(run.Count)
		d.allLocals += uint64(run.Count)
		r.tooMany(at, total, "locals", MaxLocals)
		r.tooMany(at, d.allLocals, "locals of all functions", MaxAllLocals)
		if r.err != nil {
			return
		}
		d.locals = append(d.locals, run)
	}
	c.Locals = d.locals[from:len(d.locals):len(d.locals)]
	c.Offset = r.base + r.pos
	c.Body = r.bytes(r.left(), "instructions")
}
