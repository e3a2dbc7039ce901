package guest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/internal/meter"
	"github.com/wirehost/wirehost/internal/wasmbin"
	"github.com/wirehost/wirehost/internal/wasmbintest"
)

// TestNamesAreCut: names that a trap would show are cut when the module is read, before
// a stack is made of them.
func TestNamesAreCut(t *testing.T) {
	m := wasmbintest.Read(t, "../testdata/echo.wasm")
	names := wasmbin.Names{Module: strings.Repeat("m", 1<<20)}
	for i := range m.ImportedFunctions() + len(m.Functions) {
		names.Functions = append(names.Functions,
			wasmbin.FunctionName{Index: uint32(i), Name: strings.Repeat("é", 1<<20)})
	}
	m.Custom = []wasmbin.Custom{{Name: wasmbin.NameSection, Data: wasmbin.AppendNames(nil, names)}}
	path := filepath.Join(t.TempDir(), "guest.wasm")
	if err := os.WriteFile(path, m.Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	p := loaded(t, path, false)
	defer p.Close(t.Context())
	want := strings.Repeat("m", wasmbin.MaxLabel) + "." + strings.Repeat("é", wasmbin.MaxLabel/2)
	functions := 0
	for _, f := range p.compiled.ImportedFunctions() { // none but the gate is exported
		if module, _, _ := f.Import(); module == meter.ModuleName {
			continue
		}
		functions++
		if got := f.DebugName(); got != want {
			t.Errorf("a function's name is %.700q, wanted %.700q", got, want)
		}
	}
	if functions == 0 {
		t.Error("found no functions")
	}
}
