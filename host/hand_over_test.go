package host

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/host/config"
)

// handing is a configuration with a guest that hands its connections over to other.
func handing(other config.Plugin, allowed ...string) config.Config {
	guest := config.Plugin{Module: "testdata/hands_over.wasm", Isolation: config.IsolationLoop}
	guest.Allow.HandOver = allowed
	cfg := configuration(guest)
	if other.Module != "" {
		cfg.Plugins["other"] = other
	}
	return cfg
}

// TestHandOver: connections go to another plugin, wherever it runs, with TLS and without it,
// and count to their listener to the end.
func TestHandOver(t *testing.T) {
	cert, key, pool := certificate(t, time.Now().Add(time.Hour))
	for _, scheme := range []string{"tcp", "tls"} {
		for _, isolation := range isolations {
			t.Run(scheme+"/"+string(isolation), func(t *testing.T) {
				cfg := handing(config.Plugin{Module: "testdata/echo.wasm", Isolation: isolation}, "other")
				ln := &cfg.Listeners[0]
				ln.Endpoint, ln.PerPeer.Connections = scheme+"://127.0.0.1:0", 8
				if scheme == "tls" {
					ln.TLS = config.TLS{Cert: cert, Key: key}
				}
				s := serve(t, cfg)
				var conns []net.Conn
				for n := range 8 {
					var c net.Conn = dial(t, s.addrs[0])
					if scheme == "tls" {
						c = tls.Client(c, &tls.Config{RootCAs: pool, ServerName: "localhost"})
					}
					conns = append(conns, c)
					text := fmt.Sprintf("%d%s", n, strings.Repeat("x", 100*n))
					send(t, c, text)
					expect(t, c, text)
				}
				s.wantConnections(t, "other", 8)
				s.wantConnections(t, "guest", 0)
				if stats := s.listeners[0].ln.Stats(); stats.Connections != 8 || stats.Accepted != 8 {
					t.Errorf("found %+v, wanted 8 connections", stats)
				}
				expectEnd(t, dial(t, s.addrs[0])) // the ninth of its peer
				s.logs.await(t, "guest", 8)
				for _, c := range conns {
					send(t, c, "more")
					expect(t, c, "more")
					if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
						t.Fatal(err)
					}
					if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
						t.Fatalf("found %q, %v, wanted the end", b, err)
					}
				}
				s.wantConnections(t, "other", 0)
			})
		}
	}
}

// wantConnections waits until a plugin has so many connections.
func (s *server) wantConnections(t *testing.T, plugin string, want int) {
	t.Helper()
	for late := time.Now().Add(patience); ; {
		page, err := s.Connections(context.Background(), ConnQuery{ConnFilter: ConnFilter{Plugin: plugin}})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Connections) == want {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("plugin %s has %d connections, wanted %d", plugin, len(page.Connections), want)
		}
	}
}

// TestHandOverRefused: to whom a connection can't be handed over, and what becomes of it.
func TestHandOverRefused(t *testing.T) {
	echo := config.Plugin{Module: "testdata/echo.wasm", Isolation: config.IsolationLoop}
	for _, c := range []struct {
		name   string
		cfg    config.Config
		status abi.Status // 0: it is closed
	}{
		{"not allowed", handing(echo), abi.EPERM},
		{"another is allowed", handing(echo, "guest"), abi.EPERM},
		{"a plugin that does not start", handing(hostile("trap_in_start_factory"), "other"), abi.ENOTSUP},
		{"a plugin that refuses", handing(hostile("refuses_connections"), "other"), abi.StatusOK},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, c.cfg)
			conn := dial(t, s.addrs[0])
			send(t, conn, "hello")
			if c.status == abi.StatusOK {
				expectEnd(t, conn)
				return
			}
			if got := answer(t, conn); got != int32(c.status) {
				t.Fatalf("found %d, wanted %v", got, c.status)
			}
			send(t, conn, "it goes on")
			if got := answer(t, conn); got != int32(c.status) {
				t.Errorf("found %d, wanted %v", got, c.status)
			}
		})
	}
}

// TestHandOverUnloaded: a plugin that was unloaded does not run any more.
func TestHandOverUnloaded(t *testing.T) {
	s := serve(t, handing(config.Plugin{Module: "testdata/echo.wasm", Isolation: config.IsolationShared}, "other"))
	if _, err := s.UnloadPlugin(context.Background(), "other"); err != nil {
		t.Fatal(err)
	}
	conn := dial(t, s.addrs[0])
	send(t, conn, "hello")
	if got := answer(t, conn); got != int32(abi.ENOTSUP) {
		t.Errorf("found %d, wanted %v", got, abi.ENOTSUP)
	}
}

// TestHandOverAndTrap: a guest that traps behind the hand-over, in the same callback, takes the
// connection with it.
func TestHandOverAndTrap(t *testing.T) {
	s := serve(t, handing(config.Plugin{Module: "testdata/echo.wasm", Isolation: config.IsolationLoop}, "other"))
	conn := dial(t, s.addrs[0])
	send(t, conn, "!")
	expectReset(t, conn)
	s.logs.await(t, trapNote, 1)
	s.wantConnections(t, "other", 0)
	again := dial(t, s.addrs[0])
	send(t, again, "hello")
	expect(t, again, "hello")
}

// TestHandOverAndReload: both plugins reload on their own, before and after.
func TestHandOverAndReload(t *testing.T) {
	s := serve(t, handing(config.Plugin{Module: "testdata/counter.wasm", Isolation: config.IsolationShared,
		Reload: config.ReloadMigrate, Image: true}, "other"))
	conn := dial(t, s.addrs[0])
	send(t, conn, ".")
	for _, plugin := range []string{"guest", "other"} {
		if _, err := s.ReloadPlugin(context.Background(), plugin, true); err != nil {
			t.Fatal(err)
		}
	}
	send(t, conn, "x")
	s.wantConnections(t, "other", 1)
	out, err := s.ReloadPlugin(context.Background(), "other", true)
	if err != nil || out.Migrated != 1 {
		t.Errorf("found %+v, %v, wanted one connection that has moved", out, err)
	}
	if got := s.listeners[0].ln.Stats().Connections; got != 1 {
		t.Errorf("found %d connections of the listener, wanted 1", got)
	}
}
