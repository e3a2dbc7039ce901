package meter

import (
	"errors"
	"slices"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

// pointKind is how a charge is made.
type pointKind uint8

const (
	pointNone  pointKind = iota // nothing to charge
	pointPlain                  // charge, and call refill in place
	pointLoop                   // two nested loops; see emitter.openLoop
	pointDebit                  // charge, and leave it to the next of the others to call refill
)

// point is a place in a body where fuel is charged.
type point struct {
	at     uint32 // offset in the body of the instruction before which it stands
	weight uint32 // of the longest path that it pays for; at most maxPiece
	kind   pointKind
	head   bool // a loop's, whatever its kind
}

// function is what the analysis keeps of one body.
type function struct {
	points   []point
	calls    []uint32 // functions that it calls, counted from the first defined one
	indirect []uint32 // types of call_indirect, each once
	frame    uint32   // bytes of stack; see frame.go
	light    bool     // paid for by its callers
	counted  bool     // weighs on the stack
}

// control is an open block during the analysis.
type control struct {
	loop     bool
	dead     bool   // opened where no path leads
	implicit bool   // an if, without an else so far
	targeted bool   // branched to, or an if: paths meet here
	tabled   bool   // a br_table leads to its label
	changed  bool   // another point than entry came in force inside
	own      uint32 // a loop's point
	entry    uint32 // the point in force when it was opened
	opened   uint32 // the path's weight there
	frozen   uint32 // the path's weight when it changed
	longest  int64  // the weightiest path to the label of a block, below zero for none
	arity    int    // values that its label takes
	sets     uint64 // frame.sets when it was opened
}

// analyser scans one body after another.
//
// Every instruction is paid for by one point that comes before it on each path:
// the point in force where its block was opened, or a later one in the block. A
// point pays for the weightiest path from it; paths through a loop inside are
// the loop's own. A branch forward takes its path's weight along to its label,
// a branch back leads to a loop's head, which is a point.
type analyser struct {
	m        *wasmbin.Module
	scan     *wasmbin.Scanner
	imported uint32   // functions
	types    []uint32 // of functions
	light    []uint8  // by defined function: its weight if it is light, else 0
	referred []bool   // functions that ref.func names
	lastUse  []int    // by type: the last body with a call_indirect of it, plus 1

	body    int
	f       *function
	stack   []control
	changes []int  // the blocks of stack that changed, outermost first
	current uint32 // the point in force
	path    uint32 // weight of the weightiest path from there to here
	dead    bool   // no path leads here
	frame   frame

	values, allValues uint64 // see checkValues
	size              int    // bytes of the module

	tables    bool    // the body has a br_table
	apart     bool    // each block that it leads to pays for itself: see payApart
	earlier   []point // then those that were found before
	straight  bool    // nothing but plain instructions so far
	loopFirst bool    // every path comes to the head of the first loop
}

func newAnalyser(m *wasmbin.Module) *analyser {
	types := m.FunctionTypes()
	return &analyser{
		m: m, scan: wasmbin.NewScanner(m), imported: uint32(m.ImportedFunctions()), types: types,
		light: make([]uint8, len(m.Code)), referred: make([]bool, len(types)), lastUse: make([]int, len(m.Types)),
	}
}

// weigh finds out whether body i is light: short, and without calls, loops and
// work on ranges. Its form is checked later.
func (a *analyser) weigh(i int) {
	code := &a.m.Code[i]
	if len(code.Body) > maxLightBytes {
		return
	}
	a.scan.Reset(code, len(a.m.Types[a.m.Functions[i]].Params))
	weight := max(uint32(a.scan.Locals())/8, 1)
	for in := (wasmbin.Instr{}); a.scan.Next(&in); {
		switch in.Op {
		case wasmbin.OpLoop, wasmbin.OpCall, wasmbin.OpCallIndirect:
			return
		}
		if isRange(in.Op) {
			return
		}
		weight += uint32(weights[in.Op])
	}
	if weight <= maxLight && a.scan.Err() == nil {
		a.light[i] = uint8(weight)
	}
}

// analyse finds the points of body i, the calls in it and its frame.
func (a *analyser) analyse(i int, f *function) error {
	a.f, a.body, a.apart, a.tables = f, i, false, false
	if err := errors.Join(a.walk(), a.checkValues()); err != nil {
		return err
	}
	if a.tables && a.heaviest() > mostApart {
		if err := a.payApart(); err != nil {
			return err
		}
	}
	f.frame = a.frame.bytes()
	a.settle()
	return nil
}

// walk goes over the body from its start.
func (a *analyser) walk() error {
	f, code := a.f, &a.m.Code[a.body]
	sig := &a.m.Types[a.m.Functions[a.body]]
	a.scan.Reset(code, len(sig.Params))
	a.current, a.dead = 0, false
	a.straight, a.loopFirst = true, false
	a.stack = append(a.stack[:0], control{arity: len(sig.Results)})
	a.changes = a.changes[:0]
	a.frame.reset(sig, code)
	a.values = 0
	a.path = min(uint32(a.scan.Locals())/8, maxPiece) // zeroing locals takes time, too
	f.points = append(f.points, point{kind: pointPlain, weight: a.path})
	for in := (wasmbin.Instr{}); a.values <= maxValues && a.scan.Next(&in); {
		a.instruction(&in)
	}
	return a.scan.Err()
}

// heaviest is the most that a point of the body pays for.
func (a *analyser) heaviest() (most uint32) {
	for i := range a.f.points {
		most = max(most, a.f.points[i].weight)
	}
	return most
}

// payApart goes over the body again, with a point behind each block to which a
// br_table leads. These points only take fuel: where it is looked at stays as it
// was, so that no path between two looks becomes longer.
func (a *analyser) payApart() error {
	a.earlier = append(a.earlier[:0], a.f.points[1:]...)
	a.f.points, a.f.calls = a.f.points[:0], a.f.calls[:0]
	a.apart = true
	return a.walk()
}

// looks reports whether a point of the first walk stands here, and takes it. Those
// of loops come by themselves.
func (a *analyser) looks(at int) bool {
	for len(a.earlier) > 0 && int(a.earlier[0].at) < at {
		a.earlier = a.earlier[1:]
	}
	if len(a.earlier) == 0 || int(a.earlier[0].at) != at || a.earlier[0].head {
		return false
	}
	a.earlier = a.earlier[1:]
	return true
}

func (a *analyser) instruction(in *wasmbin.Instr) {
	switch in.Op {
	case wasmbin.OpLocalSet, wasmbin.OpLocalTee:
		a.frame.sets++
		a.add(in.Start, weightPlain)
	case wasmbin.OpBlock, wasmbin.OpIf, wasmbin.OpLoop:
		a.open(in)
	case wasmbin.OpElse:
		a.otherwise()
	case wasmbin.OpEnd:
		a.end(in.End)
	case wasmbin.OpBr, wasmbin.OpBrIf:
		a.add(in.Start, weightPlain)
		a.branch(in.Index)
		a.dead = a.dead || in.Op == wasmbin.OpBr
	case wasmbin.OpBrTable:
		a.add(in.Start, uint32(weights[in.Op]))
		a.tables = true
		a.scan.EachLabel(in, func(label uint32) {
			a.stack[len(a.stack)-1-int(label)].tabled = true
			a.branch(label)
		})
		a.dead = true
	case wasmbin.OpReturn, wasmbin.OpUnreachable:
		a.countValues(a.stack[0].arity)
		a.add(in.Start, weightPlain)
		a.straight, a.dead = false, true
	case wasmbin.OpCall:
		a.call(in)
	case wasmbin.OpCallIndirect:
		a.straight = false
		if a.lastUse[in.Index] <= a.body {
			a.lastUse[in.Index] = a.body + 1
			a.f.indirect = append(a.f.indirect, in.Index)
		}
		a.frame.call(&a.m.Types[in.Index])
		a.countValues(valuesOf(&a.m.Types[in.Index]))
		a.add(in.Start, weightIndirect+a.arity(in.Index))
	case wasmbin.OpRefFunc:
		a.referred[in.Index] = true
		a.frame.values++
		a.add(in.Start, uint32(weights[in.Op]))
	default:
		a.frame.values += uint64(produces[in.Op])
		a.add(in.Start, uint32(weights[in.Op]))
	}
}

// add puts weight on the path. Where that would be more than a point may pay
// for, a new one comes before the instruction.
func (a *analyser) add(at int, weight uint32) {
	if a.dead {
		return
	}
	if a.apart && a.looks(at) || !a.apart && a.path+weight > maxPiece && a.path > 0 {
		a.change()
		a.begin(at, pointPlain)
	}
	a.path += weight
	if p := &a.f.points[a.current]; a.path > p.weight {
		p.weight = a.path
	}
}

// begin puts a new point in force.
func (a *analyser) begin(at int, kind pointKind) {
	a.current, a.path = uint32(len(a.f.points)), 0
	a.f.points = append(a.f.points, point{at: uint32(at), kind: kind})
}

// change notes that the innermost block is about to get another point.
func (a *analyser) change() {
	c := &a.stack[len(a.stack)-1]
	if !c.changed {
		c.changed, c.frozen = true, a.path
		a.changes = append(a.changes, len(a.stack)-1)
	}
}

func (a *analyser) open(in *wasmbin.Instr) {
	a.add(in.Start, uint32(weights[in.Op]))
	params, results := a.blockArity(in.Block)
	a.countValues(2 * (params + results)) // they come back at its end, or else
	a.stack = append(a.stack, control{
		implicit: in.Op == wasmbin.OpIf, targeted: in.Op == wasmbin.OpIf, dead: a.dead, entry: a.current,
		opened: a.path, longest: -1,
		arity: results, sets: a.frame.sets,
	})
	if in.Op == wasmbin.OpLoop {
		c := &a.stack[len(a.stack)-1]
		c.arity = params
		if !a.dead {
			if len(a.f.points) == 1 {
				a.loopFirst = a.straight
			}
			a.change()
			a.begin(in.Start, pointLoop)
			a.f.points[a.current].head = true
			c.loop, c.own = true, a.current
		}
	}
	a.straight = a.straight && in.Op == wasmbin.OpBlock
	if a.apart && in.Op == wasmbin.OpIf && !a.dead {
		a.payHere(in.End)
	}
}

// branch takes the path to a label. A branch to a loop goes round it.
func (a *analyser) branch(label uint32) {
	a.straight = false
	to := len(a.stack) - 1 - int(label)
	c := &a.stack[to]
	a.countValues(2 * c.arity)
	if a.dead {
		return
	}
	c.targeted = true
	if !c.loop {
		c.longest = max(c.longest, int64(a.pathIn(to)))
	}
}

// pathIn is the weight of the path that the entry point of block number to pays
// for: up to where the first block in it changed.
func (a *analyser) pathIn(to int) uint32 {
	n := len(a.changes)
	if n == 0 || a.changes[n-1] < to {
		return a.path
	}
	i, _ := slices.BinarySearch(a.changes, to)
	return a.stack[a.changes[i]].frozen
}

// otherwise ends the first branch of an if.
func (a *analyser) otherwise() {
	n := len(a.stack) - 1
	c := &a.stack[n]
	if !a.dead {
		c.longest = max(c.longest, int64(a.pathIn(n)))
	}
	a.unchange(n)
	c.implicit = false
	a.current, a.path, a.dead = c.entry, c.opened, c.dead
}

// unchange forgets that block n, the innermost, changed.
func (a *analyser) unchange(n int) {
	if a.stack[n].changed {
		a.stack[n].changed = false
		a.changes = a.changes[:len(a.changes)-1]
	}
}

// end closes a block: the point that was in force before it is in force again.
// A loop that nothing branches to is a block by another name.
func (a *analyser) end(after int) {
	n := len(a.stack) - 1
	if n == 0 {
		a.stack = a.stack[:0]
		return
	}
	c := &a.stack[n]
	if !a.dead {
		c.longest = max(c.longest, int64(a.pathIn(n)))
	}
	if c.implicit && !c.dead {
		c.longest = max(c.longest, int64(c.opened))
	}
	moves, pays := uint32(0), a.apart && c.tabled && !c.loop
	if c.targeted {
		n := a.frame.join(c.sets, c.arity)
		if pays {
			n -= min(n, movesApart)
		}
		moves = uint32(min(n/movesPerUnit, maxPiece))
	}
	if c.loop {
		own := &a.f.points[c.own]
		own.weight = min(own.weight+moves, maxPiece)
		moves = 0
		if !c.targeted {
			own.kind = pointPlain
		}
	}
	a.unchange(n)
	a.current, a.dead = c.entry, c.longest < 0
	a.path = uint32(max(c.longest, 0))
	a.stack = a.stack[:n]
	a.add(after, moves)
	if pays && !a.dead {
		a.payHere(after)
	}
}

// payHere puts a point in force that only takes fuel.
func (a *analyser) payHere(at int) {
	a.change()
	a.begin(at, pointDebit)
}

// blockArity is the number of values that a block takes and leaves.
func (a *analyser) blockArity(t wasmbin.BlockType) (params, results int) {
	switch {
	case t >= 0:
		return len(a.m.Types[t].Params), len(a.m.Types[t].Results)
	case t == wasmbin.BlockEmpty:
		return 0, 0
	}
	return 0, 1
}

// arity weighs the values that a call moves.
func (a *analyser) arity(typ uint32) uint32 {
	t := &a.m.Types[typ]
	return uint32(len(t.Params)+len(t.Results)) / 2
}

func (a *analyser) call(in *wasmbin.Instr) {
	a.straight = false
	weight := a.arity(a.types[in.Index])
	a.frame.call(&a.m.Types[a.types[in.Index]])
	a.countValues(valuesOf(&a.m.Types[a.types[in.Index]]))
	if in.Index < a.imported {
		a.add(in.Start, weight+weightImport)
		return
	}
	callee := in.Index - a.imported
	a.add(in.Start, weight+weightCall+uint32(a.light[callee]))
	a.f.calls = append(a.f.calls, callee)
}

// settle decides whether the function needs a charge at its entry.
func (a *analyser) settle() {
	f := a.f
	entry := &f.points[0]
	switch {
	case a.light[a.body] > 0:
		f.light = true
		f.points = f.points[:1]
		entry.kind = pointNone
	case entry.weight <= maxLight && a.loopFirst && f.points[1].kind == pointLoop:
		// Short straight code, then a loop: its head pays, on each round. So it
		// takes a part of the weight only.
		f.points[1].weight = max(f.points[1].weight, entry.weight/4)
		entry.kind = pointNone
	}
}
