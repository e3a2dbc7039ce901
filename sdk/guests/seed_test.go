package sdk_test

import (
	"fmt"
	"testing"

	"github.com/wirehost/wirehost/host/config"
)

// Every SDK tells the factory of each instance's seed, before its first connection, also
// of those that are made from an image. So are the bytes of its random, which asks the
// server more than once for many.
func TestInstanceMade(t *testing.T) {
	for _, l := range languages() {
		if l.name == "WAT" {
			continue // has no SDK
		}
		for _, image := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/image %t", l.name, image), func(t *testing.T) {
				s := serve(t, config.Plugin{
					Module: build(t, l, seed), Isolation: config.IsolationConnection, Image: image,
				})
				want, seen := 32+16, map[string]bool{string(make([]byte, 8)): true}
				if l.name == "AssemblyScript" || l.name == "Go" {
					want += 8 // and a number of the language's own generator
				}
				for range 3 {
					found := exchange(t, s.addr, true)
					if len(found) != want {
						t.Fatalf("found %q, wanted %d bytes", found, want)
					}
					for ; len(found) > 0; found = found[8:] {
						if seen[found[:8]] {
							t.Errorf("%q is none of this instance alone", found[:8])
						}
						seen[found[:8]] = true
					}
				}
			})
		}
	}
}
