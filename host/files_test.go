package host

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/bounded"
	"github.com/wirehost/wirehost/internal/boundedtest"
)

// stuckName is a file that says it is a regular one, and whose reads wait until it
// is released.
const stuckName = "stuck"

// stick makes the host's file stuckName one that gives nothing.
func stick(t *testing.T, s *server, quiet time.Duration) (reading <-chan struct{}) {
	t.Helper()
	s.sources.files.Quiet = quiet
	open := func(string) (fs.File, error) { return os.Open("testdata/echo.wasm") }
	begun, _ := boundedtest.Stick(t, &s.sources.files, open,
		func(path string) bool { return strings.HasSuffix(path, stuckName) })
	return begun
}

// TestStuckFiles: a file whose read does not return is given up with the change,
// which its own time or whoever asked for it ends. What ran runs on, and the next
// change is made.
func TestStuckFiles(t *testing.T) {
	good := configuration(numbered("testdata/echo.wasm", config.IsolationLoop, 0))
	nobody := errors.New("nobody waits any more")
	for name, c := range map[string]struct {
		change func(*config.Plugin, *config.Listener)
		quiet  time.Duration
		want   error
	}{
		"module": {func(p *config.Plugin, _ *config.Listener) { p.Module = stuckName }, time.Millisecond,
			bounded.ErrGivenUp},
		"module, cancelled": {func(p *config.Plugin, _ *config.Listener) { p.Module = stuckName }, time.Hour, nobody},
		"allow.ca":          {func(p *config.Plugin, _ *config.Listener) { p.Allow.CA = stuckName }, time.Hour, nobody},
		"cert": {func(_ *config.Plugin, l *config.Listener) {
			l.TLS.Cert, l.TLS.Key = stuckName,
				stuckName
		}, time.Hour, nobody},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, good)
			cfg := configuration(good.Plugins["guest"])
			p := cfg.Plugins["guest"]
			c.change(&p, &cfg.Listeners[0])
			cfg.Plugins["guest"] = p
			ctx, cancel := context.WithCancelCause(context.Background())
			defer cancel(nil)
			reading := stick(t, s, c.quiet)
			if c.want == nobody {
				go func() { <-reading; cancel(nobody) }()
			}
			if err := last(s.Reload(ctx, cfg)); !errors.Is(err, c.want) || !strings.Contains(err.Error(), stuckName) {
				t.Errorf("found %v, wanted %v", err, c.want)
			}
			s.sources.files.Quiet = 0
			if _, err := s.ReloadPlugin(context.Background(), "guest", true); err != nil {
				t.Errorf("the next change: %v", err)
			}
			conn := dial(t, s.addrs[0])
			send(t, conn, "hello")
			expect(t, conn, "hello")
		})
	}
}

// TestStuckBeforeCompiling: the compiler reads the module again, and by then it may be
// a file that does not open.
func TestStuckBeforeCompiling(t *testing.T) {
	s := serve(t, configuration(numbered("testdata/echo.wasm", config.IsolationLoop, 0)))
	opened, release := 0, make(chan struct{})
	defer close(release)
	again := make(chan struct{})
	s.sources.files.Quiet = time.Hour
	s.sources.files.Open = func(string) (fs.File, error) {
		if opened++; opened == 2 {
			close(again)
			<-release
		}
		return os.Open("testdata/echo.wasm")
	}
	cfg := configuration(numbered("changed.wasm", config.IsolationLoop, 0))
	p := cfg.Plugins["guest"]
	p.Limits.Stack = config.DefaultPlugin().Limits.Stack + 1 // it is compiled anew
	cfg.Plugins["guest"] = p
	nobody := errors.New("nobody waits any more")
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() { <-again; cancel(nobody) }()
	if err := last(s.Reload(ctx, cfg)); !errors.Is(err, nobody) {
		t.Errorf("found %v, wanted %v", err, nobody)
	}
	s.sources.files.Open = nil
	if _, err := s.ReloadPlugin(context.Background(), "guest", true); err != nil {
		t.Errorf("the next change: %v", err)
	}
}

// TestShutdownWhileReading: the host's end does not wait for a file.
func TestShutdownWhileReading(t *testing.T) {
	s := serve(t, configuration(numbered("testdata/echo.wasm", config.IsolationLoop, 0)))
	reading := stick(t, s, time.Hour)
	cfg := configuration(numbered(stuckName, config.IsolationLoop, 0))
	done := make(chan error, 1)
	go func() { done <- last(s.Reload(context.Background(), cfg)) }()
	<-reading
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-done; !errors.Is(err, ErrNotRunning) {
		t.Errorf("the change: %v", err)
	}
}
