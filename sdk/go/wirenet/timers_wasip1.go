package wirenet

import (
	"runtime"
	"time"
	"unsafe"
)

// timers are those of Go's runtime. They are looked for once, in _initialize.
var timers = findTimers()

// runtimeTimers are two words that the runtime keeps about the timers of its one
// processor, in nanoseconds of its clock: when the first one is due of those that are
// in order, and of those that were set anew since. They are nil where they were not
// found (RATIONALE.md).
type runtimeTimers struct{ first, modified *int64 }

func (t runtimeTimers) next() (at int64, known bool) {
	if t.first == nil {
		return 0, false
	}
	at = *t.first
	if m := *t.modified; at == 0 || m != 0 && m < at {
		at = m
	}
	return at, true
}

// findTimers finds them by what they do: a timer of its own is set, and set anew. The
// moments of both are known, stand in the timer itself, and must show in two words
// behind each other of something that the timer points to.
func findTimers() (found runtimeTimers) {
	const long, short, words = time.Hour, time.Hour / 2, 16
	began := nanos()
	own := time.AfterFunc(long, func() {})
	defer func() {
		own.Stop()
		runtime.Gosched() // and takes it out of its list
	}()
	timer := unsafe.Pointer(own)
	when := 0
	for when < words && !within(*word(timer, when), began, long) {
		when++
	}
	set := *word(timer, when)
	for i := when + 1; i < words; i++ {
		list := *word(timer, i)
		if list < 4096 || list > 1<<32-8*words || list%8 != 0 {
			continue // no address
		}
		p := *(*unsafe.Pointer)(unsafe.Add(timer, 8*i))
		for k := range words {
			if *word(p, k) != set {
				continue
			}
			own.Reset(short)
			if anew := *word(timer, when); anew == *word(p, k+1) && within(anew, began, short) {
				return runtimeTimers{word(p, k), word(p, k+1)}
			}
			return runtimeTimers{}
		}
	}
	return runtimeTimers{}
}

func word(p unsafe.Pointer, n int) *int64 { return (*int64)(unsafe.Add(p, 8*n)) }

// within tells whether at is d from a moment that began at least.
func within(at, began int64, d time.Duration) bool {
	return at >= began+int64(d) && at <= nanos()+int64(d)
}
