package host

import (
	"io"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// TestLookWaitsForNoLoop: while a loop is held, who asks gets what it told last, and is told
// so; then what there is.
func TestLookWaitsForNoLoop(t *testing.T) {
	cfg := configuration(config.Plugin{Module: "testdata/echo.wasm"})
	cfg.Reactor.Loops = 2
	s := serve(t, cfg)
	c := dial(t, s.addrs[0])
	send(t, c, "x")
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if info, err := s.Plugin("guest"); err != nil || info.Stale || info.Connections != 1 {
		t.Fatalf("found %+v, %v", info, err)
	}
	s.o.Patience = time.Millisecond
	held, let := make(chan struct{}), make(chan struct{})
	if err := s.reactor.Loops()[0].CallFromThread(func() { close(held); <-let }); err != nil {
		t.Fatal(err)
	}
	<-held
	defer func() {
		if t.Failed() {
			close(let)
		}
	}()
	for range 3 { // one question waits, however often it is asked
		info, err := s.Plugin("guest")
		if err != nil || !info.Stale || info.Connections != 1 {
			t.Fatalf("found %+v, %v, wanted the connection, as it was", info, err)
		}
	}
	loops, err := s.LoopInfos()
	if err != nil || loops[0].Late <= 0 {
		t.Fatalf("found %+v, %v, wanted the first to be late", loops, err)
	}
	if !s.Ready() {
		t.Error("found it not ready")
	}
	s.o.Patience = time.Hour // a loop that has been late for so long is not waited for again
	s.lookouts[0].mu.Lock()
	s.lookouts[0].since = time.Now().Add(-time.Hour)
	s.lookouts[0].mu.Unlock()
	if info, err := s.Plugin("guest"); err != nil || !info.Stale {
		t.Errorf("found %+v, %v, wanted it as it was", info, err)
	}
	close(let)
	s.o.Patience = 0
	if info, err := s.Plugin("guest"); err != nil || info.Stale || info.Connections != 1 {
		t.Errorf("found %+v, %v", info, err)
	}
}
