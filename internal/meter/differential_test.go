package meter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/wirehost/wirehost/internal/jumps"
	"github.com/wirehost/wirehost/internal/wasmbin"
)

// outcome is all that one can see of a module after its exports have run.
type outcome struct {
	results []string
	memory  []byte
}

// runAll calls every exported function, and starts afresh after a trap.
func runAll(t *testing.T, wasm []byte, metered bool) (o outcome) {
	ctx := context.Background()
	r := wazero.NewRuntime(ctx)
	defer r.Close(ctx)
	guard := NewGuard(monotonic(), nil)
	guard.slice = maxPiece + 96 // the least that works, so that refills are many
	if metered {
		out, err := compiled(wasm, Options{StackBytes: MaxStackBytes})
		if err != nil {
			t.Fatalf("Rewrite: %v", err)
		}
		wasm = out
		if err := Instantiate(ctx, r); err != nil {
			t.Fatal(err)
		}
		ctx = With(ctx, guard)
	}
	compiled, err := r.CompileModule(ctx, wasm)
	if err != nil {
		t.Fatalf("metered %t: %v", metered, err)
	}
	var m api.Module
	for i := range len(compiled.ExportedFunctions()) {
		if m == nil {
			guard.Arm(time.Minute)
			if m, err = r.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName("")); err != nil {
				t.Fatalf("metered %t: %v", metered, err)
			}
		}
		trapped := o.call(ctx, guard, m, string(rune('a'+i)))
		o.look(m)
		if trapped {
			m.Close(ctx)
			m = nil
		}
	}
	return o
}

// compiled does to a module what a host does: jumps become direct, and are metered.
func compiled(wasm []byte, o Options) ([]byte, error) {
	m, err := wasmbin.Decode(wasm)
	if err != nil {
		return nil, err
	}
	if _, err := jumps.Thread(m); err != nil {
		return nil, err
	}
	if _, err := jumps.Narrow(m); err != nil {
		return nil, err
	}
	out, _, err := RewriteModule(m, len(wasm), o)
	return out, err
}

func (o *outcome) call(ctx context.Context, guard *Guard, m api.Module, name string) (trapped bool) {
	f := m.ExportedFunction(name)
	slots := 0
	for _, t := range f.Definition().ParamTypes() {
		slots++
		if wasmbin.ValueType(t) == wasmbin.V128 {
			slots++
		}
	}
	args := make([]uint64, slots)
	for i := range args {
		args[i] = uint64(i+1) * 77
	}
	m.ExportedGlobal("E").(api.MutableGlobal).Set(genCalls)
	guard.Arm(time.Minute)
	results, err := f.Call(ctx, args...)
	if err != nil {
		o.results = append(o.results, name+" trapped: "+cause(err))
		return true
	}
	o.results = append(o.results, fmt.Sprintf("%s gives %#x", name, results))
	return false
}

func (o *outcome) look(m api.Module) {
	for i := range genGlobals + 1 {
		o.results = append(o.results, fmt.Sprintf("global %d is %#x", i, m.ExportedGlobal(string(rune('A'+i))).Get()))
	}
	b, _ := m.Memory().Read(0, m.Memory().Size())
	o.memory = append(o.memory[:0], b...)
	var sum uint64
	for _, c := range b {
		sum = sum*31 + uint64(c)
	}
	o.results = append(o.results, fmt.Sprintf("memory of %d, sum %#x", len(b), sum))
}

func differ(t *testing.T, seed1, seed2 uint64) (traps int) {
	wasm := generate(seed1, seed2)
	plain, metered := runAll(t, wasm, false), runAll(t, wasm, true)
	for i, want := range plain.results {
		if got := metered.results[i]; got != want {
			t.Fatalf("seeds %d, %d: %s plain, %s metered", seed1, seed2, want, got)
		}
		if bytes.Contains([]byte(want), []byte("trapped")) {
			traps++
		}
	}
	if !bytes.Equal(plain.memory, metered.memory) {
		t.Fatalf("seeds %d, %d: the memories differ", seed1, seed2)
	}
	return traps
}

