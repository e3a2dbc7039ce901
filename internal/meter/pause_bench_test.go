package meter

import (
	"errors"
	"math"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

// misses loads from one address after another, each in another page and cache
// line, over n bytes of memory.
func misses(store bool) []byte {
	big := func(v int64) []byte { return wasmbin.AppendS64([]byte{byte(wasmbin.OpI32Const)}, v) }
	touch := code(wasmbin.OpLocalGet, 0, wasmbin.OpI32Load, 0, 0, wasmbin.OpLocalGet, 0, wasmbin.OpI32Add)
	if store {
		touch = code(wasmbin.OpLocalGet, 0, wasmbin.OpLocalGet, 0, wasmbin.Opcode(0x36), 0, 0, wasmbin.OpLocalGet, 0)
	}
	next := code(big(4096+64), wasmbin.OpI32Add, big(1<<26-8), wasmbin.Opcode(0x71), wasmbin.Opcode(0x22), 0)
	body := forever(repeat(100, func(int) []byte { return code(touch, next, wasmbin.OpDrop) }))
	m, err := wasmbin.Decode(oneType(bodyOf(body, 1)))
	if err != nil {
		panic(err)
	}
	m.Memories[0].Min = 1024
	return m.Encode()
}

func bodyOf(code []byte, locals uint32) body {
	return body{[]wasmbin.LocalRun{{Count: locals, Type: wasmbin.I32}}, code}
}

// fills fills 16 MiB at a time, of 64.
func fills(b *testing.B) []byte {
	fill := code(wasmbin.OpI32Const, 0, wasmbin.OpI32Const, 0, wasmbin.OpI32Const, []byte{0x80, 0x80, 0x80, 0x08},
		wasmbin.OpMemoryFill, 0)
	m, err := wasmbin.Decode(oneType(body{code: forever(fill)}))
	if err != nil {
		b.Fatal(err)
	}
	m.Memories[0].Min = 1024
	return m.Encode()
}

// BenchmarkStopTheWorld collects garbage while a guest does its worst beside
// it, and reports how long stopping the world took.
func BenchmarkStopTheWorld(b *testing.B) {
	for _, bb := range []struct {
		name string
		wasm []byte
	}{
		{"empty loop", oneType(body{code: forever()})},
		{"recursion", oneType(body{code: call(0)})},
		{"cache misses", misses(false)},
		{"stores", misses(true)},
		{"fills", fills(b)},
	} {
		b.Run(bb.name, func(b *testing.B) {
			stop, ended := make(chan bool), make(chan error)
			go spin(b, bb.wasm, stop, ended)
			const name = "/sched/pauses/stopping/gc:seconds"
			before := histogram(name)
			for b.Loop() {
				runtime.GC()
			}
			after := histogram(name)
			close(stop)
			if err := <-ended; err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(quantile(before, after, 0.5)*1e6, "p50-µs")
			b.ReportMetric(quantile(before, after, 0.99)*1e6, "p99-µs")
			b.ReportMetric(quantile(before, after, 1)*1e6, "max-µs")
		})
	}
}

// spin runs a guest again and again, 100 ms each time.
func spin(b *testing.B, wasm []byte, stop chan bool, ended chan error) {
	for {
		select {
		case <-stop:
			ended <- nil
			return
		default:
		}
		i := start(b, wasm, true)
		i.guard.Arm(100 * time.Millisecond)
		_, err := i.ExportedFunction("f").Call(i.ctx)
		if !errors.Is(err, ErrTime) && !errors.Is(err, ErrStack) {
			ended <- err
			return
		}
	}
}

func histogram(name string) *metrics.Float64Histogram {
	s := []metrics.Sample{{Name: name}}
	metrics.Read(s)
	h := *s[0].Value.Float64Histogram()
	h.Counts = append([]uint64(nil), h.Counts...)
	return &h
}

// quantile gives the upper bound of the bucket of what came between.
func quantile(before, after *metrics.Float64Histogram, q float64) float64 {
	total := uint64(0)
	for i := range after.Counts {
		total += after.Counts[i] - before.Counts[i]
	}
	want, seen := uint64(math.Ceil(q*float64(total))), uint64(0)
	for i := range after.Counts {
		if seen += after.Counts[i] - before.Counts[i]; seen >= want {
			return after.Buckets[i+1]
		}
	}
	return math.Inf(1)
}

// BenchmarkRecursion is the time that a recursion without bound takes to end.
func BenchmarkRecursion(b *testing.B) {
	for name, wasm := range map[string][]byte{
		"plain": oneType(body{code: call(0)}), "1000 values": oneType(body{code: manyValues(1000)}),
		"meetings": oneType(meetings(60)),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				i := start(b, wasm, true)
				f := i.ExportedFunction("f")
				i.guard.Arm(time.Minute)
				b.StartTimer()
				if _, err := f.Call(i.ctx); !errors.Is(err, ErrStack) {
					b.Fatal(err)
				}
			}
		})
	}
}
