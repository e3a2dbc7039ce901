package command

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/internal/wasmbin"
)

// binary is the built command, for tests that need a process; cacheDir keeps
// compiled modules between them. TestMain sets both.
var binary, cacheDir string

func TestMain(m *testing.M) {
	host.CompileIfAsked() // by a server within a test
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "wirehost-test-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary, cacheDir = filepath.Join(dir, "wirehost"), filepath.Join(dir, "cache")
	if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/wirehost").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// result is what a run gave.
type result struct {
	code           int
	stdout, stderr string
}

// command runs the command in this process, with the tests' module cache.
func command(t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := Run(args, []string{"WIREHOST_CACHE__DIR=" + cacheDir, "WIREHOST_ADMIN__LISTEN=off"}, &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

// lines are stderr's.
func (r result) lines() []string {
	return strings.Split(strings.TrimSuffix(r.stderr, "\n"), "\n")
}

// write makes a file in a new folder and returns its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// guest is the smallest module that can be hosted, changed by edit.
func guest(edit func(*wasmbin.Module)) []byte {
	i32, i64 := wasmbin.I32, wasmbin.ValueType(0x7e)
	end := wasmbin.Code{Body: []byte{0x0b}}
	m := &wasmbin.Module{
		Types: []wasmbin.FuncType{
			{},
			{Params: []wasmbin.ValueType{i32}},
			{Params: []wasmbin.ValueType{i32, i32}},
			{Params: []wasmbin.ValueType{i32, i32, i32}},
			{Results: []wasmbin.ValueType{i64}},
		},
		Functions: []uint32{0, 1, 2, 3, 4},
		Memories:  []wasmbin.Limits{{Min: 2}},
		Code: []wasmbin.Code{end, end, end, end,
			{Body: append(wasmbin.AppendS64([]byte{0x42}, 64<<10), 0x0b)}}, // ptr 0, capacity 64 KiB
		Exports: []wasmbin.Export{
			{Name: "memory", Kind: wasmbin.KindMemory},
			{Name: "abi_version_1", Kind: wasmbin.KindFunction, Index: 0},
			{Name: "connectionMade", Kind: wasmbin.KindFunction, Index: 1},
			{Name: "connectionLost", Kind: wasmbin.KindFunction, Index: 2},
			{Name: "dataReceived", Kind: wasmbin.KindFunction, Index: 3},
			{Name: "receiveBuffer", Kind: wasmbin.KindFunction, Index: 4},
		},
	}
	if edit != nil {
		edit(m)
	}
	return m.Encode()
}

// without removes an export.
func without(name string) func(*wasmbin.Module) {
	return func(m *wasmbin.Module) {
		var kept []wasmbin.Export
		for _, e := range m.Exports {
			if e.Name != name {
				kept = append(kept, e)
			}
		}
		m.Exports = kept
	}
}
