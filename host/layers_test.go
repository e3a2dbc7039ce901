package host

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// TestConnectPlugin: each way in which a plugin can't be reached by another has its own
// answer, as that of an endpoint elsewhere.
func TestConnectPlugin(t *testing.T) {
	p := config.Plugin{Module: "testdata/connect.wasm", Isolation: config.IsolationShared}
	p.Allow.Connect = []string{"plugin://behind", "plugin://refuses", "plugin://traps", "plugin://gone"}
	cfg := configuration(p)
	behind := config.Plugin{Module: "testdata/echo.wasm", Isolation: config.IsolationConnection}
	cfg.Plugins["behind"], cfg.Plugins["secret"] = behind, behind
	cfg.Plugins["refuses"], cfg.Plugins["traps"] = hostile("refuses_connections"), hostile("trap_in_build_protocol")
	connects(t, cfg, []connectCase{
		{"plugin://behind", 1, 2000},
		{"plugin://refuses", 1, 1009},
		{"plugin://traps", 1, 1009},
		{"plugin://gone", 1, 1010},
		{"plugin://secret", -4, 0},
		{"plugin://guest", -4, 0},
		{"plugin://next", -4, 0}, // there is no chain
		{"plugin://", -2, 0},
	})
}

// TestNoNextPlugin: who connects to plugin://next in vain is told why.
func TestNoNextPlugin(t *testing.T) {
	s := serve(t, configuration(config.Plugin{Module: "testdata/connect.wasm", Isolation: config.IsolationShared}))
	c := dial(t, s.addrs[0])
	send(t, c, "plugin://next")
	if got := answer(t, c); got != -4 {
		t.Errorf("connect returned %d, wanted -4", got)
	}
	want := "no plugin is behind this one in a chain of the listener tcp://" + s.addrs[0]
	if line := s.logs.await(t, "a guest can't connect to plugin://next", 1); line["why"] != want {
		t.Errorf("found %v, wanted %q", line, want)
	}
}

// forwarding is a server whose guest passes what it gets on to the plugin behind.
func forwarding(t *testing.T, behind config.Plugin, more ...func(*config.Config)) *server {
	t.Helper()
	p := config.Plugin{Module: built(t, "../../examples/portforward"), Isolation: config.IsolationLoop,
		Config: map[string]any{"target": "plugin://behind"}, Reload: config.ReloadMigrate}
	p.Allow.Connect = []string{"plugin://behind"}
	cfg := configuration(p)
	behind.Reload, behind.Image = config.ReloadMigrate, true
	cfg.Plugins["behind"] = behind
	for name, p := range cfg.Plugins {
		p.Limits.CallbackTime = 10 * time.Second // what is tested here is no limit of time
		cfg.Plugins[name] = p
	}
	for _, f := range more {
		f(&cfg)
	}
	return serve(t, cfg)
}

// TestPluginBehindPlugin: a stream of bytes, its ends, and reloads of both while it runs,
// on one loop and from loop to loop.
func TestPluginBehindPlugin(t *testing.T) {
	for _, isolation := range []config.Isolation{config.IsolationLoop, config.IsolationShared} {
		t.Run(string(isolation), func(t *testing.T) {
			s := forwarding(t, config.Plugin{Module: built(t, "../../plugins/echo"), Isolation: isolation})
			for range 2 { // on each loop one
				echoThrough(t, s)
			}
		})
	}
}

func echoThrough(t *testing.T, s *server) {
	t.Helper()
	c := dial(t, s.addrs[0])
	streamThrough(t, c, c.CloseWrite, func(n int) {
		if _, err := s.ReloadPlugin(t.Context(), []string{"behind", "guest", "behind"}[n], true); err != nil {
			t.Fatal(err)
		}
	})
}

// TestPluginsInACircle: what the configuration allows by a wildcard ends at a depth.
func TestPluginsInACircle(t *testing.T) {
	p := hostile("connects_in_a_circle")
	p.Isolation = config.IsolationLoop
	p.Allow.Connect = []string{"plugin://*"}
	p.Limits.ConnectionsOut = 1000
	cfg := configuration(p)
	cfg.Reactor.Loops = 1
	s := serve(t, cfg)
	c := dial(t, s.addrs[0])
	if got := answer(t, c); got != -3 {
		t.Errorf("the last connect returned %d, wanted -3", got)
	}
	if got, want := s.reactor.Connections(), 1+2*16; got != want {
		t.Errorf("found %d connections, wanted %d", got, want)
	}
}

// TestPluginsInATree: a plugin that connects to itself more than once for each connection comes
// to a bound, whatever its instances may have, and what has ended counts no more.
func TestPluginsInATree(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			p := hostile("connects_in_a_tree")
			p.Isolation = isolation
			p.Allow.Connect = []string{"plugin://*"}
			p.Limits.ConnectionsOut, p.Limits.Links = 1000, 50
			cfg := configuration(p)
			cfg.Reactor.Loops = 1
			s := serve(t, cfg)
			c := dial(t, s.addrs[0])
			if isolation != config.IsolationConnection { // there others may be told
				if got := answer(t, c); got != -3 {
					t.Errorf("connect returned %d, wanted -3", got)
				}
			}
			s.await(t, 1+2*50)
			s.logs.await(t, "a guest can't connect to another plugin: over limits.links", 1)
			guest := s.plugins["guest"].account
			if got := guest.Counts().Links; got != 50 {
				t.Errorf("found %d links, wanted 50", got)
			}
			if _, err := s.CloseConnections(t.Context(), ConnFilter{Plugin: "guest"}, true); err != nil {
				t.Fatal(err)
			}
			s.await(t, 0)
			if got := guest.Counts().Links; got != 0 {
				t.Errorf("found %d links, wanted none", got)
			}
		})
	}
}

