package guest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/wirehost/wirehost/internal/meter"
)

// countdown is a module whose function f goes round a loop so many times, depth calls
// down.
func countdown(depth int) []byte {
	code := []byte{byte(depth + 1)}
	body := func(b ...byte) {
		b = append(append([]byte{0}, b...), 0x0b)
		code = append(append(code, byte(len(b))), b...)
	}
	body(0x03, 0x40, 0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b) // loop: n--, and again if it is not 0
	types := []byte{byte(depth + 1), 0}
	for n := range depth {
		body(0x20, 0, 0x10, byte(n))
		types = append(types, 0)
	}
	wasm := []byte("\x00asm\x01\x00\x00\x00\x01\x05\x01\x60\x01\x7f\x00")
	section := func(id byte, b []byte) {
		wasm = append(wasm, id, byte(len(b)&0x7f|0x80), byte(len(b)>>7))
		wasm = append(wasm, b...)
	}
	section(3, types)
	section(7, []byte{1, 1, 'f', 0, byte(depth)})
	section(10, code)
	return wasm
}

// BenchmarkRefill is the meter's refill with and without a listener that has nothing to
// do, in turns: the difference is what profiles cost while there is none.
func BenchmarkRefill(b *testing.B) {
	for _, depth := range []int{1, 5, 10, 20, 40} {
		b.Run(fmt.Sprintf("depth=%d", depth), func(b *testing.B) {
			const rounds = 201
			count := 0
			with := refills(b, depth, &count, experimental.WithFunctionListenerFactory(b.Context(), profiler{}))
			without := refills(b, depth, &count, b.Context())
			var times [2][]time.Duration
			for b.Loop() {
				times = [2][]time.Duration{}
				for range rounds {
					for n, call := range []func(uint64){without, with} {
						began := time.Now()
						call(2000)
						times[n] = append(times[n], time.Since(began))
					}
				}
			}
			count = 0
			with(2000)
			least := func(n int) float64 { return float64(slices.Min(times[n])) / float64(count) }
			b.ReportMetric(least(0), "without-ns")
			b.ReportMetric(least(1), "with-ns")
			b.ReportMetric(least(1)-least(0), "more-ns")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// refills gives a function that has so many refills in a row.
func refills(b *testing.B, depth int, count *int, ctx context.Context) func(n uint64) {
	rt := wazero.NewRuntime(ctx)
	b.Cleanup(func() { _ = rt.Close(context.Background()) })
	if err := meter.Instantiate(ctx, rt); err != nil {
		b.Fatal(err)
	}
	wasm, _, err := meter.Rewrite(countdown(depth), meter.Options{})
	if err != nil {
		b.Fatal(err)
	}
	var guard *meter.Guard
	guard = meter.NewGuard(func() time.Duration { *count++; guard.Shorten(16); return 0 }, nil)
	call := &callContext{Context: meter.With(context.Background(), guard), inst: &Instance{}}
	guard.Arm(time.Second)
	mod, err := rt.Instantiate(call, wasm)
	if err != nil {
		b.Fatal(err)
	}
	f, stack := mod.ExportedFunction("f"), make([]uint64, 1)
	return func(n uint64) {
		stack[0] = api.EncodeU32(uint32(n))
		guard.Arm(time.Second)
		if err := f.CallWithStack(call, stack); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkProfile is an echo's callback with and without a profile, in turns: with one
// there is what times the callback, and a part of a burst.
func BenchmarkProfile(b *testing.B) {
	s := standing(b, "echo")
	to := &sink{}
	i := s.instance(b)
	c, err := i.BuildProtocol(to)
	if err != nil {
		b.Fatal(err)
	}
	c.ConnectionMade(to)
	began := time.Now()
	p := s.account.BeginProfile(1, func() time.Duration { return time.Since(began) })
	defer s.account.EndProfile(p)
	w := s.account.watch.Load()
	const rounds, each = 101, 20_000
	var times [2][]time.Duration
	for b.Loop() {
		for range rounds {
			for n, watched := range []*watch{nil, w} {
				i.watch = watched
				began := time.Now()
				for range each {
					c.DataReceived([]byte("1234"))
				}
				times[n] = append(times[n], time.Since(began))
			}
		}
	}
	middle := func(n int) float64 { slices.Sort(times[n]); return float64(times[n][len(times[n])/2]) / each }
	b.ReportMetric(middle(0), "without-ns")
	b.ReportMetric(middle(1), "with-ns")
	b.ReportMetric(0, "ns/op")
}
