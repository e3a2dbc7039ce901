package meter

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

// body is a function for oneType.
type body struct {
	locals []wasmbin.LocalRun
	code   []byte
}

// oneType makes a module of functions () -> (), all of them in a table, whose
// first is exported as f.
func oneType(bodies ...body) []byte {
	m := &wasmbin.Module{
		Types:    []wasmbin.FuncType{{}},
		Memories: []wasmbin.Limits{{Min: 1}},
		Tables:   []wasmbin.TableType{{Element: wasmbin.Funcref, Limits: wasmbin.Limits{Min: uint32(len(bodies))}}},
		Exports:  []wasmbin.Export{{Name: "f"}},
	}
	var all []uint32
	for i, b := range bodies {
		m.Functions = append(m.Functions, 0)
		m.Code = append(m.Code, wasmbin.Code{Locals: b.locals, Body: append(b.code, byte(wasmbin.OpEnd))})
		all = append(all, uint32(i))
	}
	zero := wasmbin.Expr{Op: wasmbin.OpI32Const, Raw: []byte{byte(wasmbin.OpI32Const), 0}}
	m.Elements = []wasmbin.Element{wasmbin.ActiveElement(0, zero, all)}
	return m.Encode()
}

// code puts bytes, numbers of one byte and pieces of code together.
func code(parts ...any) (b []byte) {
	for _, p := range parts {
		switch p := p.(type) {
		case wasmbin.Opcode:
			b = wasmbin.AppendOpcode(b, p)
		case int:
			b = wasmbin.AppendU32(b, uint32(p))
		case []byte:
			b = append(b, p...)
		}
	}
	return b
}

func repeat(n int, f func(i int) []byte) (b []byte) {
	for i := range n {
		b = append(b, f(i)...)
	}
	return b
}

// call calls function f.
func call(f int) []byte { return code(wasmbin.OpCall, f) }

// manyValues keeps n values, each alive across a call and so in a slot of its
// own.
func manyValues(n int) []byte {
	load := repeat(n, func(int) []byte { return code(wasmbin.OpI32Const, 0, wasmbin.OpI32Load, 2, 0) })
	add := repeat(n-1, func(int) []byte { return code(wasmbin.OpI32Add) })
	return code(call(0), wasmbin.OpI32Const, 0, load, call(0), add, wasmbin.Opcode(0x36), 2, 0)
}

// meetings lets n locals meet others in each of n blocks, around calls: the
// worst for wazero, whose slots grow with n squared.
func meetings(n int) body {
	set := repeat(n, func(i int) []byte {
		return code(wasmbin.OpI32Const, 8, wasmbin.OpI32Load, 2, 0, wasmbin.OpLocalSet, i)
	})
	leave := repeat(n, func(i int) []byte {
		return code(wasmbin.OpI32Const, 4, wasmbin.OpI32Load, 2, 0, wasmbin.OpBrIf, i)
	})
	keep := repeat(n, func(i int) []byte {
		return code(wasmbin.OpI32Const, 0, wasmbin.OpLocalGet, i, wasmbin.Opcode(0x36), 2, 0)
	})
	b := code(call(0), repeat(n, func(int) []byte { return code(wasmbin.OpBlock, 0x40) }), leave, set,
		repeat(n, func(int) []byte { return code(wasmbin.OpEnd, call(0)) }), keep)
	return body{[]wasmbin.LocalRun{{Count: uint32(n), Type: wasmbin.I32}}, b}
}

func TestUnboundedRecursion(t *testing.T) {
	indirect := code(wasmbin.OpI32Const, 0, wasmbin.OpCallIndirect, 0, 0)
	tests := []struct {
		name string
		wasm []byte
		most int // bytes of wazero's stack afterwards
	}{
		{"itself", oneType(body{code: call(0)}), 2 << 20},
		{"two", oneType(body{code: call(1)}, body{code: call(0)}), 2 << 20},
		{"indirect", oneType(body{code: indirect}), 2 << 20},
		{"direct and indirect", oneType(body{code: call(1)}, body{code: indirect}), 2 << 20},
		{"in a loop", oneType(body{code: code(wasmbin.OpLoop, 0x40, call(0), wasmbin.OpBr, 0, wasmbin.OpEnd)}),
			2 << 20},
		{"a thousand locals", oneType(body{[]wasmbin.LocalRun{{Count: 1000, Type: wasmbin.I64}}, call(0)}), 2 << 20},
		{"vectors", oneType(body{[]wasmbin.LocalRun{{Count: 1000, Type: wasmbin.V128}}, call(0)}), 2 << 20},
		{"values on the stack", oneType(body{code: manyValues(2000)}), 12 << 20},
		{"meetings", oneType(meetings(60)), 12 << 20},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			i := start(t, tt.wasm, true)
			f := i.ExportedFunction("f")
			i.guard.Arm(time.Minute)
			_, err := f.Call(i.ctx)
			if !errors.Is(err, ErrStack) {
				t.Fatalf("ended with %v, wanted ErrStack", err)
			}
			if got := stackOf(t, f); got > tt.most {
				t.Errorf("wazero's stack took %d bytes, wanted at most %d", got, tt.most)
			} else {
				t.Logf("wazero's stack took %d bytes", got)
			}
		})
	}
}

