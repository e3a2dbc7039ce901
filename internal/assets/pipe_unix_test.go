//go:build unix

package assets

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestBecomesPipe: what was found to be a file or a folder, and has become a pipe that
// nobody writes to when it is opened, holds no goroutine.
func TestBecomesPipe(t *testing.T) {
	for _, name := range []string{"a", "d"} {
		dir := t.TempDir()
		write(t, dir, map[string]string{"a": "1234", "d/b": "1234"})
		f, err := Open(most)(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		pipe := filepath.Join(dir, name)
		if err := errors.Join(os.RemoveAll(pipe), syscall.Mkfifo(pipe, 0o600)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(f); !errors.Is(err, ErrChanging) {
			t.Errorf("%s: found %v, wanted %v", name, err, ErrChanging)
		}
	}
}
