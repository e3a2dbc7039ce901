package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/wirehost/wirehost/examples/internal/exampletest"
)

func masked(first byte, payload string) string { return exampletest.Masked(first, payload) }

// closeFrame is a client's Close frame.
func closeFrame(code int, why string) string {
	return masked(last|opClose, string(binary.BigEndian.AppendUint16(nil, uint16(code)))+why)
}

// malformed are frames that a client may not send, with the code of the Close frame that says so.
var malformed = []struct {
	name, input string
	code        uint16
}{
	{"the first reserved bit", masked(0x40|last|opText, "a"), 1002},
	{"the second reserved bit", masked(0x20|last|opText, "a"), 1002},
	{"the third reserved bit", masked(0x10|last|opBinary, ""), 1002},
	{"a reserved bit of a control frame", masked(0x40|last|opPing, ""), 1002},
	{"no mask", string(appendHead(nil, last|opText, 0)), 1002},
	{"no mask of a control frame", string(appendHead(nil, last|opPing, 0)), 1002},
	{"opcode 3", masked(last|3, ""), 1002},
	{"opcode 7", masked(last|7, "a"), 1002},
	{"opcode 11", masked(last|11, ""), 1002},
	{"opcode 15", masked(last|15, "a"), 1002},
	{"a continuation of nothing", masked(last, "a"), 1002},
	{"a continuation of a message that has ended", masked(last|opText, "a") + masked(0, "b"), 1002},
	{"a message inside a message", masked(opText, "a") + masked(last|opText, "b"), 1002},
	{"a binary message inside a text", masked(opText, "a") + masked(opBinary, "b"), 1002},
	{"a control frame in fragments", masked(opPing, "a"), 1002},
	{"a Close frame in fragments", masked(opClose, ""), 1002},
	{"a control frame of 126 bytes", masked(last|opPing, strings.Repeat("a", 126)), 1002},
	{"a Close frame of 126 bytes", closeFrame(1000, strings.Repeat("a", 124)), 1002},
	{"125 bytes in two bytes of length", "\x82\xfe\x00\x7d\x00\x00\x00\x00", 1002},
	{"65535 bytes in eight bytes of length", "\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff\x00\x00\x00\x00", 1002},
	{"a length with its highest bit", "\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 1002},
	{"a length of nearly all", "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", 1009},
	{"a message that is too long", masked(last|opBinary, strings.Repeat("a", 1001)), 1009},
	{"fragments that are too long", masked(opText, strings.Repeat("a", 1000)) + masked(0, "b"), 1009},
	{"half a close code", masked(last|opClose, "\x03"), 1002},
	{"close code 0", closeFrame(0, ""), 1002},
	{"close code 999", closeFrame(999, ""), 1002},
	{"close code 1004", closeFrame(1004, ""), 1002},
	{"close code 1005", closeFrame(1005, ""), 1002},
	{"close code 1006", closeFrame(1006, ""), 1002},
	{"close code 1015", closeFrame(1015, ""), 1002},
	{"close code 2999", closeFrame(2999, ""), 1002},
	{"close code 5000", closeFrame(5000, ""), 1002},
	{"a close reason that is not UTF-8", closeFrame(1000, "\xff"), 1007},
	{"text that is not UTF-8", masked(last|opText, "a\xff"), 1007},
	{"a surrogate", masked(last|opText, "\xed\xa0\x80"), 1007},
	{"text that ends within a character", masked(last|opText, "\xe2\x82"), 1007},
	{"a character that goes on wrong in the next fragment", masked(opText, "\xe2\x82") + masked(0, "a"), 1007},
	{"text that ends within a character, two fragments ago",
		masked(opText, "\xe2") + masked(0, "") + masked(last, ""), 1007},
}

// found notes what a reader finds.
type found struct{ list []string }

func (f *found) piece(first byte, p []byte) { f.list = append(f.list, fmt.Sprintf("%x %q", first, p)) }
func (f *found) ping(p []byte)              { f.list = append(f.list, fmt.Sprintf("ping %q", p)) }
func (f *found) closed(p []byte)            { f.list = append(f.list, fmt.Sprintf("closed %q", p)) }

func TestMalformed(t *testing.T) {
	for _, c := range malformed {
		t.Run(c.name, func(t *testing.T) {
			for cut := range len(c.input) {
				var r reader
				to := &found{}
				f := r.take([]byte(c.input[:cut]), 1000, to)
				if f == nil {
					f = r.take([]byte(c.input[cut:]), 1000, to)
				}
				if f == nil || f.code != c.code || len(f.text) > 123 {
					t.Fatalf("cut at %d: found %v, %q, wanted %d", cut, f, to.list, c.code)
				}
			}
		})
	}
}

// TestLessAllowed: a message that began when more was allowed, before a reload, ends at the new bound.
func TestLessAllowed(t *testing.T) {
	var r reader
	if f := r.take([]byte(masked(opText, strings.Repeat("a", 100))), 1000, &found{}); f != nil {
		t.Fatal(f.text)
	}
	if f := r.take([]byte(masked(0, "b")), 50, &found{}); f == nil || f.code != codeTooBig {
		t.Errorf("found %v, wanted %d", f, codeTooBig)
	}
}

// TestHeadFailsFast: what may not be is known by the first byte that says so.
func TestHeadFailsFast(t *testing.T) {
	for _, head := range []string{"\xc1", "\xa1", "\x91", "\x83", "\x8b", "\x09", "\x08", "\x80", "\x00", "\x81\x01",
		"\x89\xfe", "\x88\xff", "\x82\xfe\x00\x7d", "\x82\xfe\x03\xe9", "\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff"} {
		var r reader
		for n := range len(head) {
			if f := r.take([]byte{head[n]}, 1000, &found{}); (f != nil) != (n == len(head)-1) {
				t.Errorf("%x: found %v at byte %d", head, f, n)
			}
		}
	}
}

// TestFailsFast: text is known not to be UTF-8 by the first byte that says so.
func TestFailsFast(t *testing.T) {
	for text, at := range map[string]int{"abc\xff": 4, "\xf4\x90\x80\x80": 2, "\xce\xba\xed\xa0": 4, "\xc0": 1} {
		frame := []byte(masked(opText, text+"more"))
		var r reader
		for n := range frame {
			if f := r.take(frame[n:n+1], 1000, &found{}); (f != nil) != (n == len(frame)-len(text)-4+at-1) {
				t.Fatalf("%q: found %v at byte %d", text, f, n)
			} else if f != nil {
				break
			}
		}
	}
}

// TestCloseCodes are those that may be sent.
func TestCloseCodes(t *testing.T) {
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999,
		4000, 4999} {
		var r reader
		to := &found{}
		if f := r.take([]byte(closeFrame(code, "why")+masked(last|opText, "a")), 1000, to); f != nil ||
			len(to.list) != 1 {
			t.Errorf("%d: found %v, %q", code, f, to.list)
		}
	}
}

