package sdk_test

import (
	"testing"

	"github.com/wirehost/wirehost/host/config"
)

// Every SDK tells the factory of each instance's seed, before its first connection.
func TestInstanceMade(t *testing.T) {
	for _, l := range languages() {
		if l.name == "WAT" {
			continue // has no SDK
		}
		t.Run(l.name, func(t *testing.T) {
			s := serve(t, config.Plugin{Module: build(t, l, seed), Isolation: config.IsolationConnection})
			want, seen := 32, map[string]bool{string(make([]byte, 8)): true}
			if l.name == "AssemblyScript" {
				want += 8 // and a number of Math.random's
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
