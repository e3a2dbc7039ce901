package meter

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

func TestRefused(t *testing.T) {
	f := func(code ...byte) []byte { return oneType(body{code: code}) }
	header := "\x00asm\x01\x00\x00\x00"
	tests := []struct {
		name string
		wasm []byte
		want string // all of these words
	}{
		{"tail call", f(0x12, 0), "function 0|code section|0x12|tail calls"},
		{"indirect tail call", f(0x41, 0, 0x13, 0, 0), "function 0|0x13|tail calls"},
		{"throw", f(0x08, 0), "function 0|0x08|exception handling"},
		{"try_table", f(0x1f, 0x40, 0, 0x0b), "function 0|0x1f|exception handling"},
		{"atomic", f(0xfe, 0x03, 0x00), "function 0|0xfe|threads"},
		{"call_ref", f(0x14, 0), "function 0|0x14|typed function references"},
		{"garbage collection", f(0xfb, 0), "function 0|0xfb|garbage collection"},
		{"relaxed vectors", f(0xfd, 0x80, 0x02), "function 0|relaxed SIMD"},
		{"second memory", f(0x41, 0, 0x28, 0x40, 1, 0), "function 0|multi-memory"},
		{"second function", oneType(body{}, body{code: []byte{0x12, 0}}), "function 1|tail calls"},
		{"shared memory", []byte(header + "\x05\x04\x01\x03\x01\x01"), "memory section|threads"},
		{"64-bit memory", []byte(header + "\x05\x03\x01\x04\x01"), "memory section|memory64"},
		{"two memories", []byte(header + "\x05\x05\x02\x00\x01\x00\x01"), "memory section|multi-memory"},
		{"tags", []byte(header + "\x0d\x03\x01\x00\x00"), "tag section|exception handling"},
		{"our import", []byte(header + "\x01\x04\x01\x60\x00\x00\x02\x19\x01\x0ewirehost_meter\x06refill\x00\x00"),
			"wirehost_meter"},
		{"our export", []byte(header + "\x05\x03\x01\x00\x01\x07\x16\x01\x12wirehost_meter.abc\x02\x00"),
			"wirehost_meter"},
		{"a large table", []byte(header + "\x04\x06\x01\x70\x00\xc0\x84\x3d"), "1000000|100000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, _, err := Rewrite(tt.wasm, Options{})
			if err == nil || out != nil {
				t.Fatalf("got a module of %d bytes and error %v", len(out), err)
			}
			for _, word := range strings.Split(tt.want, "|") {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q doesn't say %q", err, word)
				}
			}
		})
	}
}

// indexed is a module in which every place that holds a function's index is in
// use: the import, the export, the start, a segment, a global, ref.func, call.
func indexed() *wasmbin.Module {
	start := uint32(2)
	return &wasmbin.Module{
		Types:     []wasmbin.FuncType{{}, {Results: []wasmbin.ValueType{wasmbin.I32}}},
		Imports:   []wasmbin.Import{{Module: "env", Name: "seven", Function: 1}},
		Functions: []uint32{1, 0, 1, 0},
		Tables:    []wasmbin.TableType{{Element: wasmbin.Funcref, Limits: wasmbin.Limits{Min: 2}}},
		Globals: []wasmbin.Global{
			{GlobalType: wasmbin.GlobalType{Type: wasmbin.Funcref},
				Init: wasmbin.Expr{Op: wasmbin.OpRefFunc, Index: 1}},
			{GlobalType: wasmbin.GlobalType{Type: wasmbin.I32, Mutable: true},
				Init: wasmbin.Expr{Op: wasmbin.OpI32Const, Raw: []byte{byte(wasmbin.OpI32Const), 0}}},
		},
		Exports: []wasmbin.Export{
			{Name: "seven", Index: 0}, {Name: "sum", Index: 3}, {Name: "trap", Index: 4},
			{Name: "started", Kind: wasmbin.KindGlobal, Index: 1}, {Name: "table", Kind: wasmbin.KindTable},
		},
		Start: &start,
		Elements: []wasmbin.Element{wasmbin.ActiveElement(0,
			wasmbin.Expr{Op: wasmbin.OpI32Const, Raw: []byte{byte(wasmbin.OpI32Const), 0}}, []uint32{0, 1})},
		Code: []wasmbin.Code{
			{Body: code(wasmbin.OpI32Const, 5, wasmbin.OpEnd)},
			{Body: code(wasmbin.OpI32Const, 1, wasmbin.OpGlobalSet, 1, wasmbin.OpEnd)},
			{Body: code( // seven through the table, and 5 directly and through ref.func
				wasmbin.OpI32Const, 0, wasmbin.OpCallIndirect, 1, 0, call(1), wasmbin.OpI32Add,
				wasmbin.OpI32Const, 1, wasmbin.OpGlobalGet, 0, wasmbin.OpTableSet, 0,
				wasmbin.OpI32Const, 1, wasmbin.OpCallIndirect, 1, 0, wasmbin.OpI32Add,
				wasmbin.OpI32Const, 1, wasmbin.OpRefFunc, 0, wasmbin.OpTableSet, 0,
				wasmbin.OpI32Const, 1, wasmbin.OpCallIndirect, 1, 0, wasmbin.OpI32Add, wasmbin.OpEnd)},
			{Body: code(wasmbin.OpUnreachable, wasmbin.OpEnd)},
		},
		Custom: []wasmbin.Custom{
			{Name: ".debug_info", Data: []byte{1}, After: wasmbin.SectionData},
			{Name: "name", Data: code(1, 17, 3, 1, 4, []byte("five"), 3, 3, []byte("sum"), 4, 3, []byte("oop")),
				After: wasmbin.SectionData},
			{Name: "producers", Data: []byte{0}, After: wasmbin.SectionData},
		},
	}
}

