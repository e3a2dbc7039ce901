//go:build unix

package bounded

import "syscall"

// Nonblock is a flag with which the opening of a pipe returns at once. It changes nothing for
// files.
const Nonblock = syscall.O_NONBLOCK
