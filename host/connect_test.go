package host

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/tooltest"
)

// TestConnect: each way in which a connection can't be made has its own answer.
func TestConnect(t *testing.T) {
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	p := config.Plugin{Module: "testdata/connect.wasm", Isolation: config.IsolationShared}
	p.Allow.Connect = []string{"tcp://127.0.0.1:*", "tcp://localhost:*", "tcp://no-such-host.invalid:*",
		"unix:///nowhere"}
	connects(t, configuration(p), []connectCase{
		{"tcp://" + target.Addr().String(), 1, 2000},
		{"tcp://127.0.0.1:" + tooltest.FreePort(t), 1, 1009},
		{"unix:///nowhere", 1, 1009},
		{"tcp://localhost:1", 1, 1011}, // a name that leads home
		{"tcp://no-such-host.invalid:1", 1, 1010},
		{"tcp://127.0.0.2:1", -4, 0},
		{"tls://" + target.Addr().String(), -4, 0},
		{"nonsense", -2, 0},
	})
}

// connectCase is what a guest is answered that connects.
type connectCase struct {
	endpoint string
	first    int32 // 1 = a handle
	then     int32 // 0 = nothing
}

// connects has the guest of connect.wat do so, each time in a server of its own.
func connects(t *testing.T, cfg config.Config, cases []connectCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.endpoint, func(t *testing.T) {
			s := serve(t, cfg)
			conn := dial(t, s.addrs[0])
			send(t, conn, c.endpoint)
			got := answer(t, conn)
			if c.first == 1 && got < 1 || c.first != 1 && got != c.first {
				t.Fatalf("connect returned %d, wanted %d", got, c.first)
			}
			if c.then == 0 {
				return
			}
			if got := answer(t, conn); got != c.then {
				t.Errorf("then came %d, wanted %d", got, c.then)
			}
		})
	}
}

// TestConnectTimeout and limits.connections_out, on a clock that the test turns.
func TestConnectTimeout(t *testing.T) {
	p := config.Plugin{Module: "testdata/connect.wasm", Isolation: config.IsolationShared}
	p.Allow.Connect = []string{"tcp://127.0.0.1:9"}
	p.Limits.ConnectionsOut = 2
	v := serveVirtual(t, configuration(p))
	v.sys.Silence("tcp", "127.0.0.1:9")
	c := v.dial(t)
	for n, want := range []bool{true, true, false} {
		send(t, c, "tcp://127.0.0.1:9")
		if got := answer(t, c); (got > 0) != want || !want && got != -3 {
			t.Fatalf("connect %d returned %d", n, got)
		}
	}
	v.turn(t, patience)
	for range 2 {
		if got := answer(t, c); got != 1003 {
			t.Errorf("got %d, wanted a timeout, 1003", got)
		}
	}
	send(t, c, "tcp://127.0.0.1:9")
	if got := answer(t, c); got < 1 {
		t.Errorf("connect returned %d when there was room again", got)
	}
}

// TestLoadLimits: what is over limits.module or limits.compile_time is refused,
// and told so.
func TestLoadLimits(t *testing.T) {
	for _, c := range []struct {
		limits config.Limits
		want   string
	}{
		{config.Limits{Module: 100}, "found a file of more than 100 bytes, wanted at most limits.module"},
		{config.Limits{CompileTime: 1}, "compiling took more than limits.compile_time, 1ns"},
		{config.Limits{Memory: 64 << 10}, "memory: found 131344 bytes at the start (memory 131072 + globals 192 + " +
			"imports 80), wanted at most limits.memory, 65536, and"},
	} {
		cfg := configuration(config.Plugin{Module: "testdata/echo.wasm", Limits: c.limits})
		cfg.Cache.Dir = "off" // what is there is not compiled
		s := newServer(t, cfg)
		if err := s.Start(context.Background()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, wanted %q in it", err, c.want)
		}
	}
}
