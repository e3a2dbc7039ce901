//go:build !linux

package host

// processUse is not measured here: the descriptor limit shows when accept fails.
func (h *Host) processUse() []use { return nil }

func availableMemory() uint64 { return 0 }
