package guest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/wirehost/wirehost/internal/gate"
	"github.com/wirehost/wirehost/internal/wasmbin"
)

// tables is a module that calls through a table of four: a function of no parameters, one
// of one, nothing, and another of no parameters. Its exports are one call for each of
// three types; of the third is no element.
func tables(more ...byte) *wasmbin.Module {
	i32 := wasmbin.I32
	body := func(b ...byte) wasmbin.Code { return wasmbin.Code{Body: append(b, byte(wasmbin.OpEnd))} }
	constant := func(n byte) []byte { return []byte{byte(wasmbin.OpI32Const), n} }
	get := func(n byte) []byte { return []byte{byte(wasmbin.OpLocalGet), n} }
	indirect := func(typ byte) []byte { return []byte{byte(wasmbin.OpCallIndirect), typ, 0} }
	join := func(parts ...[]byte) (all []byte) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	m := &wasmbin.Module{
		Types: []wasmbin.FuncType{
			{Results: []wasmbin.ValueType{i32}},
			{Params: []wasmbin.ValueType{i32}, Results: []wasmbin.ValueType{i32}},
			{},
			{Results: []wasmbin.ValueType{i32}}, // the first once more
		},
		Functions: []uint32{0, 1, 3, 1, 1, 1, 1},
		Memories:  []wasmbin.Limits{{Min: 1}},
		Tables:    []wasmbin.TableType{{Element: wasmbin.Funcref, Limits: wasmbin.Limits{Min: 4}}},
		Code: []wasmbin.Code{
			body(constant(7)...),
			body(join(get(0), constant(1), []byte{byte(wasmbin.OpI32Add)})...),
			body(constant(9)...),
			body(join(get(0), indirect(0))...),
			body(join(constant(40), get(0), indirect(1))...),
			body(join(get(0), indirect(2), constant(0))...),
			body(append(join(get(0), indirect(3)), more...)...),
		},
	}
	at := func(n byte) wasmbin.Expr { return wasmbin.Expr{Op: wasmbin.OpI32Const, Raw: constant(n)} }
	m.Elements = []wasmbin.Element{wasmbin.ActiveElement(0, at(0), []uint32{0, 1}),
		wasmbin.ActiveElement(0, at(3), []uint32{2})}
	for n, name := range tableCalls {
		m.Exports = append(m.Exports, wasmbin.Export{Name: name, Kind: wasmbin.KindFunction, Index: uint32(3 + n)})
	}
	return m
}

var tableCalls = []string{"none", "one", "nothing", "none again"} // never changed

// TestTables: a call through a table that the gate has replaced gives what it gave
// before, and traps as it did. A table that code reads stays.
func TestTables(t *testing.T) {
	ctx := context.Background()
	rt := wazero.NewRuntime(ctx)
	defer rt.Close(ctx)
	tableGet := []byte{byte(wasmbin.OpI32Const), 0, byte(wasmbin.OpTableGet), 0, byte(wasmbin.OpRefIsNull),
		byte(wasmbin.OpDrop)}
	for name, c := range map[string]struct {
		more []byte
		min  uint32
	}{"replaced": {nil, 2}, "read": {tableGet, 4}} {
		plain, err := rt.Instantiate(ctx, tables(c.more...).Encode())
		if err != nil {
			t.Fatal(err)
		}
		m := tables(c.more...)
		if _, err := gate.Add(m, tableCalls); err != nil {
			t.Fatal(err)
		}
		if m.Tables[0].Min != c.min {
			t.Errorf("%s: found a table of %d, wanted %d", name, m.Tables[0].Min, c.min)
		}
		gated, err := rt.InstantiateWithConfig(ctx, m.Encode(), wazero.NewModuleConfig().WithName("gated"))
		if err != nil {
			t.Fatal(err)
		}
		for n, export := range tableCalls {
			for _, index := range []uint64{0, 1, 2, 3, 4, 1 << 20, 1<<32 - 1} {
				want, wantErr := plain.ExportedFunction(export).Call(ctx, index)
				got, gotErr := gated.ExportedFunction(gate.CallName).Call(ctx, index, 0, 0, 0, uint64(n))
				if fmt.Sprint(want) != fmt.Sprint(got) || causeOrNone(gotErr) != causeOrNone(wantErr) {
					t.Errorf("%s: %s of %d: found %v, %v, wanted %v, %v", name, export, index, got, gotErr, want,
						wantErr)
				}
			}
		}
		if err := errors.Join(plain.Close(ctx), gated.Close(ctx)); err != nil {
			t.Fatal(err)
		}
	}
}

func causeOrNone(err error) string {
	if err == nil {
		return ""
	}
	return causeOf(err)
}

// TestGateNumbers: a number that leads nowhere is a trap.
func TestGateNumbers(t *testing.T) {
	ctx := context.Background()
	rt := wazero.NewRuntime(ctx)
	defer rt.Close(ctx)
	m := tables()
	if _, err := gate.Add(m, []string{"none", "gone", "one"}); err != nil {
		t.Fatal(err)
	}
	mod, err := rt.Instantiate(ctx, m.Encode())
	if err != nil {
		t.Fatal(err)
	}
	for number, want := range map[uint64]string{0: "[7]", 1: "unreachable", 2: "[41]", 3: "unreachable",
		4:         "unreachable",
		1<<32 - 1: "unreachable"} {
		got, err := mod.ExportedFunction(gate.CallName).Call(ctx, 1*number/2, 0, 0, 0, number)
		if text := fmt.Sprint(got) + string(causeOrNone(err)); text != want && text != "[]"+want {
			t.Errorf("number %d: found %s, wanted %s", number, text, want)
		}
	}
	if len(mod.ExportedFunctionDefinitions()) != 1 {
		t.Errorf("found the exports %v, wanted the gate alone", mod.ExportedFunctionDefinitions())
	}
}
