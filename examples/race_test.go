//go:build race

package examples

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// precompile has this package's test without the race detector fill the cache
// with a guest's machine code: with it, compiling takes ten times as long. It is
// a test again because wazero, in tests, calls its version another, and takes
// nothing from a cache of another version.
func precompile(t *testing.T, folder, module string) {
	t.Helper()
	plain := filepath.Join(built.dir, "plain.test")
	if _, err := os.Stat(plain); err != nil {
		if text, err := exec.Command("go", "test", "-c", "-o", plain, ".").CombinedOutput(); err != nil {
			t.Fatalf("build of the test without the race detector: %v\n%s", err, text)
		}
	}
	cmd := exec.Command(plain)
	cmd.Env = append(os.Environ(), precompileEnv+"="+folder+" "+module+" "+built.dir)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("precompile %s: %v\n%s", folder, err, text)
	}
}
