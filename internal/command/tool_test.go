package command

import (
	"os"
	"os/exec"
	"testing"
)

// tool finds a program that a test needs. Where it is not there, the test is
// skipped, but in CI, which sets WIREHOST_REQUIRE_TOOLCHAINS and installs them
// all.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("WIREHOST_REQUIRE_TOOLCHAINS") != "" {
		t.Fatalf("%s is not installed", name)
	}
	t.Skipf("%s is not installed", name)
	return ""
}
