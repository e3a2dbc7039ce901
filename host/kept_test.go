package host

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// TestFreeingWaitsForNobody: a change waits for what is being freed of an unloaded plugin,
// and holds nothing that this needs.
func TestFreeingWaitsForNobody(t *testing.T) {
	dir := t.TempDir()
	s := newServer(t, configuration(numbered("testdata/counter.wasm", config.IsolationLoop, 0)))
	s.o.Modules = func() (string, bool) { return dir, true }
	ctx := context.Background()
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Shutdown(ctx) })
	load := func(name string) error {
		_, err := s.LoadPlugin(ctx, name, numbered("testdata/echo.wasm", config.IsolationLoop, 0))
		return err
	}
	if err := load("other"); err != nil {
		t.Fatal(err)
	}
	other, err := s.plugin("other")
	if err != nil {
		t.Fatal(err)
	}
	s.keeping.mu.Lock() // what frees waits for it
	if _, err := s.UnloadPlugin(ctx, "other"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	for over := false; !over; runtime.Gosched() { // until it is being freed
		other.mu.Lock()
		over = len(other.replaced) == 0
		other.mu.Unlock()
	}
	go func() { done <- load("third") }()
	for held := 0; held < 1000; runtime.Gosched() { // until the change waits, which a lock that stays held shows too
		if !s.mu.TryLock() {
			held++
			continue
		}
		held = 0
		forgotten := len(s.unloaded) == 0
		s.mu.Unlock()
		if forgotten {
			break
		}
	}
	s.keeping.mu.Unlock()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the change and what is freed wait for one another")
	}
}
