package jumps

import (
	"fmt"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

// Info tells what Thread did.
type Info struct {
	Dispatches int // loops that start with a br_table
	Jumps      int // through them, by a constant
	Threaded   int // of them lead to their block directly now
	Set        int // of those still set the local
}

// Thread makes jumps through dispatches direct in all bodies of m, which it
// replaces; what it doesn't change stays a part of the input. Bodies grow by no
// more than two bytes a jump, and mostly shrink. The time is in proportion to
// the code. The error is one of the code's form.
func Thread(m *wasmbin.Module) (Info, error) {
	t := &threader{scan: wasmbin.NewScanner(m), m: m}
	first := m.ImportedFunctions()
	for i := range m.Code {
		code, typ := &m.Code[i], &m.Types[m.Functions[i]]
		t.reset(code, typ)
		for in := (wasmbin.Instr{}); t.scan.Next(&in); {
			t.instruction(&in)
		}
		if err := t.scan.Err(); err != nil {
			return t.info, fmt.Errorf("function %d: %w", first+i, err)
		}
		if len(t.edits) > 0 {
			code.Body = t.rewritten()
		}
	}
	return t.info, nil
}

// control is an open block, loop or if.
type control struct {
	start    int // offset of a loop
	loop     bool
	dispatch int // of a loop the one that it starts with, of a block the one that it was opened for; 0 = none
}

// dispatch is a loop that starts with nothing but blocks, `local.get` and
// `br_table`. No value lies on the stack there, so no label of a valid one takes
// any.
type dispatch struct {
	local  uint32
	labels []int32 // of the br_table, as places in threader.stack; the default last
	rounds int     // branches to the loop that stay
}

// target is where constant k leads to.
func (d *dispatch) target(k int32) int {
	return int(d.labels[min(uint64(uint32(k)), uint64(len(d.labels)-1))])
}

// edit is a change of a body: a loop that becomes a block where nothing branches
// to it in the end, or a jump.
type edit struct {
	start, end int // of what is replaced, in bytes
	loop       int // the dispatch of the loop; 0 = a jump

	branch, after int    // the jump's br alone, which is replaced where the local must stay set
	label         uint32 // where that leads
	alone         bool   // it is all that an if does, and start and end include the if
}

// step is an instruction that was read.
type step struct {
	op         wasmbin.Opcode
	start, end int
	index      uint32
}

// threader looks at one body after another.
type threader struct {
	m    *wasmbin.Module
	scan *wasmbin.Scanner
	info Info

	body   []byte
	stack  []control // the function itself first
	loops  int       // of them
	last   [4]step   // the latest first
	head   int       // the loop at whose head this is, as a place in the stack; 0 = none
	all    []dispatch
	labels []int32 // of all of them
	edits  []edit  // in the order of the body

	keep  bool // what a jump sets may be read: see kept.go
	known bool
}

func (t *threader) reset(code *wasmbin.Code, typ *wasmbin.FuncType) {
	t.scan.Reset(code, len(typ.Params))
	t.body = code.Body
	t.stack = append(t.stack[:0], control{})
	t.loops, t.head = 0, 0
	t.last = [4]step{}
	t.all, t.labels, t.edits = append(t.all[:0], dispatch{}), t.labels[:0], t.edits[:0]
	t.keep, t.known = false, false
}

func (t *threader) instruction(in *wasmbin.Instr) {
	head := t.head
	t.head = 0
	switch in.Op {
	case wasmbin.OpBlock, wasmbin.OpLoop, wasmbin.OpIf:
		t.open(in, head)
	case wasmbin.OpElse:
		t.meets()
	case wasmbin.OpEnd:
		t.end(in)
	case wasmbin.OpLocalGet:
		if t.last[0].op != wasmbin.OpLocalGet {
			t.head = head
		}
		t.reads(in.Index)
	case wasmbin.OpLocalSet, wasmbin.OpLocalTee:
		t.sets(in.Index)
	case wasmbin.OpBr:
		if !t.jump(in) {
			t.branch(in.Index)
		}
	case wasmbin.OpBrIf:
		t.branch(in.Index)
	case wasmbin.OpBrTable:
		t.table(in, head)
	}
	copy(t.last[1:], t.last[:])
	t.last[0] = step{op: in.Op, start: in.Start, end: in.End, index: in.Index}
}

func (t *threader) open(in *wasmbin.Instr, head int) {
	c := control{start: in.Start, loop: in.Op == wasmbin.OpLoop}
	t.stack = append(t.stack, c)
	switch {
	case c.loop:
		t.loops++
		t.meets()
		if in.Block == wasmbin.BlockEmpty {
			t.head = len(t.stack) - 1
		}
	case in.Op == wasmbin.OpBlock && t.last[0].op != wasmbin.OpLocalGet:
		t.head = head
	}
}

func (t *threader) end(in *wasmbin.Instr) {
	t.meets()
	if t.stack[len(t.stack)-1].loop {
		t.loops--
	}
	t.stack = t.stack[:len(t.stack)-1]
	if n := len(t.edits); n > 0 && t.edits[n-1].end == in.Start && t.last[3].op == wasmbin.OpIf {
		e := &t.edits[n-1]
		e.start, e.end, e.alone = t.last[3].start, in.End, true
	}
}

// table reads a br_table, which at the head of a loop is a dispatch.
func (t *threader) table(in *wasmbin.Instr, head int) {
	if head > 0 && t.last[0].op == wasmbin.OpLocalGet {
		id, top, from := len(t.all), len(t.stack)-1, len(t.labels)
		t.scan.EachLabel(in, func(label uint32) { t.labels = append(t.labels, int32(top-int(label))) })
		t.all = append(t.all, dispatch{local: t.last[0].index, labels: t.labels[from:]})
		for i := head; i <= top; i++ {
			t.stack[i].dispatch = id
		}
		start := t.stack[head].start
		t.edits = append(t.edits, edit{start: start, end: start + 1, loop: id})
		t.info.Dispatches++
		t.found()
	}
	t.scan.EachLabel(in, t.branch)
}

// branch counts a branch that stays.
func (t *threader) branch(label uint32) {
	if c := t.stack[len(t.stack)-1-int(label)]; c.loop && c.dispatch > 0 {
		t.all[c.dispatch].rounds++
		t.goesRound()
	}
}

// jump makes a br of a jump that can be direct.
func (t *threader) jump(in *wasmbin.Instr) bool {
	set, k := &t.last[0], &t.last[1]
	at := len(t.stack) - 1 - int(in.Index)
	c := t.stack[at]
	if !c.loop || c.dispatch == 0 || set.op != wasmbin.OpLocalSet || k.op != wasmbin.OpI32Const ||
		set.index != t.all[c.dispatch].local {
		return false
	}
	t.info.Jumps++
	to := t.all[c.dispatch].target(constant(t.body[k.start+1 : k.end]))
	switch {
	case to == at, to >= len(t.stack):
		return false
	case to > at && t.stack[to].dispatch != c.dispatch: // the block is closed, and another one open
		return false
	}
	t.info.Threaded++
	label := uint32(len(t.stack) - 1 - to)
	t.edits = append(t.edits, edit{start: k.start, end: in.End, branch: in.Start, after: in.End, label: label})
	return true
}

// constant reads the immediate of an i32.const.
func constant(b []byte) int32 { return int32(signed(b)) }

// signed reads a signed number, unsigned one that is not.
func signed(b []byte) int64 {
	unused := max(0, 64-7*len(b)) // the last bit is the sign
	return int64(unsigned(b)) << unused >> unused
}

func unsigned(b []byte) (v uint64) {
	for i, c := range b {
		v |= uint64(c&0x7f) << (7 * i)
	}
	return v
}

// rewritten is the body with its edits.
func (t *threader) rewritten() []byte {
	out, copied := make([]byte, 0, len(t.body)+2*len(t.edits)), 0
	for i := range t.edits {
		e := &t.edits[i]
		op, label, from, to := wasmbin.OpBr, e.label, e.start, e.end
		switch {
		case e.loop > 0 && t.all[e.loop].rounds > 0:
			continue
		case e.loop > 0:
			op = wasmbin.OpBlock
		case t.keep:
			from, to = e.branch, e.after
			t.info.Set++
		case e.alone:
			op, label = wasmbin.OpBrIf, label-1
		}
		out = append(append(out, t.body[copied:from]...), byte(op))
		if e.loop == 0 {
			out = wasmbin.AppendU32(out, label)
		}
		copied = to
	}
	return append(out, t.body[copied:]...)
}
