package meter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

// wide is a module with a function that gives 1,000 values, and n bodies of code.
func wide(n int, code []byte) *wasmbin.Module {
	t := wasmbin.FuncType{Results: slices.Repeat([]wasmbin.ValueType{wasmbin.Externref}, 1000)}
	m := &wasmbin.Module{Types: []wasmbin.FuncType{t, {}}, Functions: []uint32{0},
		Tables: []wasmbin.TableType{{Element: wasmbin.Funcref}},
		Code:   []wasmbin.Code{{Body: []byte{byte(wasmbin.OpUnreachable), byte(wasmbin.OpEnd)}}}}
	for range n {
		m.Functions = append(m.Functions, 1)
		m.Code = append(m.Code,
			wasmbin.Code{Body: append(bytes.Clone(code), byte(wasmbin.OpUnreachable), byte(wasmbin.OpEnd))})
	}
	return m
}

// TestOutOfProportion: code that a validator, or we, would make far more of than
// it weighs is refused, and told so.
func TestOutOfProportion(t *testing.T) {
	times := func(n int, c []byte) []byte { return bytes.Repeat(c, n) }
	calls := code(wasmbin.OpCall, 0)
	block := code(wasmbin.OpUnreachable, wasmbin.OpBlock, 0, wasmbin.OpUnreachable, wasmbin.OpEnd,
		wasmbin.OpUnreachable)
	loop := code(wasmbin.OpLoop, 0x40, wasmbin.OpI32Const, 0, wasmbin.OpBrIf, 0, wasmbin.OpEnd)
	inBlock := func(c []byte, n int) []byte {
		return code(wasmbin.OpUnreachable, wasmbin.OpBlock, 0, times(n, c), wasmbin.OpUnreachable, wasmbin.OpEnd)
	}
	label := code(wasmbin.OpI32Const, 0, wasmbin.OpBrIf, 0)
	segments := func() *wasmbin.Module { // a function of ours for each segment of a memory.init
		m := wide(1, nil)
		m.Memories = []wasmbin.Limits{{Min: 1}}
		m.DataCount = new(uint32(30_000))
		var c []byte
		for i := range 30_000 {
			m.Data = append(m.Data, wasmbin.PassiveData(nil))
			c = append(c, code(wasmbin.OpI32Const, 0, wasmbin.OpI32Const, 0, wasmbin.OpI32Const, 0,
				wasmbin.OpMemoryInit, i, 0)...)
		}
		m.Code[1].Body = append(c, byte(wasmbin.OpEnd))
		return m
	}
	for _, c := range []struct {
		name   string
		module *wasmbin.Module
		want   string // "" for none
	}{
		{"calls", wide(2, times(200, calls)), ""},
		{"too many calls", wide(1, times(201, calls)),
			"found 201000 values that calls and branches take and leave, wanted at most 200000"},
		{"in many functions", wide(3, times(200, calls)),
			"values that calls and branches of all functions take and leave, wanted no more in"},
		{"indirect calls", wide(1, times(201, code(wasmbin.OpI32Const, 0, wasmbin.OpCallIndirect, 0, 0))),
			"found 201000 values"},
		{"blocks", wide(1, times(101, block)), "found 202000 values"},
		{"branches", wide(1, inBlock(label, 100)), "found 202000 values"},
		{"labels", wide(1, inBlock(code(wasmbin.OpI32Const, 0, wasmbin.OpBrTable, 2, 0, 0, 0), 34)),
			"found 206000 values"},
		{"returns", func() *wasmbin.Module {
			m := wide(1, times(201, code(wasmbin.OpReturn)))
			m.Functions[1] = 0
			return m
		}(), "found 201000 values"},
		{"loops", wide(10, times(1000, loop)), ""},
		{"too many loops", wide(10, times(10_000, loop)), "bytes of metered code, wanted at most 3 times the module's"},
		{"ranges", segments(), "bytes of metered code, wanted at most 3 times the module's"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := Rewrite(c.module.Encode(), Options{})
			switch {
			case c.want == "" && err != nil:
				t.Errorf("got %v", err)
			case c.want != "" && (!errors.Is(err, ErrSize) || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, wanted %q", err, c.want)
			}
		})
	}
}

