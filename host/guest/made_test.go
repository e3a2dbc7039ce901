package guest

import (
	"fmt"
	"testing"
)

// TestInstanceMade: each instance is told of 32 random bytes of its own, once and
// before startFactory, in its receive buffer, and what it asks for itself is its own
// too. What the start drew is the image's, and none of these.
func TestInstanceMade(t *testing.T) {
	for _, image := range []bool{false, true} {
		t.Run(fmt.Sprintf("image %t", image), func(t *testing.T) {
			s := standing(t, "seeds", func(s *Settings) { s.Image = image })
			seen := map[string]bool{}
			started := ""
			for range 4 {
				i := s.instance(t)
				b, _ := i.mem.Read(0, 136)
				if ptr, size := le32(b[128:]), le32(b[132:]); ptr != i.recvPtr || size != 32 {
					t.Errorf("found %d bytes at %#x, wanted 32 at %#x", size, ptr, i.recvPtr)
				}
				if drawn := string(b[96:128]); image && started != "" && drawn != started {
					t.Errorf("found %x drawn by the start, wanted the image's %x", drawn, started)
				} else {
					started = drawn
				}
				for _, random := range []string{string(b[:32]), string(b[32:64]), string(b[64:96])} {
					if seen[random] || random == string(make([]byte, 32)) {
						t.Errorf("found %x a second time", random)
					}
					if random == started {
						t.Errorf("found what the start drew: %x", random)
					}
					seen[random] = true
				}
			}
		})
	}
}
