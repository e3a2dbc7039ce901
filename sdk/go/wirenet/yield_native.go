//go:build !wasip1

package wirenet

import (
	"runtime"
	"time"
)

// waiting is, natively, no more than a hint: goroutines have threads of their
// own, and wake the callbacks' one.
type waiting struct{}

func (w *waiting) yield()              { runtime.Gosched() }
func (w *waiting) all() bool           { return true }
func (w *waiting) next() (int64, bool) { return 0, false }

var began = time.Now()

func nanos() int64 { return int64(time.Since(began)) }
