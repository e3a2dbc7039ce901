package jumps

import (
	"fmt"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

// addressing is a module as that of TestShapes, with a memory of two pages, whose maximum
// is most, where it is not 0. In its text ld N is an i64.load of offset N whose result is
// added to local 1, and sum N what Go makes of a value plus N.
func addressing(t testing.TB, most uint32, text string) *wasmbin.Module {
	t.Helper()
	m := module(t, "")
	m.Memories = []wasmbin.Limits{{Min: 2, Max: most, HasMax: most > 0}}
	m.Data = []wasmbin.Data{{Offset: wasmbin.Expr{Op: wasmbin.OpI32Const, Raw: []byte{0x41, 0}},
		Init: []byte(strings.Repeat("wirehost", 100))}}
	var body []byte
	for rest := strings.Fields(text); len(rest) > 0; {
		n := 0
		if len(rest) > 1 {
			_, _ = fmt.Sscan(rest[1], &n) // 0 where it is another word
		}
		switch word := rest[0]; word {
		case "ld":
			body = append(wasmbin.AppendU32(append(body, 0x29, 3), uint32(n)), 0xa7, 0x20, 1, 0x6a, 0x21, 1)
			rest = rest[2:]
		case "sum", "sum_s":
			op := byte(0xad)
			if word == "sum_s" {
				op = 0xac
			}
			body = append(wasmbin.AppendS64(append(body, op, 0x42), int64(n)), 0x7c, 0xa7)
			rest = rest[2:]
		case "cut":
			body = append(wasmbin.AppendS64(append(body, 0x42), int64(n)), 0xa7)
			rest = rest[2:]
		case "st": // a store of 7
			body = wasmbin.AppendU32(append(body, 0x42, 7, 0x37, 3), uint32(n))
			rest = rest[2:]
		default:
			k := 1
			for k < len(rest) && (rest[k] == "i32" || strings.Trim(rest[k], "-0123456789") == "") {
				k++
			}
			body = append(body, assemble(t, strings.Join(rest[:k], " "))...)
			rest = rest[k:]
		}
	}
	m.Code[0].Body = append(body, 0x20, 1, 0x0b)
	return m
}

// TestNarrow: what becomes a sum of 32 bits, what an offset, and that nobody sees a
// difference, as the parameter, local 0, is -1 to 4.
func TestNarrow(t *testing.T) {
	const wraps = "const -8 set 3 "
	for _, tc := range []struct {
		name, text    string
		most          uint32
		sums, offsets int
	}{
		{"a constant", "cut 16 ld 8", 0, 1, 0},
		{"a large one", "cut 4294967304 ld 8", 0, 1, 0},
		{"nothing is known", "get 0 sum 8 ld 0", 0, 1, 0},
		{"an access at it", "get 0 ld 0 get 0 sum 8 ld 16", 0, 1, 1},
		{"signed", "get 0 ld 0 get 0 sum_s 8 ld 16", 0, 1, 1},
		{"of all pages but one", "get 0 ld 0 get 0 sum 65543 ld 0", 0, 1, 1},
		{"further than a page", "get 0 ld 0 get 0 sum 65544 ld 0", 0, 1, 0},
		{"of all pages", "get 0 ld 0 get 0 sum 8 ld 0", 65536, 1, 0},
		{"of all pages but one, as the module says", "get 0 ld 0 get 0 sum 65543 ld 0", 65535, 1, 1},
		{"further than that page", "get 0 ld 0 get 0 sum 65544 ld 0", 65535, 1, 0},
		{"within the access, of all pages", "get 0 ld 0 get 0 sum 7 ld 0", 65536, 1, 1},
		{"of few pages", "get 0 ld 0 get 0 sum 80000 ld 0", 2, 1, 1},
		{"a store", "get 0 st 0 get 0 sum 8 st 8 get 0 ld 8", 0, 1, 1},
		{"one behind the other", "get 0 ld 0 get 0 sum 60000 ld 0 get 0 sum 100000 ld 0", 0, 2, 2},
		{"below it", "get 0 ld 0 get 0 sum -1 ld 1", 0, 1, 0},
		{"round the end", wraps + "get 3 sum 16 ld 0", 0, 1, 0},
		{"set since", "get 0 ld 0 get 0 set 3 get 3 ld 0 " + wraps + "get 3 sum 16 ld 0", 0, 1, 0},
		{"another local", "get 0 ld 0 " + wraps + "get 3 sum 16 ld 0", 0, 1, 0},
		{"set by a tee", "const 8 tee 3 ld 0 get 3 sum 8 ld 0 const -8 tee 3 drop get 3 sum 16 ld 0", 0, 2, 1},
		{"read before it is set", "const 8 set 3 get 3 " + wraps + "ld 0 get 3 sum 16 ld 0", 0, 1, 0},
		{"in a block behind it", "get 0 ld 0 block get 0 sum 8 ld 0 get 0 br_if 0 get 0 sum 16 ld 0 end", 0, 2, 2},
		{"behind a block", "get 0 ld 0 block get 0 br_if 0 get 0 ld 8 end get 0 sum 8 ld 0", 0, 1, 1},
		{"only in a block", wraps + "block get 0 br_if 0 const 8 set 3 get 3 ld 0 end get 3 sum 16 ld 0", 0, 1, 0},
		{"not always done", wraps + "block get 0 br_if 0 get 3 ld 0 end get 3 sum 16 ld 0", 0, 1, 0},
		{"set in a block", "const 8 set 3 get 3 ld 0 block get 0 br_if 0 " + wraps + "end get 3 sum 16 ld 0", 0, 1, 0},
		{"in the other branch", wraps + "get 0 if const 8 set 3 get 3 ld 0 else get 3 sum 16 ld 0 end", 0, 1, 0},
		{"behind an if", "get 0 ld 0 get 0 if get 0 ld 8 else get 0 sum 8 ld 0 end get 0 sum 8 ld 0", 0, 2, 2},
		{"round a loop", "const 8 set 3 get 3 ld 0 loop get 3 sum 16 ld 0 tick " + wraps + "br 0 end", 0, 1, 0},
		{"in a loop", "loop get 0 ld 0 get 0 sum 8 ld 0 tick br 0 end", 0, 1, 1},
		{"no address", "get 0 ld 0 get 0 sum 8 set 3 get 3 ld 0", 0, 1, 0},
		{"of a sum", "get 0 ld 0 get 0 sum 8 sum 8 ld 0", 0, 2, 0},
		{"another's address", "block const 8 set 3 get 3 get 0 br_if 0 ld 0 get 0 sum 16 ld 0 end", 0, 1, 0},
		{"past the last offset", "get 0 ld 0 get 0 sum 8 ld 4294967290", 0, 1, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before, after := addressing(t, tc.most, tc.text), addressing(t, tc.most, tc.text)
			n, err := Narrow(after)
			if err != nil || n.Sums != tc.sums || n.Offsets != tc.offsets {
				t.Errorf("%+v, %v, wanted %d sums, %d offsets", n, err, tc.sums, tc.offsets)
			}
			if l := after.Memories[0]; l.HasMax != (tc.most > 0 || tc.offsets > 0) || tc.most == 0 && l.Max > 65535 {
				t.Errorf("found a memory of %+v", l)
			}
			if was, is := len(before.Code[0].Body), len(after.Code[0].Body); is >= was {
				t.Errorf("%d bytes became %d", was, is)
			}
			if want, got := run(t, before), run(t, after); want != got {
				t.Errorf("found  %s\nwanted %s", got, want)
			}
		})
	}
}

// TestNarrowApart: what is known of a function's local says nothing of another's.
func TestNarrowApart(t *testing.T) {
	m := addressing(t, 0, "get 0 ld 0")
	other := addressing(t, 0, "get 0 sum 8 ld 0")
	m.Functions, m.Code = append(m.Functions, other.Functions...), append(m.Code, other.Code...)
	if n, err := Narrow(m); err != nil || n != (Narrowed{Sums: 1}) {
		t.Errorf("found %+v, %v, wanted one sum", n, err)
	}
}
