package guest

import (
	"bytes"
	"encoding/binary"
	"unsafe"

	"github.com/wirehost/wirehost/host/guest/internal/compile"
)

// An instance that is in no cell is what its memory and its globals hold other than the
// origin: the size of its memory, each global, and runs of words, each with its distance
// to the one before.

const (
	granule = 4 << 10 // memory is compared by so many bytes
	word    = 8
)

// nonZero are the parts of a memory that are not zero, in granules.
func nonZero(memory []byte) (list []compile.Segment) {
	for at := 0; at < len(memory); at += granule {
		part := memory[at : at+granule]
		if bytes.Equal(part, zeros[:]) {
			continue
		}
		if n := len(list) - 1; n >= 0 && int(list[n].Address)+len(list[n].Bytes) == at {
			list[n].Bytes = list[n].Bytes[:len(list[n].Bytes)+granule]
			continue
		}
		list = append(list, compile.Segment{Address: uint32(at), Bytes: part})
	}
	return list
}

var zeros [granule]byte // never changed

// span is a part of linear memory, in bytes from its start, whole pages of the system.
type span struct{ from, to int }

// spanned is how many bytes spans are.
func spanned(spans []span) (n int) {
	for _, s := range spans {
		n += s.to - s.from
	}
	return n
}

// reset puts memory back to the origin, where its spans are all that may differ. With
// keep, what was other is appended to out, for apply.
func (o *origin) reset(memory []byte, spans []span, out []byte, keep bool) []byte {
	last := 0 // where the run before has ended
	for _, s := range spans {
		for at := s.from; at < s.to; at += granule {
			now, was := memory[at:at+granule], o.image.at(at)
			if bytes.Equal(now, was) {
				continue
			}
			for from, to := run(now, was, 0); from < to; from, to = run(now, was, to) {
				if keep {
					out = binary.AppendUvarint(out, uint64(at+from-last)/word)
					out = binary.AppendUvarint(out, uint64(to-from)/word)
					out = append(out, now[from:to]...)
					last = at + to
				}
				copy(now[from:to], was[from:to])
			}
		}
	}
	return out
}

// run is the first run of words of a granule, from a byte on, that are other than they
// were; an empty one where there is none.
func run(now, was []byte, from int) (begin, end int) {
	a, b := words(now), words(was)
	w := from / word
	for w < len(a) && a[w] == b[w] {
		if w++; w%8 != 0 {
			continue
		}
		for w+8 <= len(a) && *(*[8]uint64)(a[w:]) == *(*[8]uint64)(b[w:]) { // many at a time
			w += 8
		}
	}
	begin = w * word
	for w < len(a) && a[w] != b[w] {
		w++
	}
	return begin, w * word
}

// words are those of a granule, which lies at a multiple of their size.
func words(b []byte) *[granule / word]uint64 {
	return (*[granule / word]uint64)(unsafe.Pointer(unsafe.SliceData(b[:granule])))
}

// apply puts into a memory that is the origin's what reset has taken out of one.
func apply(memory, runs []byte) {
	at := 0
	for len(runs) > 0 {
		gap, n := binary.Uvarint(runs)
		size, m := binary.Uvarint(runs[n:])
		at += int(gap) * word
		runs = runs[n+m:]
		end := int(size) * word
		copy(memory[at:at+end], runs[:end])
		at += end
		runs = runs[end:]
	}
}

// appendHead appends the size of a memory and the globals of its cell.
func (o *origin) appendHead(out []byte, c *cell) []byte {
	out = binary.AppendUvarint(out, uint64(c.pages()))
	for n, g := range c.globals {
		out = binary.AppendUvarint(out, g.Get()^o.globals[n])
	}
	return out
}

// pagesOf reads the size of a memory, in pages of WebAssembly, and gives what follows.
func pagesOf(saved []byte) (pages uint32, rest []byte) {
	p, n := binary.Uvarint(saved)
	return uint32(p), saved[n:]
}

// putGlobals reads the globals and gives a cell those, and returns what follows.
func (o *origin) putGlobals(c *cell, saved []byte) (runs []byte) {
	for n, g := range c.globals {
		v, size := binary.Uvarint(saved)
		g.Set(v ^ o.globals[n])
		saved = saved[size:]
	}
	return saved
}
