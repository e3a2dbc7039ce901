package wasmbin

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// crowded is a case of TestBounds: a module with n of something.
type crowded struct {
	most   int
	wanted string
	module func(n int) *Module
}

func functions(n int, c Code) *Module {
	m := &Module{Types: []FuncType{{}}, Functions: make([]uint32, n), Code: make([]Code, n)}
	for i := range m.Code {
		m.Code[i] = c
	}
	return m
}

func body(code ...string) *Module {
	return functions(1, Code{Body: []byte(strings.Join(code, "") + "\x0b")})
}

func zero() Expr { return Expr{Op: OpI32Const, Raw: []byte{byte(OpI32Const), 0}} }

func bounds() map[string]crowded {
	table := TableType{Element: Funcref}
	named := func(n int) string { return strings.Repeat("n", n) }
	return map[string]crowded{
		"types": {MaxTypes, "types", func(n int) *Module { return &Module{Types: make([]FuncType, n)} }},
		"values of all types": {MaxTypeValues, "parameters and results of all types", func(n int) *Module {
			m := &Module{}
			for ; n > 0; n -= MaxParams {
				t := make([]ValueType, min(n, MaxParams))
				for i := range t {
					t[i] = I32
				}
				m.Types = append(m.Types, FuncType{Params: t})
			}
			return m
		}},
		"imports": {MaxImports, "imports", func(n int) *Module {
			return &Module{Types: []FuncType{{}}, Imports: make([]Import, n)}
		}},
		"functions": {MaxFunctions, "functions", func(n int) *Module {
			return functions(n, Code{Body: []byte{byte(OpEnd)}})
		}},
		"tables": {MaxTables, "tables", func(n int) *Module {
			m := &Module{}
			for range n {
				m.Tables = append(m.Tables, table)
			}
			return m
		}},
		"globals": {MaxGlobals, "globals", func(n int) *Module {
			m := &Module{}
			for range n {
				m.Globals = append(m.Globals, Global{GlobalType{Type: I32}, zero()})
			}
			return m
		}},
		"exports": {MaxExports, "exports", func(n int) *Module {
			m := &Module{Tables: []TableType{table}}
			for i := range n {
				m.Exports = append(m.Exports, Export{fmt.Sprint(i), KindTable, 0})
			}
			return m
		}},
		"element segments": {MaxElementSegments, "segments", func(n int) *Module {
			m := &Module{}
			for range n {
				m.Elements = append(m.Elements, PassiveElement(nil))
			}
			return m
		}},
		"elements of two segments": {MaxElements, "elements of all segments", func(n int) *Module {
			m := functions(1, Code{Body: []byte{byte(OpEnd)}})
			m.Elements = []Element{PassiveElement(make([]uint32, n-1)), PassiveElement(make([]uint32, 1))}
			return m
		}},
		"elements by expressions": {MaxElements, "elements of all segments", func(n int) *Module {
			e := Element{Mode: ElementPassive, Type: Funcref, flags: 5, Exprs: make([]Expr, n)}
			for i := range e.Exprs {
				e.Exprs[i] = Expr{Op: OpRefNull, Raw: []byte{byte(OpRefNull), byte(Funcref)}}
			}
			return &Module{Elements: []Element{e}}
		}},
		"data segments": {MaxDataSegments, "segments", func(n int) *Module {
			m := &Module{}
			for range n {
				m.Data = append(m.Data, PassiveData(nil))
			}
			return m
		}},
		"custom sections": {MaxCustom, "custom sections", func(n int) *Module {
			return &Module{Custom: make([]Custom, n)}
		}},
		"body": {MaxBody, "bytes of a body", func(n int) *Module {
			return body(strings.Repeat("\x01", n-2)) // beside the end, and a byte for no locals
		}},
		"blocks": {MaxBlocks, "blocks in one function", func(n int) *Module {
			return body(strings.Repeat("\x02\x40\x0b", n))
		}},
		"ifs": {MaxBlocks, "blocks in one function", func(n int) *Module {
			return body(strings.Repeat("\x41\x00\x04\x40\x0b", n))
		}},
		"nesting": {MaxDepth, "blocks inside one another", func(n int) *Module {
			return body(strings.Repeat("\x03\x40", n), strings.Repeat("\x0b", n))
		}},
		"labels": {MaxTargets, "labels", func(n int) *Module {
			return body("\x41\x00\x0e", string(AppendU32(nil, uint32(n))), strings.Repeat("\x00", n+1))
		}},
		"labels of all br_table": {MaxAllTargets, "labels of br_table in one function", func(n int) *Module {
			var b strings.Builder
			for ; n > 0; n -= MaxTargets {
				some := min(n, MaxTargets)
				b.WriteString("\x41\x00\x0e" + string(AppendU32(nil, uint32(some))) + strings.Repeat("\x00", some+1))
			}
			return body(b.String())
		}},
		"locals": {MaxLocals, "locals", func(n int) *Module {
			return functions(1, Code{Locals: []LocalRun{{1, I32}, {uint32(n - 1), V128}}, Body: []byte{byte(OpEnd)}})
		}},
		"locals of all functions": {MaxAllLocals, "locals of all functions", func(n int) *Module {
			m := functions(n/MaxLocals+1, Code{Locals: []LocalRun{{MaxLocals, V128}}, Body: []byte{byte(OpEnd)}})
			m.Code[0].Locals = []LocalRun{{uint32(n % MaxLocals), I32}}
			return m
		}},
		"name of an import": {MaxName, "bytes of an import's name", func(n int) *Module {
			return &Module{Types: []FuncType{{}}, Imports: []Import{{Name: named(n)}}}
		}},
		"name of an import's module": {MaxName, "bytes of a module's name", func(n int) *Module {
			return &Module{Types: []FuncType{{}}, Imports: []Import{{Module: named(n)}}}
		}},
		"name of an export": {MaxName, "bytes of an export's name", func(n int) *Module {
			return &Module{Tables: []TableType{table}, Exports: []Export{{named(n), KindTable, 0}}}
		}},
	}
}

