package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// TestWhileChanging: while a change is under way, here a canary, everything can be
// asked, its version and its connections are told of, and no other change of the
// plugin begins.
func TestWhileChanging(t *testing.T) {
	ctx := context.Background()
	p := numbered("testdata/counter.wasm", config.IsolationLoop, 0)
	cfg := withEcho(configuration(p))
	v := serveVirtual(t, cfg)
	old := &counting{Conn: v.dial(t)}
	if err := old.roundTrip(3); err != nil {
		t.Fatal(err)
	}
	next := withEcho(configuration(p))
	p.Config, p.Canary = map[string]any{"n": 1}, config.Canary{Connections: 1, For: time.Minute}
	next.Plugins["guest"], next.Reactor = p, cfg.Reactor
	done := make(chan error)
	go func() { done <- last(v.Reload(ctx, next)) }()
	version := v.logs.await(t, "canary", 1)["version"]
	tried := &counting{Conn: v.dial(t)}
	if err := tried.roundTrip(3); err != nil {
		t.Fatal(err)
	}
	info, err := v.Plugin("guest")
	if err != nil || len(info.Versions) != 2 || info.Connections != 2 {
		t.Fatalf("%+v, %v", info, err)
	}
	if k := info.Versions[1]; info.Versions[0].Name != info.Active || k.Name != version || k.State != StateValidated ||
		k.Connections != 1 || k.Instances != 1 {
		t.Errorf("%+v", info.Versions)
	}
	page, err := v.Connections(ctx, ConnQuery{})
	conns := page.Connections
	if err != nil || len(conns) != 2 || !slices.ContainsFunc(conns, func(c ConnInfo) bool {
		return c.Version == version
	}) {
		t.Errorf("%+v, %v", conns, err)
	}
	for name, change := range map[string]func() error{
		"reload": func() error { _, err := v.ReloadPlugin(ctx, "guest", true); return err },
		"use":    func() error { _, err := v.UsePlugin(ctx, info.Active); return err },
		"unload": func() error { _, err := v.UnloadPlugin(ctx, "guest"); return err },
		"config": func() error { return last(v.Reload(ctx, next)) },
	} {
		if err := change(); !errors.Is(err, ErrChanging) {
			t.Errorf("%s: got %v, wanted ErrChanging", name, err)
		}
	}
	v.turn(t, time.Minute)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for _, c := range []*counting{old, tried} {
		if err := c.roundTrip(3); err != nil {
			t.Error(err)
		}
	}
}

// TestUnloadDuringReload: of a plugin that is being changed, neither an unload nor
// a configuration without it takes it away.
func TestUnloadDuringReload(t *testing.T) {
	ctx := context.Background()
	cfg := withEcho(configuration(numbered("testdata/counter.wasm", config.IsolationLoop, 0)))
	v := serveVirtual(t, cfg)
	guest := v.plugins["guest"]
	guest.changing.Lock()
	without := config.Config{Plugins: map[string]config.Plugin{"echo": cfg.Plugins["echo"]},
		Listeners: cfg.Listeners[1:]}
	for name, err := range map[string]error{
		"unload": last(v.UnloadPlugin(ctx, "guest")),
		"config": last(v.Reload(ctx, without)),
	} {
		if !errors.Is(err, ErrChanging) {
			t.Errorf("%s: got %v, wanted ErrChanging", name, err)
		}
	}
	guest.changing.Unlock()
	if err := last(v.UnloadPlugin(ctx, "guest")); err != nil {
		t.Fatal(err)
	}
	if _, err := guest.reload(ctx, true); !errors.Is(err, ErrUnknown) { // found before it was unloaded
		t.Errorf("got %v, wanted ErrUnknown", err)
	}
}

// TestUnloadedIsForgotten: of a plugin that was unloaded and has drained nothing
// is kept, one that drains is told of until its time is over.
func TestUnloadedIsForgotten(t *testing.T) {
	ctx := context.Background()
	p := numbered("testdata/counter.wasm", config.IsolationLoop, 0)
	p.Drain = time.Minute
	v := serveVirtual(t, configuration(p))
	c := &counting{Conn: v.dial(t)}
	if err := c.roundTrip(3); err != nil {
		t.Fatal(err)
	}
	if err := last(v.UnloadPlugin(ctx, "guest")); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		if err := last(v.LoadPlugin(ctx, "more", p)); err != nil {
			t.Fatal(err)
		}
		if err := last(v.UnloadPlugin(ctx, "more")); err != nil {
			t.Fatal(err)
		}
		v.turn(t, 0)
		v.logs.await(t, "version is retired", n+1)
	}
	if page, err := v.Connections(context.Background(), ConnQuery{}); err != nil || len(page.Connections) != 1 {
		t.Errorf("%+v, %v", page, err)
	}
	if len(v.unloaded) != 2 { // guest, and the last of the others
		t.Errorf("%d plugins are kept", len(v.unloaded))
	}
	v.turn(t, time.Minute-time.Millisecond)
	if err := c.roundTrip(3); err != nil {
		t.Fatal(err)
	}
	v.turn(t, time.Millisecond)
	expectEnd(t, c)
	v.logs.await(t, "version is retired", 4)
	v.forgetUnloaded()
	if len(v.unloaded) != 0 {
		t.Errorf("%d plugins are kept", len(v.unloaded))
	}
}