// TestPluginsHoldNoLoop: two plugins that send each other bytes without end leave the loop
// to others.
func TestPluginsHoldNoLoop(t *testing.T) {
	for _, shared := range []config.Isolation{config.IsolationLoop, config.IsolationConnection} {
		t.Run(string(shared), func(t *testing.T) {
			p := config.Plugin{Module: "testdata/hostile/starts_a_ball.wasm", Isolation: shared}
			p.Allow.Connect = []string{"plugin://echo"}
			cfg := withEcho(configuration(p))
			cfg.Reactor.Loops = 1
			s := serve(t, cfg)
			send(t, dial(t, s.addrs[0]), "go")
			other := dial(t, s.addrs[1])
			for n := 0; n < 100 || s.reactor.Connections() != 4; n++ { // for as long as it takes to begin
				send(t, other, "hello")
				expect(t, other, "hello")
			}
		})
	}
}

// chained is a server with a chain: a plugin that passes connections on in their own name,
// as often as there are names, and one that tells what it sees.
func chained(names []string, more ...func(*config.Config)) config.Config {
	cfg := configuration(config.Plugin{Module: "testdata/tells_peer.wasm", Isolation: config.IsolationLoop})
	l := &cfg.Listeners[0]
	l.Plugin = ""
	for _, name := range names {
		cfg.Plugins[name] = config.Plugin{Module: "testdata/passes_as.wasm", Isolation: config.IsolationLoop}
		l.Chain = append(l.Chain, name)
	}
	l.Chain = append(l.Chain, "guest")
	for _, f := range more {
		f(&cfg)
	}
	return cfg
}

// TestChain: the plugins of a chain are behind one another, and each sees the client as
// the one before it does, where that says so; one that is in no chain has nobody behind it.
func TestChain(t *testing.T) {
	cfg := chained([]string{"first", "second"}, func(c *config.Config) {
		c.Listeners = append(c.Listeners, config.Listener{Endpoint: "tcp://127.0.0.1:0", Plugin: "first"})
	})
	s := serve(t, cfg)
	c := dial(t, s.addrs[0])
	expect(t, c, "tcp://"+c.LocalAddr().String()+"|tcp://"+c.RemoteAddr().String()+"|\x00\x00\x00\x00||")
	send(t, c, "hello")
	expect(t, c, "hello")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
		t.Errorf("the end: %q, %v", rest, err)
	}
	alone := dial(t, s.addrs[1])
	if got := answer(t, alone); got != -4 {
		t.Errorf("connectAs outside of a chain returned %d, wanted -4", got)
	}
}

// TestChainSeesTLS: certificate and ALPN of the client are seen behind the plugin that
// passes it on.
func TestChainSeesTLS(t *testing.T) {
	cert, key, pool := certificate(t, time.Now().Add(time.Hour))
	s := serve(t, chained([]string{"first"}, func(c *config.Config) {
		l := &c.Listeners[0]
		l.Endpoint = "tls://127.0.0.1:0"
		l.TLS = config.TLS{Cert: cert, Key: key, ClientCA: cert, ALPN: []string{"chat"}}
	}))
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	c := tls.Client(dial(t, s.addrs[0]), &tls.Config{RootCAs: pool, ServerName: "localhost",
		Certificates: []tls.Certificate{pair}, NextProtos: []string{"chat"}})
	want := string(binary.LittleEndian.AppendUint32(nil, uint32(len(pair.Certificate[0])))) + "|chat|"
	expect(t, c, "tcp://"+c.LocalAddr().String()+"|tcp://"+c.RemoteAddr().String()+"|"+want)
}

// TestChainChanges: a plugin that stands in a chain can't be unloaded, and another chain
// holds for the connections that come then; those that are there go on.
func TestChainChanges(t *testing.T) {
	cfg := chained([]string{"first", "second"})
	s := serve(t, cfg)
	c := dial(t, s.addrs[0])
	seen := "tcp://" + c.LocalAddr().String() + "|tcp://" + c.RemoteAddr().String() + "|\x00\x00\x00\x00||"
	expect(t, c, seen)
	_, err := s.UnloadPlugin(context.Background(), "second")
	if err == nil || !strings.Contains(err.Error(), "in the chain of the listener") {
		t.Fatalf("unloading a plugin of a chain: %v", err)
	}
	cfg = chained([]string{"second"})
	cfg.Listeners[0].Endpoint = s.Listeners()[0].String()
	old := cfg.Listeners[0]
	old.Endpoint = s.Config().Listeners[0].Endpoint
	cfg.Listeners[0] = old
	if _, err := s.Reload(context.Background(), unhurried(cfg)); err != nil {
		t.Fatal(err)
	}
	send(t, c, "still")
	expect(t, c, "still")
	other := dial(t, s.addrs[0])
	expect(t, other, "tcp://"+other.LocalAddr().String()+"|tcp://"+other.RemoteAddr().String()+"|\x00\x00\x00\x00||")
}