// read decodes a module and walks over its code.
func read(b []byte) error {
	m, err := Decode(b)
	if err != nil {
		return err
	}
	return scanAll(m)
}

// TestBounds: of each thing that costs a runtime more than it weighs, so much and
// no more is read, and the refusal has both figures.
func TestBounds(t *testing.T) {
	for name, c := range bounds() {
		t.Run(name, func(t *testing.T) {
			if err := read(c.module(c.most).Encode()); err != nil {
				t.Errorf("%d give %v", c.most, err)
			}
			want := fmt.Sprintf("found %d %s, wanted at most %d", c.most+1, c.wanted, c.most)
			if err := read(c.module(c.most + 1).Encode()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, wanted %q", err, want)
			}
		})
	}
}

// A name section is read as far as it is of use: each name cut between two
// characters, in order, each function once, none that the module does not have.
func TestNames(t *testing.T) {
	long := strings.Repeat("a", MaxLabel-1) + "é" + strings.Repeat("b", 1<<20)
	entry := func(i uint32, name string) string { return string(appendName(AppendU32(nil, i), name)) }
	sub := func(id byte, content string) string { return string(appendName([]byte{id}, content)) }
	three := sub(0, entry(0, long)[1:]) + sub(1,
		"\x06"+entry(0, long)+entry(1, "")+entry(0, "again")+entry(2, "two")+entry(2, "again")+entry(9, "nine"))
	short := strings.Repeat("a", MaxLabel-1)
	whole := Names{Module: short, Functions: []FunctionName{{0, short}, {1, ""}, {2, "two"}}}
	for _, c := range []struct {
		name, section string
		want          Names
	}{
		{"all", three, whole},
		{"locals and labels are passed over", sub(2, "\x01\xff\xff") + three + sub(3, "\xff"), whole},
		{"empty", "", Names{}},
		{"cut off", three[:len(three)-1], Names{}},
		{"more names than bytes", sub(1, "\xff\xff\xff\xff\x0f"), Names{}},
		{"bytes left over", sub(1, "\x00\x00"), Names{}},
		{"not UTF-8", sub(1, "\x01"+entry(0, "\xff")), Names{}},
	} {
		m := functions(3, Code{Body: []byte{byte(OpEnd)}})
		m.Custom = []Custom{{Name: NameSection, Data: []byte(c.section)}, {Name: NameSection, Data: []byte(three)}}
		got := m.Names()
		if got.Module != c.want.Module || fmt.Sprint(got.Functions) != fmt.Sprint(c.want.Functions) {
			t.Errorf("%s: got %.600s, wanted %.600s", c.name, fmt.Sprint(got), fmt.Sprint(c.want))
		}
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{
		{"", 0, ""}, {"abc", 3, "abc"}, {"abc", 2, "ab"}, {"aé", 2, "a"}, {"aé", 3, "aé"}, {"日本", 5, "日"}, {"日", 2, ""},
		{"\x80\x80\x80", 2, ""},
	} {
		if got := Cut(c.in, c.n); got != c.want || utf8.ValidString(c.in) && !utf8.ValidString(got) {
			t.Errorf("Cut(%q, %d) = %q, wanted %q", c.in, c.n, got, c.want)
		}
	}
}

// What a module says of itself by the million is read for a few lines.
func TestProducersAreFew(t *testing.T) {
	many := "\x01\x08language" + string(AppendU32(nil, 1<<20)) + strings.Repeat("\x01a\x00", 1<<20)
	m := &Module{Custom: []Custom{{Name: "producers", Data: []byte(many)}}}
	if got := len(m.Producers()); got != maxProducers {
		t.Errorf("found %d producers, wanted %d", got, maxProducers)
	}
	m.Custom[0].Data = []byte("\x01\x08language\x01" + string(AppendU32(nil, 1<<20)) + strings.Repeat("a", 1<<20) +
		"\x00")
	if got := m.Toolchain(); got != strings.Repeat("a", maxProducer) {
		t.Errorf("the toolchain is %.100q, of %d bytes", got, len(got))
	}
}
