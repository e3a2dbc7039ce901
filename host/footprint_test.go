package host

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/wasmbin"
	"github.com/wirehost/wirehost/internal/wasmbintest"
)

// changed writes a guest of testdata with a change, and says where.
func changed(t testing.TB, guest string, change func(m *wasmbin.Module)) string {
	t.Helper()
	m := wasmbintest.Read(t, "testdata/"+guest+".wasm")
	change(m)
	path := filepath.Join(t.TempDir(), "guest.wasm")
	if err := os.WriteFile(path, m.Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestFootprint: what an instance takes beside its linear memory counts against
// limits.memory, whatever it is; a little is free, so that linear memory may be
// all of the limit.
func TestFootprint(t *testing.T) {
	zero := wasmbin.Expr{Op: wasmbin.OpI32Const, Raw: []byte{byte(wasmbin.OpI32Const), 0}}
	table := func(least uint32) func(m *wasmbin.Module) {
		return func(m *wasmbin.Module) {
			m.Tables = []wasmbin.TableType{{Element: wasmbin.Funcref, Limits: wasmbin.Limits{Min: least}}}
		}
	}
	for _, c := range []struct {
		name   string
		change func(m *wasmbin.Module)
		want   string // "" where it loads
	}{
		{"linear memory alone", func(*wasmbin.Module) {}, ""},
		{"a page more", func(m *wasmbin.Module) {
			m.Memories[0].Min++
		}, "found 196880 bytes at the start (memory 196608 + globals 192 + imports 80)"},
		{"a small table", table(1000), ""},
		{"a table", table(20_000), "(memory 131072 + tables 160176 + globals 192 + imports 80)"},
		{"globals", func(m *wasmbin.Module) {
			for range 1000 {
				m.Globals = append(m.Globals,
					wasmbin.Global{GlobalType: wasmbin.GlobalType{Type: wasmbin.I32}, Init: zero})
			}
		}, "globals 96192"},
		{"a passive segment of elements", func(m *wasmbin.Module) {
			m.Elements = []wasmbin.Element{wasmbin.PassiveElement(make([]uint32, 20_000))}
		}, "element segments 960024"},
		{"active ones, one over the other", func(m *wasmbin.Module) {
			table(1000)(m)
			for range 10 {
				m.Elements = append(m.Elements, wasmbin.ActiveElement(0, zero, make([]uint32, 1000)))
			}
		}, "tables 8176 + globals 192 + element segments 400240"},
		{"data segments", func(m *wasmbin.Module) {
			m.DataCount = nil
			for range 4000 {
				m.Data = append(m.Data, wasmbin.PassiveData(nil))
			}
		}, "data segments 96"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := config.Plugin{Module: changed(t, "echo", c.change), Limits: config.Limits{Memory: 128 << 10}}
			s := newServer(t, configuration(p))
			if c.want == "" {
				s.start(t)
				conn := dial(t, s.addrs[0])
				send(t, conn, "hello")
				expect(t, conn, "hello")
				return
			}
			err := s.Start(context.Background())
			for _, want := range []string{c.want,
				"wanted at most limits.memory, 131072, and 65536 beside linear memory"} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, wanted %q in it", err, want)
				}
			}
		})
	}
}

// Names that a trap would show are cut when the module is read, before a stack is
// made of them.
func TestLongNames(t *testing.T) {
	names := wasmbin.Names{Module: strings.Repeat("m", 1<<20)}
	module := changed(t, "hostile/unreachable", func(m *wasmbin.Module) {
		for i := range m.ImportedFunctions() + len(m.Functions) {
			names.Functions = append(names.Functions,
				wasmbin.FunctionName{Index: uint32(i), Name: strings.Repeat("é", 1<<20)})
		}
		m.Custom = []wasmbin.Custom{{Name: wasmbin.NameSection, Data: wasmbin.AppendNames(nil, names)}}
	})
	s := serve(t, configuration(config.Plugin{Module: module}))
	c := dial(t, s.addrs[0])
	send(t, c, "x")
	expectReset(t, c)
	stack, _ := s.logs.await(t, "guest trapped; its instance is discarded", 1)["stack"].(string)
	if n := len(stack); n == 0 || n > 2*wasmbin.MaxLabel+100 {
		t.Errorf("the stack of one function has %d bytes: %.1000q", n, stack)
	}
}

// Custom sections without content are sound, wherever they stand.
func TestOddCustomSections(t *testing.T) {
	module := changed(t, "echo", func(m *wasmbin.Module) {
		m.Custom = append(m.Custom, wasmbin.Custom{}, wasmbin.Custom{Name: "x"}, wasmbin.Custom{Name: "x"},
			wasmbin.Custom{Name: wasmbin.NameSection, After: wasmbin.SectionData},
			wasmbin.Custom{After: wasmbin.SectionData})
	})
	s := serve(t, configuration(config.Plugin{Module: module}))
	c := dial(t, s.addrs[0])
	send(t, c, "hello")
	expect(t, c, "hello")
}