// TestCustomSections: those that the specification allows, and wazero trips over,
// never get to it; of names only so much as a trace may show.
func TestCustomSections(t *testing.T) {
	section := func(name, data string, after wasmbin.SectionID) wasmbin.Custom {
		return wasmbin.Custom{Name: name, Data: []byte(data), After: after}
	}
	long := strings.Repeat("n", 1<<16)
	names := string(wasmbin.AppendNames(nil,
		wasmbin.Names{Module: long, Functions: []wasmbin.FunctionName{{Index: 0, Name: long}}}))
	for _, c := range []struct {
		name   string
		custom []wasmbin.Custom
		want   string // name of the function in a trace
	}{
		{"neither name nor content", []wasmbin.Custom{section("", "", 0), section("", "", wasmbin.SectionCode)}, ".$1"},
		{"a name alone, at the front", []wasmbin.Custom{section("x", "", 0)}, ".$1"},
		{"a name alone, at the end", []wasmbin.Custom{section("x", "", wasmbin.SectionCode)}, ".$1"},
		{"two of one name", []wasmbin.Custom{section("x", "1", 0), section("x", "1", 0)}, ".$1"},
		{"no names", []wasmbin.Custom{section("name", "", wasmbin.SectionCode)}, ".$1"},
		{"broken names", []wasmbin.Custom{section("name", "\x01\x7f\xff\xff\xff\xff\x0f", wasmbin.SectionCode)}, ".$1"},
		{"names twice", []wasmbin.Custom{section("name", "", 0), section("name", names, 0)}, ".$1"},
		{"long names", []wasmbin.Custom{section("name", names, 0)},
			strings.Repeat("n", wasmbin.MaxLabel) + "." + strings.Repeat("n", wasmbin.MaxLabel)},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := functionsOf(wasmbin.OpUnreachable, wasmbin.OpEnd)
			m.Custom = c.custom
			out, _, err := Rewrite(m.Encode(), Options{})
			if err != nil {
				t.Fatal(err)
			}
			r := wazero.NewRuntime(t.Context())
			defer r.Close(context.Background())
			compiled, err := r.CompileModule(t.Context(), out)
			if err != nil {
				t.Fatal(err)
			}
			if got := compiled.ExportedFunctions()["f"].DebugName(); got != c.want ||
				len(compiled.CustomSections()) > 0 {
				t.Errorf("the function is %.600q, wanted %.600q; %d custom sections, wanted none", got, c.want,
					len(compiled.CustomSections()))
			}
		})
	}
}

// functionsOf is a module of one function, which it exports as f.
func functionsOf(parts ...any) *wasmbin.Module {
	return &wasmbin.Module{Types: []wasmbin.FuncType{{}}, Functions: []uint32{0},
		Exports: []wasmbin.Export{{Name: "f"}}, Code: []wasmbin.Code{{Body: code(parts...)}}}
}

// A long name of the module, which stands before each function's, is shorter
// where there are many.
func TestModuleNameIsShared(t *testing.T) {
	m := functionsOf(wasmbin.OpEnd)
	for range 50_000 {
		m.Functions, m.Code = append(m.Functions, 0), append(m.Code, m.Code[0])
	}
	m.Custom = []wasmbin.Custom{{Name: wasmbin.NameSection,
		Data: wasmbin.AppendNames(nil, wasmbin.Names{Module: strings.Repeat("n", 300)})}}
	out, _, err := Rewrite(m.Encode(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := wasmbin.Decode(out)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(got.Names().Module); n != moduleNames/50_002 {
		t.Errorf("the module's name has %d bytes, wanted %d", n, moduleNames/50_002)
	}
}

// What nobody asks for is not exported, and is declared all the same.
func TestKeptExports(t *testing.T) {
	m := functionsOf(wasmbin.OpRefFunc, 0, wasmbin.OpDrop, wasmbin.OpEnd)
	for i := range 10 {
		m.Exports = append(m.Exports, wasmbin.Export{Name: fmt.Sprint(i)})
	}
	for _, c := range []struct {
		keep []string
		want int
	}{{nil, 11}, {[]string{}, 0}, {[]string{"3", "g", "f"}, 2}} {
		out, _, err := Rewrite(m.Encode(), Options{Exports: c.keep})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := wasmbin.Decode(out); err != nil || len(got.Exports) != c.want {
			t.Errorf("of %q: %v, %v", c.keep, got.Exports, err)
		}
	}
}
