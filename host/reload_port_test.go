package host

import (
	"context"
	"crypto/tls"
	"maps"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/tooltest"
)

// visitors come to an address, one after the other, until they are stopped.
type visitors struct {
	stop chan struct{}
	all  sync.WaitGroup
}

func comeTo(t *testing.T, addr string) *visitors {
	v := &visitors{stop: make(chan struct{})}
	for range 4 {
		v.all.Go(func() {
			for {
				select {
				case <-v.stop:
					return
				default:
				}
				if err := (&counting{}).come(addr); err != nil {
					t.Errorf("a visitor of %s: %v", addr, err)
					return
				}
			}
		})
	}
	return v
}

func (v *visitors) end() {
	close(v.stop)
	v.all.Wait()
}

func (c *counting) come(addr string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	c.Conn = conn
	return c.roundTrip(1)
}

// TestReloadAddress goes from one address of a port to another that is in its way, and
// back, in one change each: whoever comes meanwhile is served.
func TestReloadAddress(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("sockets can't share a port here")
	}
	cfg := configuration(numbered("testdata/counter.wasm", config.IsolationLoop, 0))
	port := tooltest.FreePort(t) // which the system gives nobody, on other addresses either
	addr := "127.0.0.1:" + port
	cfg.Listeners[0].Endpoint = "tcp://" + addr
	s := serve(t, cfg)
	v := comeTo(t, addr)
	for _, host := range []string{"0.0.0.0", "127.0.0.1", "[::]", "127.0.0.1", "localhost"} {
		next := cfg
		next.Listeners = []config.Listener{{Endpoint: "tcp://" + host + ":" + port, Plugin: "guest"}}
		bad := next
		bad.Listeners = append(slices.Clone(next.Listeners),
			config.Listener{Endpoint: "tcp://192.0.2.1:1", Plugin: "guest"})
		before := len(s.ListenerInfos())
		if _, err := s.Reload(context.Background(), bad); err == nil || len(s.ListenerInfos()) != before {
			t.Errorf("%s: found %v, and %d listeners, wanted a refusal and %d", host, err, len(s.ListenerInfos()),
				before)
		}
		change, err := s.Reload(context.Background(), next)
		if err != nil || len(change.Added) != 1 || len(change.Removed) != 1 {
			t.Errorf("%s: found %+v, %v", host, change, err)
		}
		if err := (&counting{}).come(addr); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		if ln, err := net.Listen("tcp", addr); err == nil && runtime.GOOS == "linux" {
			ln.Close()
			t.Errorf("%s: another may listen on the port", host)
		}
	}
	v.end()
}

// TestReloadGoesOn: what one listener's error is, the others change all the same.
func TestReloadGoesOn(t *testing.T) {
	cfg := configuration(numbered("testdata/counter.wasm", config.IsolationLoop, 0))
	cfg.Plugins["odd"] = numbered("testdata/counter.wasm", config.IsolationShared, 0)
	cfg.Listeners = []config.Listener{{Endpoint: "tcp://127.0.0.1:0", Plugin: "odd"}, cfg.Listeners[0],
		{Endpoint: "tcp://[::1]:0", Plugin: "guest"}}
	s := serve(t, cfg)
	s.plugins["odd"].pinned = 99 // no loop
	next := cfg
	next.Listeners = []config.Listener{cfg.Listeners[0], {Endpoint: "tcp://[::]:0", Plugin: "guest"}, cfg.Listeners[1]}
	next.Listeners[2].MaxConnections = 7
	if _, err := s.Reload(t.Context(), next); err == nil || !strings.Contains(err.Error(), "found loop 99") {
		t.Fatalf("found %v, wanted a listener's error", err)
	}
	_, port, err := net.SplitHostPort(strings.TrimPrefix(s.Listeners()[1].String(), "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	if err := (&counting{}).come(net.JoinHostPort("::1", port)); err != nil {
		t.Errorf("the new one: %v", err)
	}
	if _, err := net.Dial("tcp", s.addrs[2]); err == nil {
		t.Error("the one that is over: found a connection")
	}
}

// TestReloadUnknownOwner: an owner that the machine does not know is refused before anything
// has changed, of a socket that stays too.
func TestReloadUnknownOwner(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a socket's file has no owner here")
	}
	dir := t.TempDir()
	cfg := configuration(config.Plugin{Module: "testdata/datagrams.wasm"})
	for _, endpoint := range []string{"unix://" + dir + "/a", "unixgram://" + dir + "/b"} {
		cfg.Listeners = []config.Listener{{Endpoint: endpoint, Plugin: "guest"}}
		s := serve(t, cfg)
		next := withConfig(cfg, map[string]any{"n": 1})
		next.Listeners = []config.Listener{{Endpoint: endpoint, Plugin: "guest", Group: "no such group"}}
		was := s.plugins["guest"].current()
		if _, err := s.Reload(t.Context(), next); err == nil || !strings.Contains(err.Error(), "group: ") {
			t.Errorf("found %v, wanted the group's error", err)
		}
		if is := s.plugins["guest"].current(); is != was {
			t.Errorf("found version %s, wanted %s", is.name, was.name)
		}
	}
}

