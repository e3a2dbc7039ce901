package meter

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

// forever repeats code in a loop without end.
func forever(parts ...any) []byte {
	return code(wasmbin.OpLoop, 0x40, code(parts...), wasmbin.OpBr, 0, wasmbin.OpEnd)
}

// doubling calls twice a function that calls twice, and so on: 2^n calls
// without a loop or a cycle.
func doubling(n int) (all []body) {
	for i := range n {
		all = append(all, body{code: code(call(i+1), call(i+1))})
	}
	return append(all, body{})
}

// Every way that we know to run without end is ended. The clock goes on by 10 ms
// each time that it is read, so that the real time does not matter.
func TestEndless(t *testing.T) {
	zero := code(wasmbin.OpI32Const, 0)
	one := code(wasmbin.OpI32Const, 1)
	block := []byte{0x40}
	tests := []struct {
		name string
		wasm []byte
	}{
		{"empty loop", oneType(body{code: forever()})},
		{"conditional loop", oneType(body{code: code(wasmbin.OpLoop, block, one, wasmbin.OpBrIf, 0, wasmbin.OpEnd)})},
		{"loop through br_table",
			oneType(body{code: code(wasmbin.OpLoop, block, zero, wasmbin.OpBrTable, 1, 0, 0, wasmbin.OpEnd)})},
		{"loop from inside an if",
			oneType(body{code: code(wasmbin.OpLoop, block, one, wasmbin.OpIf, block, wasmbin.OpBr, 1,
				wasmbin.OpEnd, wasmbin.OpEnd)})},
		{"inner loops that end", oneType(body{code: forever(wasmbin.OpLoop, block, wasmbin.OpEnd)})},
		{"loop of calls", oneType(body{code: forever(call(1))}, body{})},
		{"loop of indirect calls", oneType(body{code: forever(one, wasmbin.OpCallIndirect, 0, 0)}, body{})},
		{"calls that double", oneType(doubling(60)...)},
		{"recursion that doubles", oneType(body{code: code(one, wasmbin.OpIf, block, call(1), call(1), wasmbin.OpEnd)},
			body{code: code(repeat(40, func(int) []byte { return forever() }))})},
		{"fills",
			oneType(body{code: forever(zero, zero, wasmbin.OpI32Const, []byte{0x80, 0x80, 0x04}, wasmbin.OpMemoryFill,
				0)})},
		{"copies of nothing", oneType(body{code: forever(zero, zero, zero, wasmbin.OpMemoryCopy, 0, 0)})},
		{"growth by nothing", oneType(body{code: forever(zero, wasmbin.OpMemoryGrow, 0, wasmbin.OpDrop)})},
		{"table growth by nothing",
			oneType(body{code: forever(wasmbin.OpRefNull, []byte{0x70}, zero, wasmbin.OpTableGrow, 0,
				wasmbin.OpDrop)})},
		{"ref.func", oneType(body{code: forever(wasmbin.OpRefFunc, 0, wasmbin.OpDrop)})},
		{"long straight code",
			oneType(
				body{
					code: forever(repeat(20_000, func(int) []byte {
						return code(wasmbin.OpMemorySize, 0, wasmbin.OpDrop)
					}))})},
		{"endless code behind a block",
			oneType(body{code: forever(wasmbin.OpBlock, block, one, wasmbin.OpBrIf, 0, call(1), wasmbin.OpEnd,
				repeat(5000, func(int) []byte { return code(zero, wasmbin.OpI32Eqz, wasmbin.OpDrop) }))}, body{})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			i := start(t, tt.wasm, true)
			now := time.Duration(0)
			i.guard.clock = func() time.Duration { now += 10 * time.Millisecond; return now }
			i.guard.Arm(100 * time.Millisecond)
			if _, err := i.ExportedFunction("f").Call(i.ctx); !errors.Is(err, ErrTime) {
				t.Fatalf("ended with %v, wanted ErrTime", err)
			}
			if i.guard.Used() != 100*time.Millisecond {
				t.Errorf("used %v, wanted 100ms", i.guard.Used())
			}
		})
	}
}

// TestGuard holds the clock's arithmetic: what is carried over, what is capped.
func TestGuard(t *testing.T) {
	now := time.Duration(0)
	g := NewGuard(func() time.Duration { return now }, nil)
	g.Arm(100 * time.Millisecond)
	g.Check() // the first look starts the count
	now += time.Hour
	g.Check()
	if got := g.Used(); got != 50*time.Millisecond {
		t.Errorf("after a gap of an hour %v are used, wanted half the limit", got)
	}
	now += 49 * time.Millisecond
	g.Check()
	now += time.Millisecond
	if err := panics(g.Check); !errors.Is(err, ErrTime) || !strings.Contains(err.Error(), "100ms") {
		t.Errorf("at the limit: %v, wanted ErrTime of 100ms", err)
	}
	g.Arm(time.Second)
	if g.Used() != 0 {
		t.Errorf("armed again, %v are used", g.Used())
	}
	if err := panics(func() { g.refill(stackIsOut) }); !errors.Is(err, ErrStack) {
		t.Errorf("out of stack: %v", err)
	}
	if err := panics(NewGuard(func() time.Duration { return now }, nil).Check); !errors.Is(err, ErrTime) {
		t.Errorf("never armed: %v, wanted ErrTime", err)
	}
}

