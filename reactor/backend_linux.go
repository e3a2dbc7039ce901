package reactor

import "fmt"

// openSys makes the Sys of a backend: epoll by default.
func openSys(backend string) (Sys, string, error) {
	switch backend {
	case "", "auto", "epoll":
		s, err := newLinuxSys()
		return s, "epoll", err
	case "portable":
		return newPortableSys(), "portable", nil
	}
	return nil, "", fmt.Errorf("reactor: found backend %q, wanted auto, epoll or portable on this system", backend)
}