// stackOf looks into wazero: how large has a function's stack become?
func stackOf(t *testing.T, f api.Function) int {
	v := reflect.ValueOf(f)
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if v.Kind() == reflect.Struct {
		if s := v.FieldByName("stack"); s.IsValid() && s.Kind() == reflect.Slice {
			return s.Len()
		}
	}
	t.Skip("this wazero's stack can't be looked at")
	return 0
}

// TestRecursionReturns counts down and up again, so that a frame not given back
// would be missed.
func TestRecursionReturns(t *testing.T) {
	// (func $f (param i32) (result i32) local.get 0 if (result i32) local.get 0
	// i32.const 1 i32.sub call $f i32.const 1 i32.add else i32.const 0 return end)
	m := &wasmbin.Module{
		Types: []wasmbin.FuncType{{Params: []wasmbin.ValueType{wasmbin.I32},
			Results: []wasmbin.ValueType{wasmbin.I32}}},
		Functions: []uint32{0},
		Exports:   []wasmbin.Export{{Name: "f"}},
		Code: []wasmbin.Code{{Body: code(wasmbin.OpLocalGet, 0, wasmbin.OpIf, 0x7f, wasmbin.OpLocalGet, 0,
			wasmbin.OpI32Const, 1, wasmbin.OpI32Sub, call(0), wasmbin.OpI32Const, 1, wasmbin.OpI32Add, wasmbin.OpElse,
			wasmbin.OpI32Const, 0, wasmbin.OpReturn, wasmbin.OpEnd, wasmbin.OpEnd)}},
	}
	i := start(t, m.Encode(), true)
	for range 100 {
		if got := i.call(t, "f", 1000); got != 1000 {
			t.Fatalf("f(1000) = %d", got)
		}
	}
	i.guard.Arm(time.Minute)
	if _, err := i.ExportedFunction("f").Call(i.ctx, 1_000_000); !errors.Is(err, ErrStack) {
		t.Errorf("f(1000000) ended with %v, wanted ErrStack", err)
	}
}

// TestLongChain has no cycle, but more frames than the stack has room for.
func TestLongChain(t *testing.T) {
	const n = 200
	big := []wasmbin.LocalRun{{Count: 1000, Type: wasmbin.I64}}
	var bodies []body
	for k := range n {
		bodies = append(bodies, body{big, call(min(k+1, n))})
	}
	bodies = append(bodies, body{})
	i := start(t, oneType(bodies...), true)
	i.guard.Arm(time.Minute)
	if _, err := i.ExportedFunction("f").Call(i.ctx); !errors.Is(err, ErrStack) {
		t.Errorf("ended with %v, wanted ErrStack", err)
	}
}

// TestOnlyCyclesCount holds functions outside cycles to paying nothing.
func TestOnlyCyclesCount(t *testing.T) {
	loop := code(wasmbin.OpLoop, 0x40, wasmbin.OpEnd, call(2))
	wasm := oneType(body{code: call(1)}, body{code: loop}, body{code: call(3)}, body{code: code(call(2), call(4))},
		body{})
	m, err := wasmbin.Decode(wasm)
	if err != nil {
		t.Fatal(err)
	}
	m.Elements = nil
	_, info, err := Rewrite(m.Encode(), Options{})
	if err != nil || info.Counted != 2 {
		t.Errorf("%+v counted, %v; wanted 2", info, err)
	}
}

func TestUnguarded(t *testing.T) {
	i := start(t, oneType(body{code: code(wasmbin.OpLoop, 0x40, wasmbin.OpBr, 0, wasmbin.OpEnd)}), true)
	if _, err := i.ExportedFunction("f").Call(context.Background()); !errors.Is(err, ErrUnguarded) {
		t.Errorf("a call without a guard ended with %v, wanted ErrUnguarded", err)
	}
}
