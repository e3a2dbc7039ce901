//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package admin

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lock locks a folder against other servers, for as long as the process lives at
// most. It waits for them.
func lock(dir string) (unlock func() error, err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err == nil {
			return f.Close, nil // with the last descriptor goes the lock
		}
		if !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("can't lock %s: %w", dir, err), f.Close())
		}
	}
}