// TestBackToAnotherIsolation: connections come to where the version runs that was gone back to,
// from outside, behind another plugin, and in a chain that a connection has had before.
func TestBackToAnotherIsolation(t *testing.T) {
	for _, is := range []struct{ first, then config.Isolation }{
		{config.IsolationLoop, config.IsolationShared}, {config.IsolationShared, config.IsolationLoop},
	} {
		t.Run(string(is.first), func(t *testing.T) {
			cfg := chained([]string{"first", "second"})
			cfg.Listeners = append(cfg.Listeners, config.Listener{Endpoint: "tcp://127.0.0.1:0", Plugin: "guest"})
			s := serve(t, cfg)
			var names []string
			for _, isolation := range []config.Isolation{is.first, is.then} {
				cfg = s.Config()
				p := cfg.Plugins["guest"]
				p.Isolation = isolation
				cfg.Plugins = maps.Clone(cfg.Plugins)
				cfg.Plugins["guest"] = p
				s.reloaded(t, cfg)
				names = append(names, s.plugins["guest"].current().name)
			}
			if _, err := s.UsePlugin(t.Context(), names[0]); err != nil {
				t.Fatal(err)
			}
			for n := range 6 { // so that there are some on each loop
				for _, addr := range s.addrs {
					c := dial(t, addr)
					if got := answer(t, c); got == 0 {
						t.Fatalf("connection %d to %s: found nothing", n, addr)
					}
				}
			}
			loops := map[int]bool{}
			page, err := s.Connections(t.Context(), ConnQuery{ConnFilter: ConnFilter{Plugin: "guest"}})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range page.Connections {
				loops[c.Loop] = true
			}
			wanted := map[config.Isolation]int{config.IsolationLoop: 2, config.IsolationShared: 1}
			if len(loops) != wanted[is.first] {
				t.Errorf("found loops %v, wanted %d of them", loops, wanted[is.first])
			}
		})
	}
}

// TestReloadScheme goes from plain connections to TLS and back on one socket: those that
// are there go on, and new ones are of the new kind.
func TestReloadScheme(t *testing.T) {
	cert, key, pool := certificate(t, time.Now().Add(time.Hour))
	cfg := configuration(numbered("testdata/counter.wasm", config.IsolationLoop, 0))
	s := serve(t, cfg)
	addr := s.addrs[0]
	plain := &counting{Conn: dial(t, addr)}
	if err := plain.roundTrip(1); err != nil {
		t.Fatal(err)
	}
	encrypted := cfg
	encrypted.Listeners = []config.Listener{{Endpoint: "tls://" + addr, Plugin: "guest",
		TLS: config.TLS{Cert: cert, Key: key}}}
	again := cfg
	again.Listeners = []config.Listener{{Endpoint: "tcp://" + addr, Plugin: "guest"}}
	for _, next := range []config.Config{again, encrypted, again} { // the first has port 0 for the same
		change, err := s.Reload(context.Background(), next)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.ListenerInfos()[0].Endpoint; got != next.Listeners[0].Endpoint {
			t.Errorf("found %s, wanted %s; %+v", got, next.Listeners[0].Endpoint, change)
		}
		c := &counting{Conn: dial(t, addr)}
		if strings.HasPrefix(next.Listeners[0].Endpoint, "tls") {
			c.Conn = tls.Client(c.Conn, &tls.Config{RootCAs: pool, ServerName: "localhost"})
		}
		if err := c.roundTrip(1); err != nil {
			t.Errorf("%s: %v", next.Listeners[0].Endpoint, err)
		}
		c.Close()
		if err := plain.roundTrip(1); err != nil { // that of before
			t.Errorf("%s: %v", next.Listeners[0].Endpoint, err)
		}
	}
}
