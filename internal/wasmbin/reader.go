package wasmbin

import (
	"fmt"
	"unicode/utf8"
)

// reader takes the parts of the format off a slice. Its first error sticks,
// and every later read gives zero, so that a caller may check once per item.
type reader struct {
	b     []byte
	pos   int
	base  int    // offset of b in the file
	where string // for errors
	err   error
}

func (r *reader) fail(offset int, found, wanted string) {
	if r.err == nil {
		r.err = &Error{Offset: r.base + offset, Where: r.where, Found: found, Wanted: wanted}
		r.pos = len(r.b)
	}
}

func (r *reader) left() int { return len(r.b) - r.pos }

func (r *reader) byte(wanted string) byte {
	if r.pos >= len(r.b) {
		r.fail(r.pos, "the end", wanted)
		return 0
	}
	c := r.b[r.pos]
	r.pos++
	return c
}

func (r *reader) bytes(n int, wanted string) []byte {
	if n < 0 || n > r.left() {
		r.fail(r.pos, fmt.Sprintf("the end after %d of %d bytes", r.left(), n), wanted)
		return nil
	}
	p := r.b[r.pos : r.pos+n : r.pos+n]
	r.pos += n
	return p
}

// u32 reads an unsigned LEB128 of at most 32 bits.
func (r *reader) u32(wanted string) uint32 {
	if r.pos < len(r.b) && r.b[r.pos] < 0x80 { // nearly all of them
		r.pos++
		return uint32(r.b[r.pos-1])
	}
	start := r.pos
	var v uint32
	for shift := 0; ; shift += 7 {
		if r.pos >= len(r.b) {
			r.fail(r.pos, "the end", wanted)
			return 0
		}
		c := r.b[r.pos]
		r.pos++
		if shift == 28 && c > 0x0f {
			r.fail(start, "a number of more than 32 bits", wanted)
			return 0
		}
		v |= uint32(c&0x7f) << shift
		if c < 0x80 {
			return v
		}
	}
}

// sleb reads a signed LEB128 of at most bits bits: 32, 33 or 64.
func (r *reader) sleb(bits int, wanted string) int64 {
	start := r.pos
	var v int64
	for shift := 0; ; shift += 7 {
		if r.pos >= len(r.b) {
			r.fail(r.pos, "the end", wanted)
			return 0
		}
		c := r.b[r.pos]
		r.pos++
		if rest := bits - shift; rest < 7 && !endsNumber(c, rest) {
			r.fail(start, fmt.Sprintf("a number of more than %d bits", bits), wanted)
			return 0
		}
		v |= int64(c&0x7f) << shift
		if c < 0x80 {
			if shift+7 < 64 && c&0x40 != 0 {
				v |= -1 << (shift + 7)
			}
			return v
		}
	}
}

// endsNumber reports whether c can be the last byte of a signed LEB128 of which
// rest bits are still to come: the bits above must repeat the sign.
func endsNumber(c byte, rest int) bool {
	if c >= 0x80 {
		return false
	}
	above := int8(c<<1) >> rest // the sign bit and all above it, sign extended
	return above == 0 || above == -1
}

// count reads the length of a vector whose items take at least size bytes
// each, and refuses one that the rest can't hold: nothing may be allocated by
// a number that the input only claims.
func (r *reader) count(size int, wanted string) int {
	start := r.pos
	n := r.u32("the number of " + wanted)
	if uint64(n)*uint64(size) > uint64(r.left()) {
		r.fail(start, fmt.Sprintf("%d %s in %d bytes", n, wanted, r.left()), "a number that fits")
		return 0
	}
	return int(n)
}

// name reads a name of at most MaxName bytes.
func (r *reader) name(wanted string) string {
	start := r.pos
	p := r.text(wanted)
	if r.tooMany(start, uint64(len(p)), "bytes of "+wanted, MaxName) {
		return ""
	}
	return string(p)
}

// text reads a name of any length.
func (r *reader) text(wanted string) []byte {
	start := r.pos
	p := r.bytes(r.count(1, "bytes of "+wanted), wanted)
	if !utf8.Valid(p) {
		r.fail(start, "bytes that are not UTF-8", wanted)
		return nil
	}
	return p
}

// done refuses bytes that are left over.
func (r *reader) done() {
	if r.err == nil && r.left() > 0 {
		r.fail(r.pos, fmt.Sprintf("%d bytes more", r.left()), "the end of the section")
	}
}