// FuzzReader: bytes cut anywhere give what they give as a whole, and what is said to be text is.
func FuzzReader(f *testing.F) {
	for _, c := range malformed {
		f.Add([]byte(c.input), uint16(len(c.input)/2))
	}
	f.Add([]byte(masked(opText, "h\xc3")+masked(last|opPing, "p")+masked(last, "\xa4llo")+closeFrame(1000, "")),
		uint16(9))
	f.Fuzz(func(t *testing.T, input []byte, cut uint16) {
		at := min(int(cut), len(input))
		whole, wholeFault := readAll(input)
		parts, partsFault := readAll(input[:at], input[at:])
		if (wholeFault == nil) != (partsFault == nil) || wholeFault != nil && *wholeFault != *partsFault {
			t.Fatalf("cut at %d: found %v, wanted %v", at, partsFault, wholeFault)
		}
		if wholeFault == nil && parts != whole {
			t.Fatalf("cut at %d: found %q, wanted %q", at, parts, whole)
		}
	})
}

// readAll reads pieces, and says what was found of whole messages and control frames.
func readAll(pieces ...[]byte) (string, *fault) {
	var r reader
	to := &joined{}
	for _, p := range pieces {
		if f := r.take(slices.Clone(p), 1000, to); f != nil {
			return to.String(), f
		}
	}
	return to.String(), nil
}

// joined notes what a reader finds, with the pieces of a message joined.
type joined struct {
	bytes.Buffer
	opcode  byte
	message []byte
}

func (j *joined) piece(first byte, p []byte) {
	if (first&^last == opContinuation) != (j.opcode != 0) {
		panic("a piece out of turn")
	}
	j.opcode |= first &^ last
	if j.message = append(j.message, p...); first&last != 0 {
		if j.opcode == opText && !utf8.Valid(j.message) {
			panic("text that is not UTF-8")
		}
		fmt.Fprintf(j, "%x %q\n", j.opcode, j.message)
		j.opcode, j.message = 0, nil
	}
}

func (j *joined) ping(p []byte)   { fmt.Fprintf(j, "ping %q\n", p) }
func (j *joined) closed(p []byte) { fmt.Fprintf(j, "closed %q\n", p) }
