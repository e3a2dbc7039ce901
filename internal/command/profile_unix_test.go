//go:build unix

package command

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// To ask whether a file can be written leaves it as it is, and does not wait for a pipe's
// reader.
func TestWritable(t *testing.T) {
	dir := t.TempDir()
	file, missing, pipe := write(t, "file", "old"), filepath.Join(dir, "missing"), filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{file, missing, pipe, "-"} {
		if err := writable(name); err != nil {
			t.Error(err)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "old" {
		t.Errorf("found %q, %v in a file that was there", text, err)
	}
	for _, name := range []string{missing, "-"} {
		if _, err := os.Lstat(name); !os.IsNotExist(err) {
			t.Errorf("found %s, %v", name, err)
		}
	}
}
