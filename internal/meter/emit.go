package meter

import "github.com/wirehost/wirehost/internal/wasmbin"

// emitter writes the bodies again, with the charges in them.
type emitter struct {
	p       *plan
	scan    *wasmbin.Scanner
	out     []byte
	body    []byte
	copied  int // bytes of body that are in out or replaced
	labels  []label
	top     uint32 // new number of the innermost open block, counted from the function's
	scratch uint32 // the first of our locals: for fuel, and where the function is counted, for the stack left
}

// label is an open block of the original.
type label struct {
	at   uint32 // number of the new block that branches to it lead to
	loop bool   // needs closing
}

// emit appends the new body of function i and gives its locals.
func (e *emitter) emit(i int) (body []byte, locals []wasmbin.LocalRun, err error) {
	code, f := &e.p.m.Code[i], &e.p.functions[i]
	typ := e.p.m.Functions[i]
	params := len(e.p.m.Types[typ].Params)
	e.scan.Reset(code, params)
	e.body, e.copied, e.top = code.Body, 0, 0
	e.labels = e.labels[:0]
	e.scratch = uint32(e.scan.Locals())
	start := len(e.out)

	next := 1 // of f.points
	if f.counted {
		e.enter(f.frame)
		e.block(wasmbin.OpBlock, e.p.resultBlock(typ))
		e.top = 1
	}
	if f.points[0].kind != pointNone {
		e.charge(f.points[0].weight)
	}
	e.labels = append(e.labels, label{at: e.top})
	for in := (wasmbin.Instr{}); e.scan.Next(&in); {
		var at *point
		for next < len(f.points) && int(f.points[next].at) == in.Start {
			at = &f.points[next]
			next++
			switch {
			case at.kind == pointPlain:
				e.flush(in.Start)
				e.charge(at.weight)
			case at.kind == pointDebit && at.weight > 0:
				e.flush(in.Start)
				e.debit(at.weight)
			}
		}
		e.instruction(&in, at)
	}
	if err := e.scan.Err(); err != nil {
		return nil, nil, err
	}
	e.flush(len(e.body))
	if f.counted {
		e.leave()
		e.op(wasmbin.OpEnd)
	}
	locals = append(code.Locals[:len(code.Locals):len(code.Locals)], wasmbin.LocalRun{Count: 1, Type: wasmbin.I64})
	if f.counted {
		locals = append(locals, wasmbin.LocalRun{Count: 1, Type: wasmbin.I32})
	}
	return e.out[start:len(e.out):len(e.out)], locals, nil
}

func (e *emitter) instruction(in *wasmbin.Instr, at *point) {
	switch in.Op {
	case wasmbin.OpLoop:
		if at != nil && at.kind == pointLoop {
			e.flush(in.Start)
			e.copied = in.End
			e.openLoop(in.Block, at.weight)
			return
		}
		e.open()
	case wasmbin.OpBlock, wasmbin.OpIf:
		e.open()
	case wasmbin.OpEnd:
		e.end(in)
	case wasmbin.OpBr, wasmbin.OpBrIf:
		if to := e.label(in.Index); to != in.Index {
			e.replace(in, in.Op, to)
		}
	case wasmbin.OpBrTable:
		e.table(in)
	case wasmbin.OpReturn:
		if e.labels[0].at != 0 {
			e.replace(in, wasmbin.OpBr, e.top-e.labels[0].at)
		}
	case wasmbin.OpRefFunc:
		e.reference(in)
	case wasmbin.OpElemDrop:
		e.dropElement(in)
	case wasmbin.OpCall:
		if in.Index >= e.p.imported {
			e.replace(in, in.Op, in.Index+1)
		}
	default:
		if isRange(in.Op) {
			e.replace(in, wasmbin.OpCall, e.p.pieces.function(in))
		}
	}
}

func (e *emitter) open() {
	e.top++
	e.labels = append(e.labels, label{at: e.top})
}

// label gives the new number of a label.
func (e *emitter) label(old uint32) uint32 {
	return e.top - e.labels[len(e.labels)-1-int(old)].at
}

func (e *emitter) end(in *wasmbin.Instr) {
	l := e.labels[len(e.labels)-1]
	e.labels = e.labels[:len(e.labels)-1]
	if l.loop {
		e.flush(in.End)
		e.closeLoop()
		e.top -= 4
		return
	}
	e.top--
}

func (e *emitter) table(in *wasmbin.Instr) {
	e.flush(in.Start)
	e.copied = in.End
	e.op(wasmbin.OpBrTable)
	n := 0
	e.scan.EachLabel(in, func(uint32) { n++ })
	e.out = wasmbin.AppendU32(e.out, uint32(n-1))
	e.scan.EachLabel(in, func(l uint32) { e.out = wasmbin.AppendU32(e.out, e.label(l)) })
}

// flush copies the body up to offset to.
func (e *emitter) flush(to int) {
	if e.copied < to {
		e.out = append(e.out, e.body[e.copied:to]...)
		e.copied = to
	}
}

