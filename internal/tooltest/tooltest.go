// Package tooltest says what becomes of tests whose tools are not installed: they are
// skipped, but where WIREHOST_REQUIRE_TOOLCHAINS is 1, as in CI, which installs all, they
// fail.
package tooltest

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// Required tells whether every tool must be there.
func Required() bool { return os.Getenv("WIREHOST_REQUIRE_TOOLCHAINS") == "1" }

// Missing ends a test for want of a tool; what says which one, and how it is installed.
func Missing(t testing.TB, what any) {
	t.Helper()
	if Required() {
		t.Fatal(what)
	} else {
		t.Skip(what)
	}
}

// Find is the path of a program that a test needs. install says how it comes here; ""
// where its name does.
func Find(t testing.TB, name, install string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path
	case install == "":
		Missing(t, err)
	default:
		Missing(t, fmt.Errorf("%w (%s)", err, install))
	}
	return ""
}
