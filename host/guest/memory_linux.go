package guest

import (
	"bytes"
	"os"

	"golang.org/x/sys/unix"
)

// addressesAreScarce tells whether the process's addresses, or what may be mapped
// in all, are limited.
func addressesAreScarce() bool {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_AS, &limit); err == nil && limit.Cur < 1<<46 {
		return true
	}
	mode, err := os.ReadFile("/proc/sys/vm/overcommit_memory")
	return err == nil && bytes.HasPrefix(mode, []byte("2"))
}
