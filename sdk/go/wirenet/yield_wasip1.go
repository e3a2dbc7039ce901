package wirenet

import (
	"runtime"
	"runtime/metrics"
)

// waiting finds out whether all goroutines wait. Only the callbacks' goroutine
// uses it.
type waiting struct{ sample [1]metrics.Sample }

// yield lets the goroutines run, mostly until all wait.
func (w *waiting) yield() { runtime.Gosched() }

// all tells whether they do. There is one thread, and it runs the caller, so the
// count is exact.
func (w *waiting) all() bool {
	w.sample[0].Name = "/sched/goroutines/runnable:goroutines"
	metrics.Read(w.sample[:])
	v := w.sample[0].Value
	return v.Kind() != metrics.KindUint64 || v.Uint64() == 0
}
