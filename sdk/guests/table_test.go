package sdk_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/internal/tooltest"
	"github.com/wirehost/wirehost/internal/wasmbintest"
)

// Every guest keeps the contract, and exports and imports nothing beside it: an
// import that is not in the table is a fault.
func TestContract(t *testing.T) {
	for _, l := range languages() {
		for _, guest := range l.guests {
			t.Run(l.name+"/"+guest, func(t *testing.T) {
				m := wasmbintest.Read(t, build(t, l, guest)).Describe()
				for _, f := range abi.Validate(m) {
					t.Errorf("the ABI's validator: %v", f)
				}
				known := map[string]bool{}
				for _, e := range abi.Exports() {
					known[e.Name] = true
				}
				for _, e := range m.Exports {
					if !known[e.Name] && e.Kind == abi.KindFunction { // rustc exports some globals
						t.Errorf("export %s: found, and not in the table", e.Name)
					}
				}
				for _, i := range m.Imports {
					if i.Module == abi.ModuleWASI && !l.wasi {
						t.Errorf("import %s.%s: found, and no SDK here needs WASI", i.Module, i.Name)
					}
				}
			})
		}
	}
}

// An SDK has all that the table has, with the table's signatures.
func TestTable(t *testing.T) {
	for _, l := range with(everything) {
		t.Run(l.name, func(t *testing.T) {
			m := wasmbintest.Read(t, build(t, l, everything)).Describe()
			for _, want := range abi.Exports() {
				if want.Name == abi.ExportInitialize && !l.wasi {
					continue // of languages with something to run there
				}
				if e, ok := m.Export(want.Name); !ok || !e.Signature.Equal(want.Signature) {
					t.Errorf("export %s: found %v (there: %t), wanted %v", want.Name, e.Signature, ok, want.Signature)
				}
			}
			imports := map[string]abi.Signature{}
			for _, i := range m.Imports {
				imports[i.Module+"."+i.Name] = i.Signature
			}
			for _, want := range abi.Imports() {
				if s, ok := imports[want.Key()]; !ok || !s.Equal(want.Signature) {
					t.Errorf("import %s: found %v (there: %t), wanted %v", want.Key(), s, ok, want.Signature)
				}
			}
		})
	}
}

// Guests stay small.
func TestSize(t *testing.T) {
	for _, l := range languages() {
		for guest, most := range l.most {
			t.Run(l.name+"/"+guest, func(t *testing.T) {
				if found := size(t, build(t, l, guest)); found >= most {
					t.Errorf("found %d bytes, wanted less than %d", found, most)
				}
			})
		}
	}
}

func size(t testing.TB, path string) int {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Size())
}

// The SDKs' own tests, without a host.
func TestNative(t *testing.T) {
	for _, l := range languages() {
		if l.native == nil {
			continue
		}
		t.Run(l.name, func(t *testing.T) {
			need(t, l)
			for _, cmd := range l.native(t.TempDir()) {
				cmd.Dir = l.dir
				if text, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, text)
				}
			}
		})
	}
}

// The Rust SDK and its tests compile with the oldest rustc.
func TestOldestRust(t *testing.T) {
	rustc, err := oldestRustc()
	if err != nil {
		tooltest.Missing(t, err)
	}
	dir := t.TempDir()
	cmds := nativeRust(dir)
	for _, guest := range []string{lineReceiver, everything} {
		cmds = append(cmds, buildRust(guest, filepath.Join(dir, guest+".wasm")))
	}
	for _, cmd := range cmds {
		if cmd.Args[0] == "rustc" {
			cmd = exec.Command(rustc[0], append(rustc[1:], cmd.Args[1:]...)...)
		}
		cmd.Dir = "../rust"
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, text)
		}
	}
}
