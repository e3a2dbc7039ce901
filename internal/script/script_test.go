package script

import "testing"

// TestPattern: the stream is that of the formula, at any offset.
func TestPattern(t *testing.T) {
	for _, c := range [][2]int{{0, 300_000}, {65_535, 3}, {12_345_678, 65_536}, {7, 0}, {200_001, 65_537}} {
		p := Pattern(c[0], c[1])
		if len(p) != c[1] {
			t.Fatalf("found %d bytes, wanted %d", len(p), c[1])
		}
		for i, b := range p {
			at := c[0] + i
			if want := byte(at>>2*0x9d>>(at&3*2) + at); b != want {
				t.Fatalf("at %d: found %d, wanted %d", at, b, want)
			}
		}
	}
}
