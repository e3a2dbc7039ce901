//go:build !linux

package host

// processUse is not measured here: the descriptor limit shows when accept fails.
func processUse(uint64, func() int, func() uint64) func() []use { return func() []use { return nil } }

// resident is not measured here.
func resident(uint64) uint64 { return 0 }

// mostQueued is a quarter of what the process may have, where that is known.
func mostQueued(memory uint64) uint64 { return memory / 4 }
