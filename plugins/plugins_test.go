package plugins

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/internal/wasmbin"
)

func TestBuiltin(t *testing.T) {
	if !slices.IsSorted(Names()) {
		t.Errorf("found %v, wanted alphabetical order", Names())
	}
	for _, name := range Names() {
		b, ok := Builtin(name)
		if !ok {
			t.Fatalf("%s: not built in", name)
		}
		m, err := wasmbin.Decode(b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, f := range abi.Validate(m.Describe()) {
			t.Errorf("%s: %v", name, f)
		}
	}
	if _, ok := Builtin("nothing"); ok {
		t.Error("nothing: found a module")
	}
}

// The embedded modules are what their sources build, byte for byte. Compilers
// differ, so this needs the very toolchain that go.mod names.
func TestModulesAreWhatSourcesBuild(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the plugins")
	}
	wanted := toolchain(t)
	version, err := exec.Command("go", "env", "GOVERSION").Output()
	if err != nil {
		t.Skipf("no go command: %v", err)
	}
	if found := strings.TrimSpace(string(version)); found != wanted {
		t.Skipf("found toolchain %s, wanted go.mod's, %s", found, wanted)
	}
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			read(t, "../sdk/go/*.go", name+"/*.go")
			out := filepath.Join(t.TempDir(), name+".wasm")
			cmd := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-o", out,
				"./"+name)
			cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOWASM=", "GOFLAGS=", "GOEXPERIMENT=")
			if text, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", cmd, err, text)
			}
			built, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if b, _ := Builtin(name); !bytes.Equal(b, built) {
				t.Errorf("plugins/%s/%s.wasm (%d bytes) is not what its source builds (%d bytes): "+
					"run the command in its README",
					name, name, len(b), len(built))
			}
		})
	}
}

// toolchain reads go.mod's toolchain line.
func toolchain(t *testing.T) string {
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mod)) {
		if name, ok := strings.CutPrefix(line, "toolchain "); ok {
			return strings.TrimSpace(name)
		}
	}
	t.Fatal("go.mod: found no toolchain line")
	return ""
}

// read reads files, so that go test runs anew, and does not take a cached
// result, when one has changed.
func read(t *testing.T, patterns ...string) {
	for _, pattern := range patterns {
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
}