func TestIndicesAndNames(t *testing.T) {
	out, _, err := Rewrite(indexed().Encode(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	r := wazero.NewRuntime(ctx)
	defer r.Close(ctx)
	if err := Instantiate(ctx, r); err != nil {
		t.Fatal(err)
	}
	_, err = r.NewHostModuleBuilder("env").NewFunctionBuilder().WithFunc(func() uint32 { return 7 }).Export("seven").
		Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	guard := NewGuard(monotonic(), nil)
	guard.Arm(time.Minute)
	ctx = With(ctx, guard)
	m, err := r.Instantiate(ctx, out)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.ExportedGlobal("started").Get(); got != 1 {
		t.Errorf("the start function did not run: started = %d", got)
	}
	if got, err := m.ExportedFunction("sum").Call(ctx); err != nil || got[0] != 7+5+5+7 {
		t.Errorf("sum gives %v, %v; wanted 24", got, err)
	}
	if _, err := m.ExportedFunction("trap").Call(ctx); err == nil || !strings.Contains(err.Error(), ".oop(") {
		t.Errorf("the trap is %v, wanted the function's name oop in it", err)
	}
	again, err := wasmbin.Decode(out)
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Custom) != 1 || again.Custom[0].Name != wasmbin.NameSection {
		t.Errorf("custom sections %+v, wanted the names alone", again.Custom)
	}
	want := []wasmbin.FunctionName{{Index: 2, Name: "five"}, {Index: 4, Name: "sum"}, {Index: 5, Name: "oop"}}
	if got := again.Names().Functions; !slices.Equal(got, want) {
		t.Errorf("names %v, wanted %v", got, want)
	}
}

func TestTablesAreCapped(t *testing.T) {
	m := &wasmbin.Module{Tables: []wasmbin.TableType{
		{Element: wasmbin.Funcref, Limits: wasmbin.Limits{Min: 10}},
		{Element: wasmbin.Externref, Limits: wasmbin.Limits{Min: 20, Max: 1 << 30, HasMax: true}},
		{Element: wasmbin.Externref, Limits: wasmbin.Limits{Min: 0, Max: 5, HasMax: true}},
	}}
	out, _, err := Rewrite(m.Encode(), Options{MaxTableElements: 1030})
	if err != nil {
		t.Fatal(err)
	}
	got, err := wasmbin.Decode(out)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []uint32{343, 353, 5} {
		if l := got.Tables[i].Limits; !l.HasMax || l.Max != want {
			t.Errorf("table %d has limits %+v, wanted a maximum of %d", i, l, want)
		}
	}
	m.Tables[0].Min = 2000
	if _, _, err := Rewrite(m.Encode(), Options{MaxTableElements: 1030}); !errors.Is(err, ErrTables) {
		t.Errorf("tables that start too large give %v, wanted ErrTables", err)
	}
}
