package guest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host/guest/internal/compile"
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

// TestLoadsOneAtATime: what wazero takes in for one version, and shows others before it is
// whole, no other version takes meanwhile.
func TestLoadsOneAtATime(t *testing.T) {
	l, err := NewLoader(t.Context(), LoaderOptions{Logger: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	if !l.machine {
		t.Skip("no machine code can be made here")
	}
	ctx := &asked{Context: t.Context(), loader: l}
	limits := compile.Limits{Stack: 1 << 20, Table: 10_000, GoJumps: true}
	defer loadedBy(ctx, t, l, "../testdata/echo.wasm", false, limits).Close(t.Context())
	if !ctx.alone {
		t.Error("another version may load what wazero is loading")
	}
}

// asked is a context of which wazero asks values while it loads a module.
type asked struct {
	context.Context
	loader *Loader
	alone  bool // nobody else could load the module then
}

func (a *asked) Value(key any) any {
	a.loader.mu.Lock()
	defer a.loader.mu.Unlock()
	for _, c := range a.loader.code {
		if c.loading.TryLock() {
			c.loading.Unlock()
		} else {
			a.alone = true
		}
	}
	return a.Context.Value(key)
}