// replace writes another instruction in the place of in.
func (e *emitter) replace(in *wasmbin.Instr, op wasmbin.Opcode, index uint32) {
	e.flush(in.Start)
	e.index(op, index)
	e.copied = in.End
}

func (e *emitter) op(ops ...wasmbin.Opcode) {
	for _, op := range ops {
		e.out = append(e.out, byte(op))
	}
}

func (e *emitter) index(op wasmbin.Opcode, i uint32) {
	e.out = wasmbin.AppendU32(append(e.out, byte(op)), i)
}

func (e *emitter) i64(v int64) {
	e.out = wasmbin.AppendS64(append(e.out, byte(wasmbin.OpI64Const)), v)
}

func (e *emitter) i32(v int32) {
	e.out = wasmbin.AppendS64(append(e.out, byte(wasmbin.OpI32Const)), int64(v))
}

func (e *emitter) block(op wasmbin.Opcode, t wasmbin.BlockType) {
	e.out = wasmbin.AppendS64(append(e.out, byte(op)), int64(t))
}

// take subtracts amount from the fuel and leaves what is left on the stack and
// in the scratch local.
func (e *emitter) take(amount int64) {
	e.index(wasmbin.OpGlobalGet, e.p.fuel)
	e.i64(amount)
	e.op(wasmbin.OpI64Sub)
	e.index(wasmbin.OpLocalTee, e.scratch)
	e.index(wasmbin.OpGlobalSet, e.p.fuel)
	e.index(wasmbin.OpLocalGet, e.scratch)
}

// fuelIsOut leaves whether the fuel on the stack is below zero.
func (e *emitter) fuelIsOut() {
	e.i64(0)
	e.op(wasmbin.OpI64LtS)
}

// refill lets the host decide.
func (e *emitter) refill() {
	e.index(wasmbin.OpLocalGet, e.scratch)
	e.index(wasmbin.OpCall, e.p.refill)
	e.index(wasmbin.OpGlobalSet, e.p.fuel)
}

// charge takes fuel, in place.
func (e *emitter) charge(weight uint32) {
	e.take(int64(weight))
	e.fuelIsOut()
	e.block(wasmbin.OpIf, wasmbin.BlockEmpty)
	e.refill()
	e.op(wasmbin.OpEnd)
}

// debit takes fuel that nobody looks at here.
func (e *emitter) debit(weight uint32) {
	e.index(wasmbin.OpGlobalGet, e.p.fuel)
	e.i64(int64(weight))
	e.op(wasmbin.OpI64Sub)
	e.index(wasmbin.OpGlobalSet, e.p.fuel)
}

// enter takes a frame's bytes from the stack that is left, and keeps in a local
// how much there was; leave gives that back.
func (e *emitter) enter(frame uint32) {
	e.index(wasmbin.OpGlobalGet, e.p.stack)
	e.index(wasmbin.OpLocalTee, e.scratch+1)
	e.i32(int32(frame))
	e.op(wasmbin.OpI32Sub)
	e.index(wasmbin.OpGlobalSet, e.p.stack)
	e.index(wasmbin.OpLocalGet, e.scratch+1)
	e.i32(int32(frame))
	e.op(wasmbin.OpI32LtS)
	e.block(wasmbin.OpIf, wasmbin.BlockEmpty)
	e.i64(stackIsOut)
	e.index(wasmbin.OpCall, e.p.refill)
	e.op(wasmbin.OpUnreachable, wasmbin.OpEnd)
}

func (e *emitter) leave() {
	e.index(wasmbin.OpLocalGet, e.scratch+1)
	e.index(wasmbin.OpGlobalSet, e.p.stack)
}

// openLoop writes a loop of type t as two:
//
//	block t            ;; left when the loop ends
//	  loop t           ;; entered again after each refill
//	    block          ;; left when the fuel is out
//	      loop t       ;; the original
//	        take; br_if 1
//	        ...
//	      end
//	      br 2
//	    end
//	    call refill
//	    br 0
//	  end
//	end
//
// The slow call stands outside the inner loop, so that the compiler keeps the
// inner loop's values in registers; see RATIONALE.md.
func (e *emitter) openLoop(t wasmbin.BlockType, weight uint32) {
	e.block(wasmbin.OpBlock, t)
	e.block(wasmbin.OpLoop, t)
	e.block(wasmbin.OpBlock, e.p.paramBlock(t))
	e.block(wasmbin.OpLoop, t)
	e.take(int64(max(weight, 1)))
	e.fuelIsOut()
	e.index(wasmbin.OpBrIf, 1)
	e.top += 4
	e.labels = append(e.labels, label{at: e.top, loop: true})
}

func (e *emitter) closeLoop() {
	e.index(wasmbin.OpBr, 2)
	e.op(wasmbin.OpEnd)
	e.refill()
	e.index(wasmbin.OpBr, 0)
	e.op(wasmbin.OpEnd, wasmbin.OpEnd)
}
