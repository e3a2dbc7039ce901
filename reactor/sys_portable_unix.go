//go:build !windows

package reactor

import "syscall"

// systemErrno is e as the loops know it: the system's numbers are theirs.
func systemErrno(e syscall.Errno) syscall.Errno { return e }
