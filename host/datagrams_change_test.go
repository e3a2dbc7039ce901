package host

import (
	"errors"
	"maps"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/reactor"
)

// TestListenerChangesPlugin: the socket stays, and another plugin has it.
func TestListenerChangesPlugin(t *testing.T) {
	cfg := datagrams(config.IsolationLoop)
	cfg.Plugins["other"] = withConfig(cfg, map[string]any{"n": 0}).Plugins["guest"]
	s := serve(t, cfg)
	c := mailTo(t, s.addrs[0])
	wantAnswer(t, c, "s", 1)
	wantAnswer(t, c, "s", 2)
	next := cfg
	next.Listeners = []config.Listener{cfg.Listeners[0]}
	next.Listeners[0].Plugin = "other"
	change := s.reloaded(t, next)
	if len(change.Changed) != 1 || !strings.HasSuffix(change.Changed[0], " for plugin other") {
		t.Errorf("found %+v", change)
	}
	wantAnswer(t, c, "s", 1)
	if found := s.said("stop 6"); found != 2 {
		t.Errorf("found %d stopProtocols of the first plugin, wanted 2", found)
	}
	if info := s.ListenerInfos()[0]; info.Plugin != "other" || info.Datagrams.Received != 3 ||
		info.Datagrams.Sent != 3 {
		t.Errorf("found %+v, %+v", info, info.Datagrams)
	}
}

// TestGroupsStayBehind: a plugin that gets a listener of another's does not get that one's
// groups with it.
func TestGroupsStayBehind(t *testing.T) {
	cfg := datagrams(config.IsolationLoop)
	cfg.Plugins["other"] = withConfig(cfg, map[string]any{"n": 0}).Plugins["guest"]
	cfg.Listeners[0].Multicast = []string{"239.0.0.0/8"}
	v := serveVirtual(t, cfg)
	on := func(do func(*reactor.DatagramSocket) error) (err error) {
		endErr := v.onSockets(func(k *socket) { err = do(k.guest.On()) })
		return errors.Join(err, endErr)
	}
	if err := on(func(d *reactor.DatagramSocket) error { return d.Join("239.1.2.3") }); err != nil {
		t.Fatal(err)
	}
	next := cfg
	next.Listeners = []config.Listener{cfg.Listeners[0]}
	next.Listeners[0].Plugin = "other"
	v.reloaded(t, next)
	err := on(func(d *reactor.DatagramSocket) error { return d.Leave("239.1.2.3") })
	if !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("leaving the group: found %v, wanted %v", err, syscall.EADDRNOTAVAIL)
	}
}

// TestListenersComeAndGo: those for datagrams, beside one for connections.
func TestListenersComeAndGo(t *testing.T) {
	s := serve(t, configuration(config.Plugin{Module: "testdata/datagrams.wasm"}))
	cfg := s.Config()
	cfg.Listeners = []config.Listener{{Endpoint: "udp://127.0.0.1:0", Plugin: "guest"}, cfg.Listeners[0]}
	change := s.reloaded(t, cfg)
	if len(change.Added) != 1 || len(change.Removed)+len(change.Changed) > 0 {
		t.Errorf("found %+v", change)
	}
	ep := s.Listeners()[0]
	if ep.Scheme != "udp" || s.Listeners()[1].Scheme != "tcp" {
		t.Fatalf("found %v", s.Listeners())
	}
	c := mailTo(t, strings.TrimPrefix(ep.String(), "udp://"))
	wantAnswer(t, c, "s", 1)
	cfg.Listeners = cfg.Listeners[1:]
	change = s.reloaded(t, cfg)
	if len(change.Removed) != 1 || len(change.Added) > 0 {
		t.Errorf("found %+v", change)
	}
	if found := s.said("stop 0"); found != 2 {
		t.Errorf("found %d stopProtocols, wanted 2", found)
	}
}

// TestPortsDoNotFit: a change that the sockets of a plugin can't follow is refused.
func TestPortsDoNotFit(t *testing.T) {
	cfg := datagrams(config.IsolationLoop)
	s := serve(t, cfg)
	c := mailTo(t, s.addrs[0])
	for _, change := range []struct {
		of   func(*config.Plugin, *config.Listener)
		want string
	}{
		{func(p *config.Plugin, _ *config.Listener) { p.Module = "testdata/echo.wasm" },
			"found no export datagramsReceived"},
		{func(p *config.Plugin, _ *config.Listener) { p.Isolation = config.IsolationShared },
			"found isolation shared of plugin guest, which runs on other loops than the sockets are on"},
		{func(_ *config.Plugin, l *config.Listener) { l.Broadcast = true }, "found 2 sockets, wanted one"},
	} {
		next := cfg
		p, l := cfg.Plugins["guest"], cfg.Listeners[0]
		change.of(&p, &l)
		next.Plugins, next.Listeners = maps.Clone(cfg.Plugins), []config.Listener{l}
		next.Plugins["guest"] = p
		if _, err := s.Reload(t.Context(), next); err == nil || !strings.Contains(err.Error(), change.want) {
			t.Errorf("found %v, wanted %q", err, change.want)
		}
		ask(t, c, "s")
	}
}

