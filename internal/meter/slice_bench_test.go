//go:build linux

package meter

import (
	"errors"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkSlice reports how much of a processor's time a slice of fuel takes:
// the time for which a guest holds off Go's scheduler and collector.
func BenchmarkSlice(b *testing.B) {
	for _, bb := range []struct {
		name string
		wasm []byte
	}{
		{"empty loop", oneType(body{code: forever()})},
		{"first loads", misses(false)},
		{"first stores", misses(true)},
		{"fills", fills(b)},
	} {
		b.Run(bb.name, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			var slice []time.Duration
			for range max(b.N/1000, 1) {
				i := start(b, bb.wasm, true)
				last := time.Duration(0)
				i.guard.clock = func() time.Duration {
					now := threadTime(b)
					if last > 0 {
						slice = append(slice, now-last)
					}
					last = threadTime(b)
					return now
				}
				i.guard.Arm(50 * time.Millisecond)
				if _, err := i.ExportedFunction("f").Call(i.ctx); !errors.Is(err, ErrTime) {
					b.Fatal(err)
				}
			}
			slices.Sort(slice)
			us := func(q float64) float64 { return float64(slice[int(q*float64(len(slice)-1))]) / 1e3 }
			b.ReportMetric(us(0.5), "p50-µs")
			b.ReportMetric(us(0.99), "p99-µs")
			b.ReportMetric(us(1), "max-µs")
		})
	}
}

func threadTime(b *testing.B) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ts.Nano())
}
