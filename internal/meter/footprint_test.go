package meter

import (
	"context"
	"runtime"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

// crowd has a module of many of one thing.
func crowd() map[string]*wasmbin.Module {
	zero := wasmbin.Expr{Op: wasmbin.OpI32Const, Raw: []byte{byte(wasmbin.OpI32Const), 0}}
	table := func(n uint32) []wasmbin.TableType {
		return []wasmbin.TableType{{Element: wasmbin.Funcref, Limits: wasmbin.Limits{Min: n}}}
	}
	with := func(change func(m *wasmbin.Module), parts ...any) *wasmbin.Module {
		m := functionsOf(append(parts, wasmbin.OpEnd)...)
		change(m)
		return m
	}
	refs := func(m *wasmbin.Module) {
		var c []byte
		for i := range 10_000 {
			m.Functions = append(m.Functions, 0)
			c = append(c, code(wasmbin.OpRefFunc, i, wasmbin.OpDrop)...)
			m.Code = append(m.Code, wasmbin.Code{Body: code(wasmbin.OpEnd)})
		}
		m.Code[0].Body = append(c, byte(wasmbin.OpEnd))
		var all []uint32
		for i := range 10_000 {
			all = append(all, uint32(i))
		}
		m.Elements = []wasmbin.Element{wasmbin.PassiveElement(all)}
	}
	globals := func(init wasmbin.Expr, t wasmbin.ValueType) func(m *wasmbin.Module) {
		return func(m *wasmbin.Module) {
			for range 10_000 {
				m.Globals = append(m.Globals, wasmbin.Global{GlobalType: wasmbin.GlobalType{Type: t}, Init: init})
			}
		}
	}
	return map[string]*wasmbin.Module{
		"table":      with(func(m *wasmbin.Module) { m.Tables = table(90_000) }),
		"globals":    with(globals(zero, wasmbin.I32)),
		"references": with(globals(wasmbin.Expr{Op: wasmbin.OpRefFunc}, wasmbin.Funcref)),
		"active elements": with(func(m *wasmbin.Module) {
			m.Tables = table(1)
			for range 100 {
				m.Elements = append(m.Elements, wasmbin.ActiveElement(0, zero, make([]uint32, 1)))
			}
			m.Tables[0].Min = 50_000
			m.Elements = append(m.Elements, wasmbin.ActiveElement(0, zero, make([]uint32, 50_000)))
		}),
		"passive elements": with(func(m *wasmbin.Module) {
			m.Elements = []wasmbin.Element{wasmbin.PassiveElement(make([]uint32, 50_000))}
		}),
		"data segments": with(func(m *wasmbin.Module) {
			for range 50_000 {
				m.Data = append(m.Data, wasmbin.PassiveData(nil))
			}
		}),
		"ref.func": with(refs),
	}
}

// TestFootprintIsTrue holds what Measure says against what an instance takes: no
// less than nine tenths, and not twice as much.
func TestFootprintIsTrue(t *testing.T) {
	if testing.Short() {
		t.Skip("measures Go's heap")
	}
	for name, m := range crowd() {
		t.Run(name, func(t *testing.T) {
			b := m.Encode()
			f, err := Measure(m, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if most := AtMost(m, Options{}); most.Sum() < f.Sum() {
				t.Errorf("Measure says %v, AtMost %v", f, most)
			}
			out, _, err := Rewrite(b, Options{})
			if err != nil {
				t.Fatal(err)
			}
			ctx := With(t.Context(), NewGuard(monotonic(), nil))
			r := wazero.NewRuntime(ctx)
			defer r.Close(context.Background())
			if err := Instantiate(ctx, r); err != nil {
				t.Fatal(err)
			}
			compiled, err := r.CompileModule(ctx, out)
			if err != nil {
				t.Fatal(err)
			}
			const n = 8
			before := heap()
			for range n {
				if _, err := r.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName("")); err != nil {
					t.Fatal(err)
				}
			}
			took := (heap() - before) / n
			t.Logf("%v: takes %d", f, took)
			if said := f.Host(); float64(said) < 0.9*float64(took) || said > 2*took+10_000 {
				t.Errorf("Measure says %d (%v), an instance takes %d", said, f, took)
			}
		})
	}
}

// heap is what is in use after a collection.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Tables count as large as they may grow, where an instruction grows them.
func TestGrownTables(t *testing.T) {
	grow := []any{wasmbin.OpRefNull, 0x70, wasmbin.OpI32Const, 1, wasmbin.OpTableGrow, 1, wasmbin.OpDrop, wasmbin.OpEnd}
	m := functionsOf(grow...)
	for _, l := range []wasmbin.Limits{{Min: 10}, {Min: 20}, {Min: 5, Max: 1000, HasMax: true}} {
		m.Tables = append(m.Tables, wasmbin.TableType{Element: wasmbin.Funcref, Limits: l})
	}
	for _, c := range []struct {
		limit, max uint32
		want       uint64
	}{
		{1035, 0, 10 + 20 + 1000/3 + 5},
		{1035, 30, 10 + 30 + 5},
		{35, 0, 35},
	} {
		m.Tables[1].Max, m.Tables[1].HasMax = c.max, c.max > 0
		f, err := Measure(m, Options{MaxTableElements: c.limit})
		if want := 3*bytesTable + c.want*bytesEntry; err != nil || f.Tables != want {
			t.Errorf("limit %d, maximum %d: tables take %d, %v; wanted %d", c.limit, c.max, f.Tables, err, want)
		}
	}
	m.Code[0].Body = code(wasmbin.OpTableSize+100, wasmbin.OpEnd)
	if _, err := Measure(m, Options{}); err == nil {
		t.Error("broken code was measured")
	}
}
