//go:build unix

package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// TestPipes: a pipe in a file's place is refused at once. To open it would wait for
// its writer, and with it every other change and the host's end.
func TestPipes(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	good := configuration(numbered("testdata/echo.wasm", config.IsolationLoop, 0))
	s := serve(t, good)
	for name, change := range map[string]func(*config.Plugin, *config.Listener){
		"module": func(p *config.Plugin, _ *config.Listener) { p.Module = pipe },
		"ca":     func(p *config.Plugin, _ *config.Listener) { p.Allow.CA = pipe },
		"cert":   func(_ *config.Plugin, l *config.Listener) { l.TLS.Cert, l.TLS.Key = pipe, pipe },
	} {
		cfg := configuration(good.Plugins["guest"])
		p := cfg.Plugins["guest"]
		change(&p, &cfg.Listeners[0])
		cfg.Plugins["guest"] = p
		done := make(chan error, 1)
		go func() { done <- last(s.Reload(context.Background(), cfg)) }()
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), "found a pipe, wanted a file") {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(patience):
			t.Fatalf("%s: it waits for the pipe's writer", name)
		}
	}
}

// TestCopyIsOfWhatWasRead: a module whose file is replaced while it is compiled is kept with the
// bytes that were compiled, and one that can't be is not kept.
func TestCopyIsOfWhatWasRead(t *testing.T) {
	dir := t.TempDir()
	file, newer, modules := filepath.Join(dir, "p.wasm"), filepath.Join(dir, "newer"), filepath.Join(dir, "modules")
	was, err := os.ReadFile("testdata/echo.wasm")
	self, selfErr := os.Executable()
	for _, err := range []error{err, selfErr, os.WriteFile(file, was, 0o600),
		os.WriteFile(newer, []byte("\x00asm\x01\x00\x00\x00"), 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	cfg := configuration(config.Plugin{Module: file})
	cfg.Cache.Dir = "off"
	s := newServer(t, cfg)
	s.o.Modules = func() (string, bool) { return modules, true }
	s.o.Compiler = []string{"/bin/sh", "-c", `mv "$0" "$1" 2>/dev/null; shift; exec "$@"`, newer, file,
		self, compileWord}
	s.start(t)
	if _, err := s.ReloadPlugin(context.Background(), "guest", false); err == nil {
		t.Error("found no error, wanted one of the newer module, which is none of a plugin")
	}
	left, err := os.ReadDir(modules)
	want := fmt.Sprintf("%x.wasm", sha256.Sum256(was))
	if err != nil || len(left) != 1 || left[0].Name() != want {
		t.Fatalf("found the copies %v, %v, wanted %s", left, err, want)
	}
	if kept, err := os.ReadFile(filepath.Join(modules, want)); err != nil || !bytes.Equal(kept, was) {
		t.Errorf("found another copy, %v", err)
	}
}
