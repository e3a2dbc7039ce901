package meter

import (
	"slices"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
)

// BenchmarkGuests runs each guest plain and metered, in turns, so that what
// else the machine does falls on both; x/plain is the ratio.
func BenchmarkGuests(b *testing.B) {
	for _, bb := range []struct {
		name  string
		build func(testing.TB) []byte
		call  string
		arg   uint64
	}{
		{"tight loop", cGuest, "tight", 1_000_000},
		{"fib", cGuest, "fib", 24},
		{"C line parser", cGuest, "lines", 61440},
		{"C SHA-256", cGuest, "sum", 61440},
		{"Go line parser", goGuest, "lines", 61440},
		{"Go SHA-256", goGuest, "sum", 61440},
		{"Go fmt, json, regexp", goGuest, "work", 300},
	} {
		b.Run(bb.name, func(b *testing.B) {
			plain, metered := start(b, bb.build(b), false), start(b, bb.build(b), true)
			for _, i := range []*instance{plain, metered} {
				i.fill(b, text())
				i.call(b, bb.call, bb.arg)
			}
			compare(b, plain.repeat(b, bb.call, bb.arg), metered.repeat(b, bb.call, bb.arg))
		})
	}
}

// repeat gives a function that calls an export n times.
func (i *instance) repeat(b *testing.B, name string, args ...uint64) func(n int) {
	f := i.ExportedFunction(name)
	stack := make([]uint64, 4)
	return func(n int) {
		for range n {
			copy(stack, args)
			i.guard.Arm(time.Minute)
			if err := f.CallWithStack(i.ctx, stack); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// compare runs both in turns of b.N/rounds and reports the ratio
// of the least times: the rounds that nothing disturbed.
func compare(b *testing.B, plain, metered func(n int)) {
	const rounds = 41
	n := max(b.N/rounds, 1)
	var times [2][]time.Duration
	b.ResetTimer()
	for range rounds {
		for k, f := range []func(int){plain, metered} {
			from := time.Now()
			f(n)
			times[k] = append(times[k], time.Since(from))
		}
	}
	b.StopTimer()
	p, m := slices.Min(times[0]), slices.Min(times[1])
	b.ReportMetric(float64(p)/float64(n), "plain-ns/op")
	b.ReportMetric(float64(m)/float64(n), "metered-ns/op")
	b.ReportMetric(float64(m)/float64(p), "x/plain")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkCallback is a call into a guest that does nothing.
func BenchmarkCallback(b *testing.B) {
	plain, metered := start(b, cGuest(b), false), start(b, cGuest(b), true)
	b.ReportAllocs()
	compare(b, plain.repeat(b, "nothing"), metered.repeat(b, "nothing"))
}

// BenchmarkRewrite rewrites a Go guest; share/compile is the part of the time
// that compiling the plain one takes.
func BenchmarkRewrite(b *testing.B) {
	plain := goGuest(b)
	metered, info, err := Rewrite(plain, Options{})
	if err != nil {
		b.Fatal(err)
	}
	var compilePlain, compileMetered, rewrite []time.Duration
	for range 5 {
		compilePlain = append(compilePlain, compileTime(b, plain))
		compileMetered = append(compileMetered, compileTime(b, metered))
	}
	b.SetBytes(int64(len(plain)))
	b.ReportAllocs()
	for b.Loop() {
		from := time.Now()
		if _, _, err := Rewrite(plain, Options{}); err != nil {
			b.Fatal(err)
		}
		rewrite = append(rewrite, time.Since(from))
	}
	p := float64(slices.Min(compilePlain))
	b.ReportMetric(p/1e6, "compile-ms")
	b.ReportMetric(float64(slices.Min(rewrite))/p, "share/compile")
	b.ReportMetric((float64(slices.Min(compileMetered))+float64(slices.Min(rewrite)))/p, "all/compile")
	b.ReportMetric(float64(len(metered))/float64(len(plain)), "size/plain")
	b.Logf("%+v", *info)
}

func compileTime(b *testing.B, wasm []byte) time.Duration {
	ctx := b.Context()
	r := wazero.NewRuntime(ctx)
	defer r.Close(ctx)
	from := time.Now()
	if _, err := r.CompileModule(ctx, wasm); err != nil {
		b.Fatal(err)
	}
	return time.Since(from)
}
