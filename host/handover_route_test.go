package host

import (
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// TestHandoverRouted: a connection that route still looks at stays with the old process, and is
// closed where it then says what it wants; who has one goes on, and the next one is the new
// process's.
func TestHandoverRouted(t *testing.T) {
	cfg := configuration(config.Plugin{Module: "testdata/echo.wasm", Isolation: config.IsolationLoop})
	cfg.Listeners[0].Route = []config.Route{{Prefix: []string{"hello"}, Plugin: "guest"}}
	cfg.Listeners[0].RouteTimeout = time.Hour
	v := &virtual{server: serve(t, cfg)}
	at := strings.TrimPrefix(v.Listeners()[0].String(), "tcp://")
	decided := dial(t, at)
	send(t, decided, "hello")
	expect(t, decided, "hello")
	waits := dial(t, at)
	send(t, waits, "hel")
	for late := time.Now().Add(patience); v.reactor.Connections() < 2; {
		if time.Now().After(late) {
			t.Fatal("it is not accepted")
		}
	}
	if _, _, err := v.handOver(t, cfg, nil); err != nil {
		t.Fatal(err)
	}
	send(t, decided, "again")
	expect(t, decided, "again")
	send(t, waits, "lo")
	if b, err := io.ReadAll(waits); len(b) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("found %q, %v", b, err)
	}
	fresh := dial(t, at)
	send(t, fresh, "hello")
	expect(t, fresh, "hello")
}