// TestDatagramsAlone: a module that knows nothing of connections has datagrams, and a listener
// for connections is refused, at the start, by a reload of either, and where another plugin
// connects to it, in a chain too.
func TestDatagramsAlone(t *testing.T) {
	cfg := configuration(config.Plugin{Module: "testdata/datagrams_alone.wasm"})
	const want = "found no export dataReceived in the module of plugin guest"
	if err := newServer(t, cfg).Start(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("found %v, wanted %q", err, want)
	}
	behind := configuration(config.Plugin{Module: "testdata/datagrams_alone.wasm"})
	behind.Plugins["first"] = config.Plugin{Module: "testdata/echo.wasm"}
	behind.Listeners = []config.Listener{{Endpoint: "tcp://127.0.0.1:0", Chain: []string{"first", "guest"}}}
	if err := newServer(t, behind).Start(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("behind another one: found %v, wanted %q", err, want)
	}
	alone := cfg
	alone.Listeners = []config.Listener{{Endpoint: "udp://127.0.0.1:0", Plugin: "guest"}}
	s := serve(t, alone)
	c := mailTo(t, s.addrs[0])
	for range 3 {
		send(t, c, "hello")
		if got := mail(t, c); got != "hello" {
			t.Fatalf("found %q", got)
		}
	}
	if _, err := s.Reload(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("found %v, wanted %q", err, want)
	}
	i, err := s.plugins["guest"].active.newInstance(guest.NoHeir)
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if _, err := i.BuildProtocol(nil); err == nil {
		t.Error("found a connection")
	}
}

// TestListenersDoNotFit: a listener whose plugins can't have what comes to it is refused at the
// start, and where the configuration is checked.
func TestListenersDoNotFit(t *testing.T) {
	const noDatagrams, noData = "found no export datagramsReceived in the module of plugin guest",
		"found no export dataReceived in the module of plugin alone"
	const tcp = "tcp://127.0.0.1:0"
	for _, c := range []struct {
		want string
		l    config.Listener
	}{
		{noDatagrams, config.Listener{Endpoint: "udp://127.0.0.1:0", Plugin: "guest"}},
		{noData, config.Listener{Endpoint: tcp, Plugin: "alone"}},
		{noData, config.Listener{Endpoint: tcp, Chain: []string{"guest", "alone"}}},
		{noData, config.Listener{Endpoint: tcp, Plugin: "guest",
			Route: []config.Route{{Prefix: config.Words{"x"}, Plugin: "alone"}}}},
	} {
		cfg := configuration(config.Plugin{Module: "testdata/echo.wasm"})
		cfg.Plugins["alone"] = config.Plugin{Module: "testdata/datagrams_alone.wasm"}
		cfg.Listeners = []config.Listener{c.l}
		for what, err := range map[string]error{"Validate": Validate(t.Context(), cfg, Options{}),
			"Start": newServer(t, cfg).Start(t.Context())} {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s of %+v: found %v, wanted %q", what, c.l, err, c.want)
			}
		}
	}
}

// TestTrapAtStartProtocol: an instance that ends before it was told of a datagram is made
// again as after a failed start.
func TestTrapAtStartProtocol(t *testing.T) {
	cfg := configuration(hostile("trap_in_start_protocol"))
	cfg.Listeners[0].Endpoint = "udp://127.0.0.1:0"
	v := serveVirtual(t, cfg)
	settle(v.Host, v.sys)
	for n, wait := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
		v.logs.await(t, trapNote, n+1)
		v.turn(t, wait-time.Millisecond)
		settle(v.Host, v.sys)
		if found := len(v.logs.all(trapNote)); found != n+1 {
			t.Fatalf("found %d traps before its time, wanted %d", found, n+1)
		}
		v.turn(t, time.Millisecond)
		settle(v.Host, v.sys)
	}
	if line := v.logs.all(trapNote)[0]; line["socket"] == nil || line["conn"] != nil {
		t.Errorf("found %v, wanted a socket, and no connection", line)
	}
}

// TestOpenAtStart: what startFactory opens is there from the commit on, and without it never.
func TestOpenAtStart(t *testing.T) {
	for _, isolation := range []config.Isolation{config.IsolationLoop, config.IsolationShared} {
		p := config.Plugin{Module: "testdata/opens_at_start.wasm", Isolation: isolation}
		p.Allow.Connect = []string{"udp://127.0.0.1:9"}
		s := serve(t, configuration(p))
		want := 2
		if isolation == config.IsolationShared {
			want = 1
		}
		s.awaitSaid(t, "start", want)
		cfg := s.Config()
		bad := cfg.Plugins["guest"]
		bad.Allow.Connect = nil // startFactory refuses
		cfg.Plugins = map[string]config.Plugin{"guest": bad}
		if _, err := s.Reload(t.Context(), cfg); err == nil {
			t.Error("found a version whose startFactory refuses")
		}
		cfg.Plugins["guest"] = p
		s.reloaded(t, withConfig(cfg, map[string]any{"n": 1})) // a rehearsal opens nothing
		s.awaitSaid(t, "start", 2*want)
		if found := s.said("start"); found != 2*want {
			t.Errorf("found %d sockets, wanted %d", found, 2*want)
		}
		if found := s.plugins["guest"].account.Counts().Connections; found < want || found > 2*want {
			t.Errorf("found %d handles, wanted those of sockets that are open", found)
		}
	}
}
