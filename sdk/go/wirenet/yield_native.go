//go:build !wasip1

package wirenet

import "runtime"

// waiting is, natively, no more than a hint: goroutines have threads of their
// own, and wake the callbacks' one.
type waiting struct{}

func (w *waiting) yield()    { runtime.Gosched() }
func (w *waiting) all() bool { return true }
