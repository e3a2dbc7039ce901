//go:build !linux

package reactor

import "fmt"

// openSys makes the Sys of a backend: there is only the portable one here.
func openSys(backend string) (Sys, string, error) {
	switch backend {
	case "", "auto", "portable":
		return newPortableSys(), "portable", nil
	}
	return nil, "", fmt.Errorf("reactor: found backend %q, wanted auto or portable on this system", backend)
}
