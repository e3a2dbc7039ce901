//go:build !unix

package bounded

// Nonblock is nothing here.
const Nonblock = 0
