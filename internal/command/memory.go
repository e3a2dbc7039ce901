package command

import "runtime/debug"

// memoryLimit sets Go's memory limit as the host asks for it; nil where GOMEMLIMIT
// says what it is to be.
func (a *app) memoryLimit() func(bytes int64) {
	if a.getenv("GOMEMLIMIT") != "" {
		return nil
	}
	return func(bytes int64) { debug.SetMemoryLimit(bytes) }
}
