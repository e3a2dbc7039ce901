//go:build unix

package host

import (
	"context"
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