// TestDifferential compares generated modules, metered and not.
func TestDifferential(t *testing.T) {
	modules, calls, traps := 150, 0, 0
	var threaded jumps.Info
	var narrowed jumps.Narrowed
	if testing.Short() {
		modules = 20
	}
	for seed := range modules {
		traps += differ(t, 1, uint64(seed))
		calls++
		m, err := wasmbin.Decode(generate(1, uint64(seed)))
		if err != nil {
			t.Fatal(err)
		}
		info, err := jumps.Thread(m)
		if err != nil {
			t.Fatal(err)
		}
		n, err := jumps.Narrow(m)
		if err != nil {
			t.Fatal(err)
		}
		narrowed.Sums, narrowed.Offsets = narrowed.Sums+n.Sums, narrowed.Offsets+n.Offsets
		threaded.Jumps += info.Jumps
		threaded.Threaded += info.Threaded
		threaded.Set += info.Set
	}
	t.Logf("%d modules, %d traps, %+v, %+v", modules, traps, threaded, narrowed)
}

func FuzzDifferential(f *testing.F) {
	for seed := range uint64(5) {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, seed1, seed2 uint64) { differ(t, seed1, seed2) })
}

// FuzzRewrite feeds broken modules: none may panic the rewriter, and what it
// takes of those that wazero takes, wazero takes metered, too.
func FuzzRewrite(f *testing.F) {
	f.Add([]byte("\x00asm\x01\x00\x00\x00"))
	for seed := range uint64(8) {
		wasm := generate(2, seed)
		f.Add(wasm[:min(len(wasm), 4000)])
		f.Add(small(seed))
	}
	f.Add(referring().Encode())
	f.Add(wide(1, code(wasmbin.OpCall, 0)).Encode())
	odd := functionsOf(wasmbin.OpEnd)
	odd.Custom = []wasmbin.Custom{{}, {Name: wasmbin.NameSection},
		{Name: wasmbin.NameSection, Data: code(1, 3, 1, 0, 0)}}
	f.Add(odd.Encode())
	f.Fuzz(func(t *testing.T, wasm []byte) {
		out, _, err := Rewrite(wasm, Options{})
		if err != nil {
			if out != nil {
				t.Fatal("a module and an error")
			}
			return
		}
		checkRewritten(t, wasm, out)
		ctx := context.Background()
		r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
		defer r.Close(ctx)
		if _, err := r.CompileModule(ctx, wasm); err != nil {
			return
		}
		if _, err := r.CompileModule(ctx, out); err != nil {
			t.Fatalf("valid before, and now: %v", err)
		}
		if _, _, err := Rewrite(out, Options{}); !errors.Is(err, ErrReserved) {
			t.Fatalf("metering twice gives %v, wanted ErrReserved", err)
		}
	})
}

// checkRewritten holds a metered module against what is promised of all: it is
// not much larger, has no section but those that a runtime needs, makes no
// reference twice, and takes what Measure says of the original.
func checkRewritten(t *testing.T, wasm, out []byte) {
	if most := 4*len(wasm) + 2*slackGrowth; len(out) > most {
		t.Fatalf("%d bytes became %d", len(wasm), len(out))
	}
	before, err := wasmbin.Decode(wasm)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Measure(before, Options{})
	if err != nil {
		t.Fatalf("rewritten, and not measured: %v", err)
	}
	after, err := wasmbin.Decode(out)
	if err != nil {
		t.Fatalf("what we wrote: %v", err)
	}
	u, err := scanUse(after)
	if err != nil {
		t.Fatalf("what we wrote: %v", err)
	}
	if len(after.Custom) > 1 || u.refs > 0 {
		t.Fatalf("custom sections %v, %d functions of ref.func", after.Custom, u.refs)
	}
	if g := measure(after, Options{}, u); g.Elements+g.Refs != f.Elements+f.Refs || g.Data != f.Data {
		t.Fatalf("measured as %v, and metered %v", f, g)
	}
}

// small is a generated module without its large segments.
func small(seed uint64) []byte {
	m, err := wasmbin.Decode(generate(3, seed))
	if err != nil {
		panic(err)
	}
	m.Data[0].Init = m.Data[0].Init[:10]
	for i := range m.Elements {
		m.Elements[i].Functions = m.Elements[i].Functions[:4]
	}
	return m.Encode()
}