// TestNeedsBoot: what can't change at run time is named at every reload, and stays
// what it was.
func TestNeedsBoot(t *testing.T) {
	cfg := configuration(numbered("testdata/counter.wasm", config.IsolationLoop, 0))
	cfg.Log = config.Log{Level: "info", Format: "text"}
	v := serveVirtual(t, cfg)
	was := v.Config()
	next := was
	next.Reactor.MaxConnections, next.Admin.Listen, next.Cache.Dir = 7, "off", "off"
	next.Log = config.Log{Level: "debug", Format: "json"}
	for range 2 {
		change, err := v.Reload(context.Background(), next)
		if err != nil || fmt.Sprint(change.NeedsBoot) != "[reactor admin cache log.format]" {
			t.Errorf("%+v, %v", change, err)
		}
		if text := strings.Join(change.Lines(), "\n"); !strings.Contains(text,
			"takes effect at the next start: reactor\n") {
			t.Errorf("got\n%s", text)
		}
		now := v.Config()
		if now.Reactor != was.Reactor || now.Admin != was.Admin || now.Cache != was.Cache ||
			now.Log != (config.Log{Level: "debug", Format: "text"}) {
			t.Errorf("%+v", now)
		}
	}
}

// TestDropIsSpread: one connection ends at a time, with reason 6.
func TestDropIsSpread(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			const n = 4
			p := numbered("testdata/counter.wasm", isolation, 0)
			p.Reload = config.ReloadDrop
			v := serveVirtual(t, configuration(p))
			for range n {
				if err := (&counting{Conn: v.dial(t)}).roundTrip(1); err != nil {
					t.Fatal(err)
				}
			}
			if err := v.Trace("guest", 0, true); err != nil {
				t.Fatal(err)
			}
			v.logs.forget()
			out, err := v.ReloadPlugin(context.Background(), "guest", true)
			if err != nil || out.Dropped != n {
				t.Fatalf("%+v, %v", out, err)
			}
			v.turn(t, 0)
			for lost := 1; lost <= n; lost++ {
				if got := v.lost(6); got != lost {
					t.Fatalf("%d connections were closed, wanted %d", got, lost)
				}
				v.turn(t, dropEvery)
			}
			if got := v.lost(6); got != n {
				t.Errorf("%d connections were closed, wanted %d", got, n)
			}
		})
	}
}

// lost counts the traced connectionLost with a reason.
func (s *server) lost(reason int) (n int) {
	for _, call := range s.logs.calls() {
		if strings.HasPrefix(call, "<- connectionLost(") && strings.HasSuffix(call, fmt.Sprintf(", %d)", reason)) {
			n++
		}
	}
	return n
}

// TestReplacedReason: the oldest of too many versions, and one whose drain time is
// over, end with reason 6.
func TestReplacedReason(t *testing.T) {
	p := numbered("testdata/counter.wasm", config.IsolationLoop, 0)
	p.Reload, p.Drain = config.ReloadDrain, time.Minute
	v := serveVirtual(t, configuration(p))
	if err := v.Trace("guest", 0, true); err != nil {
		t.Fatal(err)
	}
	for range maxReplaced + 1 {
		if err := (&counting{Conn: v.dial(t)}).roundTrip(1); err != nil {
			t.Fatal(err)
		}
		if out, err := v.ReloadPlugin(context.Background(), "guest", true); err != nil || out.Kept["draining"] != 1 {
			t.Fatalf("%+v, %v", out, err)
		}
	}
	v.turn(t, 0)
	if got := v.lost(6); got != 1 {
		t.Errorf("%d connections were closed, wanted 1", got)
	}
	info, err := v.Plugin("guest")
	if err != nil || info.Connections != maxReplaced {
		t.Errorf("%+v, %v", info, err)
	}
	v.turn(t, time.Minute)
	if got := v.lost(6); got != maxReplaced+1 {
		t.Errorf("%d connections were closed, wanted %d", got, maxReplaced+1)
	}
}

// TestIsolationChanges: a version of another isolation takes new connections, and
// the one before drains.
func TestIsolationChanges(t *testing.T) {
	for _, from := range isolations {
		for _, to := range isolations {
			if from == to {
				continue
			}
			t.Run(fmt.Sprintf("%s to %s", from, to), func(t *testing.T) {
				cfg := configuration(numbered("testdata/counter.wasm", from, 0))
				s := serve(t, cfg)
				old := &counting{Conn: dial(t, s.addrs[0])}
				if err := old.roundTrip(3); err != nil {
					t.Fatal(err)
				}
				cfg.Plugins = map[string]config.Plugin{"guest": numbered("testdata/counter.wasm", to, 0)}
				change, err := s.Reload(context.Background(), cfg)
				if err != nil || change.Plugins[0].Policy != config.ReloadDrain ||
					change.Plugins[0].Why != "the isolation changes" || change.Plugins[0].Kept["draining"] != 1 {
					t.Fatalf("%+v, %v", change, err)
				}
				for range 4 {
					if err := (&counting{Conn: dial(t, s.addrs[0])}).roundTrip(3); err != nil {
						t.Error(err)
					}
				}
				if err := old.roundTrip(3); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
