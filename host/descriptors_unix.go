//go:build unix

package host

import "golang.org/x/sys/unix"

// descriptorLimit is how many descriptors the process may have; 0 = nobody says.
func descriptorLimit() uint64 {
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &lim) != nil {
		return 0
	}
	return uint64(lim.Cur)
}
