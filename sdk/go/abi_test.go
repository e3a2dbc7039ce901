package wirehost_test

import (
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/internal/wasmbin"
	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// buildGuest builds a folder as a guest and describes it.
func buildGuest(t *testing.T, dir string) abi.Module {
	t.Helper()
	out := filepath.Join(t.TempDir(), "guest.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-o", out, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, text)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	m, err := wasmbin.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	return m.Describe()
}

// read reads the guest's files, so that go test does not take a cached result
// when one has changed that is not built natively.
func read(t *testing.T, pattern string) {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: found %d files, %v", pattern, len(names), err)
	}
	for _, name := range names {
		if _, err := os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
}

// The SDK imports and exports all that the ABI's table has, and nothing else,
// with the table's signatures.
func TestTable(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a guest")
	}
	read(t, "*_wasip1.go")
	read(t, "testdata/everything/*.go")
	m := buildGuest(t, "testdata/everything")
	for _, f := range abi.Validate(m) {
		t.Errorf("the ABI's validator: %v", f)
	}
	for _, want := range abi.Exports() {
		if e, ok := m.Export(want.Name); !ok || !e.Signature.Equal(want.Signature) {
			t.Errorf("export %s: found %v (there: %t), wanted %v", want.Name, e.Signature, ok, want.Signature)
		}
	}
	known := map[string]bool{}
	for _, e := range abi.Exports() {
		known[e.Name] = true
	}
	for _, e := range m.Exports {
		if !known[e.Name] {
			t.Errorf("export %s: found, and not in the table", e.Name)
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
		delete(imports, want.Key())
	}
	for key := range imports {
		if !strings.HasPrefix(key, abi.ModuleWASI+".") {
			t.Errorf("import %s: found, and not in the table", key)
		}
	}
}

// Numbers of a later version of the contract are told as such.
func TestUnknownCodes(t *testing.T) {
	if found, wanted := wirehost.Status(-99).Error(), "status -99"; found != wanted {
		t.Errorf("found %q, wanted %q", found, wanted)
	}
	if found, wanted := wirehost.Reason(99).String(), "reason 99"; found != wanted {
		t.Errorf("found %q, wanted %q", found, wanted)
	}
}

// The SDK can be copied into a project as it is: it imports the standard library
// alone.
func TestStandardLibraryAlone(t *testing.T) {
	const self = "github.com/wirehost/wirehost/sdk/go"
	for _, dir := range []string{".", "sdktest"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(files), err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range f.Imports {
				path := strings.Trim(i.Path.Value, `"`)
				if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") && !(dir == "sdktest" && path == self) {
					t.Errorf("%s imports %s", name, path)
				}
			}
		}
	}
}
