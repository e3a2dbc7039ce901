//go:build unix

package compile

import (
	"errors"
	"os"
	"syscall"
	"testing"
)

// toPipe puts a pipe in a file's place.
func toPipe(t *testing.T, name string) {
	t.Helper()
	if err := errors.Join(os.Remove(name), syscall.Mkfifo(name, 0o600)); err != nil {
		t.Fatal(err)
	}
}
