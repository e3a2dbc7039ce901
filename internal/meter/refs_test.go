package meter

import (
	"errors"
	"testing"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

// referring is a module whose function f executes ref.func 1,000 times; sum calls
// five through a reference of ref.func and one of a segment, after another segment
// was dropped; and null tells whether a reference is null.
func referring() *wasmbin.Module {
	i32 := []wasmbin.ValueType{wasmbin.I32}
	zero := wasmbin.Expr{Op: wasmbin.OpI32Const, Raw: []byte{byte(wasmbin.OpI32Const), 0}}
	return &wasmbin.Module{
		Types:     []wasmbin.FuncType{{}, {Results: i32}},
		Functions: []uint32{0, 1, 1, 1},
		Tables:    []wasmbin.TableType{{Element: wasmbin.Funcref, Limits: wasmbin.Limits{Min: 2}}},
		Exports:   []wasmbin.Export{{Name: "f", Index: 0}, {Name: "sum", Index: 2}, {Name: "null", Index: 3}},
		Elements: []wasmbin.Element{
			wasmbin.ActiveElement(0, zero, []uint32{1, 1, 1}), // does not fit: wazero leaves it out, and all behind it
			wasmbin.PassiveElement([]uint32{0}),
			wasmbin.PassiveElement([]uint32{0, 1}),
		},
		Code: []wasmbin.Code{
			{Locals: []wasmbin.LocalRun{{Count: 1, Type: wasmbin.I32}}, Body: code(
				wasmbin.OpLoop, 0x40, wasmbin.OpRefFunc, 1, wasmbin.OpDrop, wasmbin.OpLocalGet, 0, wasmbin.OpI32Const,
				1, wasmbin.OpI32Add,
				wasmbin.OpLocalTee, 0, wasmbin.OpI32Const, 1000, wasmbin.OpI32LtS, wasmbin.OpBrIf, 0, wasmbin.OpEnd,
				wasmbin.OpEnd)},
			{Body: code(wasmbin.OpI32Const, 5, wasmbin.OpEnd)},
			{Body: code(
				wasmbin.OpI32Const, 0, wasmbin.OpRefFunc, 1, wasmbin.OpTableSet, 0, wasmbin.OpI32Const, 0,
				wasmbin.OpCallIndirect, 1, 0,
				wasmbin.OpElemDrop, 1,
				wasmbin.OpI32Const, 1, wasmbin.OpI32Const, 1, wasmbin.OpI32Const, 1, wasmbin.OpTableInit, 2, 0,
				wasmbin.OpI32Const, 1, wasmbin.OpCallIndirect, 1, 0, wasmbin.OpI32Add, wasmbin.OpEnd)},
			{Body: code(wasmbin.OpRefFunc, 3, wasmbin.OpRefIsNull, wasmbin.OpEnd)},
		},
	}
}

// TestReferencesOncePerInstance: executing ref.func allocates nothing, however
// often, and gives what it should.
func TestReferencesOncePerInstance(t *testing.T) {
	i := start(t, referring().Encode(), true)
	f := i.ExportedFunction("f")
	if n := testing.AllocsPerRun(20, func() {
		if err := f.CallWithStack(i.ctx, nil); err != nil {
			t.Error(err)
		}
	}); n > 0 {
		t.Errorf("1,000 times ref.func allocate %v times, wanted none", n)
	}
	if got := i.call(t, "sum"); got != 10 {
		t.Errorf("through references: %d, wanted 10", got)
	}
	if got := i.call(t, "null"); got != 0 {
		t.Error("a reference is null")
	}
}

// The validator does not see ref.func any more, so its rule is ours.
func TestUndeclaredReference(t *testing.T) {
	m := referring()
	m.Exports = m.Exports[:2]
	if _, _, err := Rewrite(m.Encode(), Options{}); !errors.Is(err, ErrUndeclared) {
		t.Errorf("ref.func of a function that nothing names gives %v, wanted ErrUndeclared", err)
	}
	m.Elements = append(m.Elements, wasmbin.PassiveElement([]uint32{3}))
	if _, _, err := Rewrite(m.Encode(), Options{}); err != nil {
		t.Errorf("a segment names it: %v", err)
	}
}
