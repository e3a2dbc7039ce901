package host

import (
	"context"
	"errors"
	"testing"

	"github.com/wirehost/wirehost/host/config"
)

// TestAnswers: a loop that does not answer is named, for as long as it does not.
func TestAnswers(t *testing.T) {
	s := serve(t, configuration(numbered("testdata/echo.wasm", config.IsolationLoop, 0)))
	stuck, free := make(chan struct{}), make(chan struct{})
	last := s.reactor.Loops()[len(s.reactor.Loops())-1]
	if err := last.CallFromThread(func() { close(stuck); <-free }); err != nil {
		t.Fatal(err)
	}
	<-stuck
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Answers(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("found %v of a loop that is stuck", err)
	}
	close(free)
	if err := s.Answers(context.Background()); err != nil {
		t.Error(err)
	}
}
