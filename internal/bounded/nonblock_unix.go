//go:build unix

package bounded

import "syscall"

// nonblock has the opening of a pipe return at once. It changes nothing for files.
const nonblock = syscall.O_NONBLOCK
