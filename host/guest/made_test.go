package guest

import (
	"fmt"
	"testing"
)

// TestInstanceMade: each instance is told of 32 random bytes of its own, once and
// before startFactory, in its receive buffer, and what it asks for itself is its own
// too.
func TestInstanceMade(t *testing.T) {
	for _, image := range []bool{false, true} {
		t.Run(fmt.Sprintf("image %t", image), func(t *testing.T) {
			s := standing(t, "seeds", func(s *Settings) { s.Image = image })
			seen := map[string]bool{}
			for range 4 {
				i := s.instance(t)
				b, _ := i.mem.Read(0, 72)
				if ptr, size := le32(b[64:]), le32(b[68:]); ptr != i.recvPtr || size != 32 {
					t.Errorf("found %d bytes at %#x, wanted 32 at %#x", size, ptr, i.recvPtr)
				}
				for _, random := range []string{string(b[:32]), string(b[32:64])} {
					if seen[random] || random == string(make([]byte, 32)) {
						t.Errorf("found %x a second time", random)
					}
					seen[random] = true
				}
			}
		})
	}
}
