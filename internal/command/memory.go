package command

import (
	"runtime/debug"

	"github.com/wirehost/wirehost/internal/heapfloor"
)

// memoryLimit sets Go's memory limit as the host asks for it; nil where GOMEMLIMIT
// says what it is to be.
func (a *app) memoryLimit() func(bytes int64) {
	if a.getenv("GOMEMLIMIT") != "" {
		return nil
	}
	return func(bytes int64) { debug.SetMemoryLimit(bytes) }
}

// keepHeapFloor has the heap grow to heapfloor.Server before it is collected, until stop is
// called, but where GOGC says when it is to be.
func (a *app) keepHeapFloor() (stop func()) {
	if a.getenv("GOGC") != "" {
		return func() {}
	}
	return heapfloor.Keep(heapfloor.Server)
}
