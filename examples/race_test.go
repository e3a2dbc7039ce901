//go:build race

package examples

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/wirehost/wirehost/host"
)

// compiler is this package's test without the race detector, as the program that compiles
// guests: with it, compiling takes ten times as long. It is a test again because wazero,
// in tests, calls its version another, and loads no machine code of another version.
func compiler(t *testing.T) []string {
	t.Helper()
	built.mu.Lock()
	defer built.mu.Unlock()
	plain := filepath.Join(built.dir, "plain.test")
	if _, err := os.Stat(plain); err != nil {
		if text, err := exec.Command("go", "test", "-c", "-o", plain, ".").CombinedOutput(); err != nil {
			t.Fatalf("build of the test without the race detector: %v\n%s", err, text)
		}
	}
	return []string{plain, host.CompileIfAsked()[1]}
}