// TestStarved: time in which the process had no processor is not the guest's.
func TestStarved(t *testing.T) {
	var now, cpu time.Duration
	g := NewGuard(func() time.Duration { return now }, func() time.Duration { return cpu })
	g.Arm(100 * time.Millisecond)
	check := func() { now, cpu = now+time.Millisecond, cpu+time.Millisecond/10; g.Check() }
	for range 1 + 25 + 1 + 739 { // the start, a quarter by the clock, the first look at the other, tenths
		check()
	}
	if err := panics(check); !errors.Is(err, ErrTime) {
		t.Errorf("%v, %v used, wanted ErrTime", err, g.Used())
	}
	g.Arm(100 * time.Millisecond)
	check = func() { now, cpu = now+time.Millisecond, cpu+10*time.Millisecond; g.Check() } // on ten processors
	for range 100 {
		check()
	}
	if g.Used() != 99*time.Millisecond {
		t.Errorf("%v used, wanted no more than the clock's", g.Used())
	}
}

func panics(f func()) (err error) {
	defer func() { err, _ = recover().(error) }()
	f()
	return nil
}

// TestCallbackCostsNoRefill: what fuel is left serves the next callback.
func TestCallbackCostsNoRefill(t *testing.T) {
	i := start(t, oneType(body{code: code(wasmbin.OpLoop, 0x40, wasmbin.OpEnd, call(1))}, body{}), true)
	reads := 0
	i.guard.clock = func() time.Duration { reads++; return 0 }
	const calls = 1000
	for range calls {
		i.call(t, "f")
	}
	if reads < 1 || reads > 5 {
		t.Errorf("%d callbacks read the clock %d times, wanted 1 to 5", calls, reads)
	}
}

// TestEchoPlugin takes the plugin that ships with the host, with imports that
// do nothing.
func TestEchoPlugin(t *testing.T) {
	wasm, err := os.ReadFile("../../plugins/echo/echo.wasm")
	if err != nil {
		t.Skipf("not built: %v", err)
	}
	out, info, err := Rewrite(wasm, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", *info)
	ctx := context.Background()
	r := wazero.NewRuntime(ctx)
	defer r.Close(ctx)
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	if err := Instantiate(ctx, r); err != nil {
		t.Fatal(err)
	}
	stub(t, r, wasm)
	guard := NewGuard(monotonic(), nil)
	guard.Arm(10 * time.Second)
	ctx = With(ctx, guard)
	m, err := r.InstantiateWithConfig(ctx, out, wazero.NewModuleConfig().WithStartFunctions("_initialize"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.ExportedFunction("receiveBuffer").Call(ctx)
	if err != nil || got[0]>>32 == 0 || uint32(got[0]) == 0 {
		t.Fatalf("receiveBuffer gives %#x, %v", got, err)
	}
	for _, c := range []struct {
		name string
		args []uint64
	}{{"startFactory", nil}, {"buildProtocol", []uint64{1}}, {"connectionMade", []uint64{1}},
		{"dataReceived", []uint64{1, got[0] >> 32, 16}}, {"connectionLost", []uint64{1, 0}}} {
		if _, err := m.ExportedFunction(c.name).Call(ctx, c.args...); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// stub gives a module its imports: functions that give 0.
func stub(t *testing.T, r wazero.Runtime, wasm []byte) {
	m, err := wasmbin.Decode(wasm)
	if err != nil {
		t.Fatal(err)
	}
	builders := map[string]wazero.HostModuleBuilder{}
	types := func(all []wasmbin.ValueType) (out []api.ValueType) {
		for _, v := range all {
			out = append(out, api.ValueType(v))
		}
		return out
	}
	for _, im := range m.Imports {
		if im.Kind != wasmbin.KindFunction || im.Module == wasi_snapshot_preview1.ModuleName {
			continue
		}
		b := builders[im.Module]
		if b == nil {
			b = r.NewHostModuleBuilder(im.Module)
			builders[im.Module] = b
		}
		sig := m.Types[im.Function]
		f := func(_ context.Context, stack []uint64) {
			if len(sig.Results) > 0 {
				stack[0] = 0
			}
		}
		b.NewFunctionBuilder().WithGoFunction(api.GoFunc(f), types(sig.Params), types(sig.Results)).Export(im.Name)
	}
	for _, b := range builders {
		if _, err := b.Instantiate(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}
