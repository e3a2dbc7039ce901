package command

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/bounded"
)

// TestStuckConfiguration: a configuration, and a module to inspect, that can't even
// be opened are given up: the command ends, or goes on with what it has.
func TestStuckConfiguration(t *testing.T) {
	a := &app{stdout: io.Discard, stderr: io.Discard}
	newRoot(a)
	a.file = "stuck.yaml"
	release := make(chan struct{})
	defer close(release)
	a.files = &bounded.Reader{Quiet: time.Millisecond, Open: func(string) (fs.File, error) {
		<-release
		return nil, fs.ErrNotExist
	}}
	if _, err := a.load(context.Background()); !errors.Is(err, bounded.ErrGivenUp) {
		t.Errorf("found %v", err)
	}
	if _, err := a.inspect(context.Background(), "stuck.wasm"); !errors.Is(err, bounded.ErrGivenUp) {
		t.Errorf("inspect: found %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := a.load(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("found %v", err)
	}
}

// TestMemoryLimitIsTheUsers: GOMEMLIMIT goes before what the host would set.
func TestMemoryLimitIsTheUsers(t *testing.T) {
	if (&app{env: []string{"GOMEMLIMIT=off"}}).memoryLimit() != nil {
		t.Error("found a limit set beside GOMEMLIMIT")
	}
	if (&app{}).memoryLimit() == nil {
		t.Error("found no limit set without GOMEMLIMIT")
	}
}
