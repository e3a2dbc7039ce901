package wirenet

import (
	"runtime"
	"runtime/metrics"
)

// waiting finds out whether all goroutines wait, and for how long. Only the
// callbacks' goroutine uses it.
type waiting struct{ sample [1]metrics.Sample }

// Go's runtime makes its table of metrics at the first Read. That is here, in _initialize:
// so it lies in the image that instances are made from.
var _ = new(waiting).all()

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

// next is when the next timer of Go's runtime is due, as nanos counts; 0 is none.
// false: that is not known.
func (w *waiting) next() (int64, bool) { return timers.next() }

//go:wasmimport wasi_snapshot_preview1 clock_time_get
//go:noescape
func clockTimeGet(id uint32, precision uint64, at *int64) uint32

// nanos is the clock by which Go's runtime has its timers.
func nanos() int64 {
	const monotonic = 1
	var at int64
	clockTimeGet(monotonic, 0, &at) // it can't fail, and would leave 0
	return at
}
