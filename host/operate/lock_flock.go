//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package operate

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockFile locks a file against other processes, for as long as this one lives at most. It
// does not wait.
func lockFile(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another process has %s: %w", path, err), f.Close())
	}
	return f.Close, nil // with the last descriptor goes the lock
}
