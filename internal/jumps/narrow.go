package jumps

import (
	"fmt"
	"math"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

// Narrowed tells what Narrow did.
type Narrowed struct {
	Sums    int // are computed in 32 bits now
	Offsets int // of them are an offset of the access
}

// Narrow has the addresses in all bodies of m be computed in 32 bits that are computed in
// 64 and cut, and replaces those bodies. Where it is known that the sum of a local and a
// constant is no more than 32 bits, it is an offset of the access. A memory without a
// maximum gets one that is a page below 4 GiB. Bodies shrink. The time is in proportion to
// the code. The error is one of the code's form.
func Narrow(m *wasmbin.Module) (Narrowed, error) {
	n := &narrower{scan: wasmbin.NewScanner(m), known: map[uint32]bound{}, set: map[uint32]int{}}
	own := len(m.Memories) == 1
	if own {
		n.room = roomBehind(m.Memories[0])
	}
	first := m.ImportedFunctions()
	for i := range m.Code {
		code := &m.Code[i]
		n.reset(code, len(m.Types[m.Functions[i]].Params))
		for in := (wasmbin.Instr{}); n.scan.Next(&in); {
			n.instruction(&in)
		}
		if err := n.scan.Err(); err != nil {
			return n.info, fmt.Errorf("function %d: %w", first+i, err)
		}
		if len(n.edits) > 0 {
			code.Body = n.rewritten()
		}
	}
	if own && n.info.Offsets > 0 {
		m.Memories[0] = bounded(m.Memories[0])
	}
	return n.info, nil
}

// allPages are those that 32 bits can address.
const allPages = 1 << 16

// bounded is a memory's limits with a maximum: all pages but one, where there is none.
func bounded(l wasmbin.Limits) wasmbin.Limits {
	if !l.HasMax {
		l.Max, l.HasMax = max(l.Min, allPages-1), true
	}
	return l
}

// roomBehind is how many addresses there are that a memory never reaches.
func roomBehind(l wasmbin.Limits) uint64 {
	return (allPages - min(allPages, uint64(bounded(l).Max))) << 16
}

// operand is a value on the stack: what is known of it.
type operand struct {
	local uint32 // whose value it is, or of the sum the first part
	since int    // the value has been the local's since then; 0 = it is no local's
	sum   int    // edit of the sum, plus 1; 0 = it is none
}

// bound says that the value of a local, and so many bytes more, lie in memory.
type bound struct {
	bytes uint64
	at    int // when an access said so
}

// proof is a bound that was found, and what was known before.
type proof struct {
	local  uint32
	before bound
}

// narrowing is a change of a body: a sum, or the access that it is the address of.
type narrowing struct {
	start, end int
	op         wasmbin.Opcode // of the access
	align      byte           // likewise
	offset     uint64         // likewise; of a sum the constant
	whole      bool           // the sum is only a constant
	gone       bool           // the sum is an offset of its access
}

type narrower struct {
	scan *wasmbin.Scanner
	info Narrowed
	room uint64

	body   []byte
	last   [4]step // the latest first
	stack  []operand
	edits  []narrowing
	now    int // counts instructions, of all bodies
	looped int // the last loop began then

	open   []int // of each block: how many proofs there were
	proofs []proof
	known  map[uint32]bound // nothing, at a function's end
	set    map[uint32]int   // when a local was set last
}

func (n *narrower) reset(code *wasmbin.Code, params int) {
	n.scan.Reset(code, params)
	n.body = code.Body
	n.last = [4]step{}
	n.stack, n.edits, n.proofs = n.stack[:0], n.edits[:0], n.proofs[:0]
	n.open = append(n.open[:0], 0)
}

func (n *narrower) instruction(in *wasmbin.Instr) {
	n.now++
	switch op := in.Op; {
	case op == wasmbin.OpLocalGet:
		n.push(operand{local: in.Index, since: n.now})
	case op == wasmbin.OpLocalSet, op == wasmbin.OpLocalTee:
		n.pop()
		n.set[in.Index] = n.now
		if op == wasmbin.OpLocalTee {
			n.push(operand{local: in.Index, since: n.now + 1})
		}
	case op == wasmbin.OpI32WrapI64:
		n.wrap(in)
	case pushes(op):
		n.push(operand{})
	case changes(op):
		n.pop()
		n.push(operand{})
	case joins(op):
		n.pop()
		n.pop()
		n.push(operand{})
	case op >= wasmbin.OpI32Load && op < firstStore:
		n.access(in, n.pop())
		n.push(operand{})
	case op >= firstStore && op <= wasmbin.OpI64Store32:
		n.pop()
		n.access(in, n.pop())
	default:
		n.stack = n.stack[:0]
		n.structure(op)
	}
	copy(n.last[1:], n.last[:])
	n.last[0] = step{op: in.Op, start: in.Start, end: in.End, index: in.Index}
}

func (n *narrower) push(o operand) { n.stack = append(n.stack, o) }

// pop gives the last operand; nothing is known of one that is not of this stretch of code.
func (n *narrower) pop() (o operand) {
	if top := len(n.stack) - 1; top >= 0 {
		o, n.stack = n.stack[top], n.stack[:top]
	}
	return o
}

// structure follows the blocks: what an access within one has said is not known behind it,
// and at the head of a loop nothing is.
func (n *narrower) structure(op wasmbin.Opcode) {
	switch op {
	case wasmbin.OpBlock, wasmbin.OpIf, wasmbin.OpLoop:
		n.open = append(n.open, len(n.proofs))
		if op == wasmbin.OpLoop {
			n.looped = n.now
		}
	case wasmbin.OpElse, wasmbin.OpEnd:
		top := len(n.open) - 1
		for len(n.proofs) > n.open[top] {
			p := n.proofs[len(n.proofs)-1]
			n.proofs = n.proofs[:len(n.proofs)-1]
			n.known[p.local] = p.before
		}
		if op == wasmbin.OpEnd {
			n.open = n.open[:top]
		}
	}
}

// within tells how many bytes from a local's value on lie in memory, at least.
func (n *narrower) within(local uint32) uint64 {
	if b := n.known[local]; b.at > n.set[local] && b.at > n.looped {
		return b.bytes
	}
	return 0
}

// wrap reads an i32.wrap_i64, and makes a sum of 32 bits of what is before it.
func (n *narrower) wrap(in *wasmbin.Instr) {
	n.pop()
	a, c, x, l := &n.last[0], &n.last[1], &n.last[2], &n.last[3]
	switch {
	case a.op == wasmbin.OpI64Const:
		n.edits = append(n.edits, narrowing{start: a.start, end: in.End, whole: true,
			offset: uint64(signed(n.body[a.start+1 : a.end]))})
	case a.op == wasmbin.OpI64Add && c.op == wasmbin.OpI64Const &&
		(x.op == wasmbin.OpI64ExtendI32 || x.op == extendSigned):
		k := uint64(signed(n.body[c.start+1 : c.end]))
		n.edits = append(n.edits, narrowing{start: x.start, end: in.End, offset: k})
		if w := n.within(l.index); l.op == wasmbin.OpLocalGet && w > 0 && k < w+n.room {
			n.push(operand{local: l.index, since: n.now, sum: len(n.edits)})
			n.info.Sums++
			return
		}
	default:
		n.push(operand{})
		return
	}
	n.info.Sums++
	n.push(operand{})
}

// access reads a load or store at an address, which says of a local what lies in memory.
func (n *narrower) access(in *wasmbin.Instr, at operand) {
	align := n.body[in.Start+1]
	if at.since == 0 || align >= 1<<6 {
		return
	}
	offset := unsigned(n.body[in.Start+2 : in.End])
	if at.sum > 0 {
		s := &n.edits[at.sum-1]
		if offset+s.offset > math.MaxUint32 {
			return
		}
		offset += s.offset
		s.gone = true
		n.info.Offsets++
		n.edits = append(n.edits, narrowing{start: in.Start, end: in.End, op: in.Op, align: align, offset: offset})
	}
	if most := offset + accessed(in.Op); n.set[at.local] < at.since && most > n.within(at.local) {
		n.proofs = append(n.proofs, proof{at.local, n.known[at.local]})
		n.known[at.local] = bound{most, n.now}
	}
}

// rewritten is the body with its edits.
func (n *narrower) rewritten() []byte {
	out, copied := make([]byte, 0, len(n.body)), 0
	for i := range n.edits {
		e := &n.edits[i]
		out = append(out, n.body[copied:e.start]...)
		switch {
		case e.gone:
		case e.op > 0:
			out = wasmbin.AppendU32(append(out, byte(e.op), e.align), uint32(e.offset))
		default:
			out = wasmbin.AppendS64(append(out, byte(wasmbin.OpI32Const)), int64(int32(e.offset)))
			if !e.whole {
				out = append(out, byte(wasmbin.OpI32Add))
			}
		}
		copied = e.end
	}
	return append(out, n.body[copied:]...)
}
