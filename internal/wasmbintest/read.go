// Package wasmbintest reads modules that tests take apart.
package wasmbintest

import (
	"os"
	"testing"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

// Read is the module in a file. The test ends where there is none.
func Read(t testing.TB, path string) *wasmbin.Module {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := wasmbin.Decode(b)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return m
}
