package host

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/guest"
)

// numbered is a plugin whose version is told by a number in its configuration.
func numbered(module string, isolation config.Isolation, n int) config.Plugin {
	return config.Plugin{Module: module, Isolation: isolation, Config: map[string]any{"n": n}}
}

// counting sends bytes and checks that each is answered by its number.
type counting struct {
	net.Conn
	n int
}

func (c *counting) roundTrip(count int) error {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := c.Write(make([]byte, count)); err != nil {
		return err
	}
	b := make([]byte, count)
	if n, err := io.ReadFull(c, b); err != nil {
		return fmt.Errorf("after %d bytes: got %d more of %d: %w", c.n, n, count, err)
	}
	for at, got := range b {
		if got != byte(c.n+at) {
			return fmt.Errorf("byte %d was answered with %d", c.n+at, got)
		}
	}
	c.n += count
	return nil
}

var (
	streamsFlag = flag.Int("streams", 20, "connections of TestMigrate")
	reloadsFlag = flag.Int("reloads", 20, "reloads of TestMigrate, in each isolation")
)

// TestMigrate reloads again and again under streams that count.
func TestMigrate(t *testing.T) {
	streams, reloads := *streamsFlag, *reloadsFlag
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			cfg := configuration(numbered("testdata/counter.wasm", isolation, 0))
			s := serve(t, cfg)
			stop := make(chan struct{})
			var wg sync.WaitGroup
			for n := range streams {
				c := &counting{Conn: dial(t, s.addrs[0])}
				if err := c.roundTrip(1); err != nil {
					t.Fatal(err)
				}
				wg.Go(func() {
					for {
						if err := c.roundTrip(1 + (c.n+n)%300); err != nil {
							t.Error(err)
							return
						}
						select {
						case <-stop:
							return
						default:
						}
					}
				})
			}
			moved := 0
			for n := 1; n <= reloads; n++ {
				cfg.Plugins["guest"] = numbered("testdata/counter.wasm", isolation, n%2)
				change, err := s.Reload(context.Background(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				out := change.Plugins[0]
				if out.Unchanged || out.Policy != config.ReloadMigrate || len(out.Kept) > 0 || out.Dropped > 0 {
					t.Fatalf("reload %d: %+v", n, out)
				}
				moved += out.Migrated
			}
			close(stop)
			wg.Wait()
			if moved != streams*reloads {
				t.Errorf("%d connections were moved, wanted %d", moved, streams*reloads)
			}
		})
	}
}

func TestUnchanged(t *testing.T) {
	cfg := configuration(numbered("testdata/counter.wasm", config.IsolationLoop, 0))
	s := serve(t, cfg)
	change, err := s.Reload(context.Background(), cfg)
	if err != nil || !change.Plugins[0].Unchanged {
		t.Errorf("%+v, %v", change, err)
	}
}

// TestFailedReload: what ran before runs on, with its state.
func TestFailedReload(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	truncated, err := os.ReadFile("testdata/counter.wasm")
	if err != nil {
		t.Fatal(err)
	}
	modules := map[string]string{
		"missing":           filepath.Join(dir, "missing.wasm"),
		"text":              file("text.wasm", "(module)"),
		"truncated":         file("truncated.wasm", string(truncated[:len(truncated)-10])),
		"trap in start":     "testdata/hostile/trap_in_start_factory.wasm",
		"refused start":     "testdata/hostile/refuses_start.wasm",
		"no receive buffer": "testdata/hostile/receive_buffer_empty.wasm",
		"too much memory":   "testdata/hostile/memory_fill.wasm",
		"trap in restore":   "testdata/hostile/trap_in_restore_state.wasm",
		"loop in restore":   "testdata/hostile/loop_in_restore_state.wasm",
		"loop in start":     "testdata/hostile/loop_in_start_factory.wasm",
		"refusal":           "testdata/hostile/refuses_state.wasm",
		"bad buffer":        "testdata/hostile/restore_buffer_outside_memory.wasm",
		"refused buffer":    "testdata/hostile/refuses_restore_buffer.wasm",
	}
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			p := numbered("testdata/counter.wasm", isolation, 0)
			p.Limits.Memory = 1 << 20
			cfg := configuration(p)
			s := serve(t, cfg)
			c := &counting{Conn: dial(t, s.addrs[0])}
			if err := c.roundTrip(10); err != nil {
				t.Fatal(err)
			}
			for name, module := range modules {
				p.Module, p.Limits.CallbackTime = module, patience
				if takesTime(strings.TrimSuffix(filepath.Base(module), ".wasm")) {
					p.Limits.CallbackTime = 20 * time.Millisecond
				}
				cfg.Plugins["guest"] = p
				change, err := s.Reload(context.Background(), cfg)
				if err == nil {
					t.Errorf("%s: %+v", name, change)
				}
				t.Log(err)
				if err := c.roundTrip(10); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				fresh := &counting{Conn: dial(t, s.addrs[0])}
				if err := fresh.roundTrip(10); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				fresh.Close()
			}
		})
	}
}

// TestDrain: old connections stay on the old version, new ones get the new one.
func TestDrain(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			p := numbered("testdata/counter.wasm", isolation, 0)
			p.Keep = 1
			cfg := configuration(p)
			s := serve(t, cfg)
			old := &counting{Conn: dial(t, s.addrs[0])}
			if err := old.roundTrip(3); err != nil {
				t.Fatal(err)
			}
			cfg.Plugins["guest"] = config.Plugin{Module: "testdata/echo.wasm", Isolation: isolation, Keep: 1}
			change, err := s.Reload(context.Background(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			out := change.Plugins[0]
			if out.Policy != config.ReloadDrain || out.Kept["draining"] != 1 || out.Why == "" {
				t.Errorf("%+v", out)
			}
			fresh := dial(t, s.addrs[0])
			send(t, fresh, "hello")
			expect(t, fresh, "hello")
			if err := old.roundTrip(3); err != nil {
				t.Fatal(err)
			}
			old.Close()
			fresh.Close() // of one version there is a way back: the last one
			p.Config = map[string]any{"n": 1}
			cfg.Plugins["guest"] = p
			if _, err := s.Reload(context.Background(), cfg); err != nil { // the first version is freed now
				t.Fatal(err)
			}
			s.logs.await(t, "version is retired", 1)
		})
	}
}

func TestDrop(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			p := numbered("testdata/counter.wasm", isolation, 0)
			p.Reload = config.ReloadDrop
			cfg := configuration(p)
			s := serve(t, cfg)
			var old []*counting
			for range 5 {
				c := &counting{Conn: dial(t, s.addrs[0])}
				if err := c.roundTrip(3); err != nil {
					t.Fatal(err)
				}
				old = append(old, c)
			}
			p.Config = map[string]any{"n": 1}
			cfg.Plugins["guest"] = p
			change, err := s.Reload(context.Background(), cfg)
			if err != nil || change.Plugins[0].Dropped != 5 {
				t.Fatalf("%+v, %v", change, err)
			}
			for _, c := range old {
				expectEnd(t, c)
			}
		})
	}
}

// TestReloadShape adds, changes and removes plugins and listeners.
func TestReloadShape(t *testing.T) {
	cfg := configuration(numbered("testdata/counter.wasm", config.IsolationLoop, 0))
	s := serve(t, cfg)
	old := &counting{Conn: dial(t, s.addrs[0])}
	if err := old.roundTrip(3); err != nil {
		t.Fatal(err)
	}
	two := withEcho(configuration(numbered("testdata/counter.wasm", config.IsolationLoop, 0)))
	two.Listeners[1].Endpoint = "tcp://localhost:0"
	change, err := s.Reload(context.Background(), two)
	if err != nil || len(change.Added) != 2 || len(change.Removed) > 0 {
		t.Fatalf("%+v, %v", change, err)
	}
	echo := s.Listeners()[1].String()[len("tcp://"):]
	c := dial(t, echo)
	send(t, c, "hello")
	expect(t, c, "hello")

	bad := two
	bad.Listeners = append(bad.Listeners[:1:1], config.Listener{Endpoint: "tcp://192.0.2.1:1", Plugin: "echo"})
	if change, err := s.Reload(context.Background(), bad); err == nil {
		t.Fatalf("%+v", change)
	}
	send(t, c, "hello")
	expect(t, c, "hello")

	only := config.Config{Plugins: map[string]config.Plugin{"echo": two.Plugins["echo"]}, Listeners: two.Listeners[1:],
		Reactor: two.Reactor}
	only.Reactor.DrainTimeout = 1
	change, err = s.Reload(context.Background(), only)
	if err != nil || len(change.Removed) != 2 || len(change.NeedsBoot) != 1 {
		t.Fatalf("%+v, %v", change, err)
	}
	if err := old.roundTrip(3); err != nil { // drains
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", s.addrs[0]); err == nil {
		c.Close()
		t.Error("the removed listener still listens")
	}
	old.Close()
	s.logs.await(t, "version is retired", 1)
	send(t, c, "hello")
	expect(t, c, "hello")
}

// TestUse goes back to the version before.
func TestUse(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			cfg := configuration(numbered("testdata/counter.wasm", isolation, 0))
			s := serve(t, cfg)
			c := &counting{Conn: dial(t, s.addrs[0])}
			if err := c.roundTrip(3); err != nil {
				t.Fatal(err)
			}
			p := s.plugins["guest"]
			first := p.current().name
			cfg.Plugins["guest"] = numbered("testdata/counter.wasm", isolation, 1)
			change, err := s.Reload(context.Background(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			second := change.Plugins[0].Version
			for _, want := range []string{first, second, first} {
				out, err := p.goBack(context.Background(), want)
				if err != nil || out.Version != want || out.Migrated != 1 {
					t.Fatalf("%+v, %v, wanted %s", out, err, want)
				}
				if err := c.roundTrip(3); err != nil {
					t.Fatal(err)
				}
			}
			_, err = p.goBack(context.Background(), "guest@nothing")
			if !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "loaded: "+first) {
				t.Errorf("found %v, wanted ErrUnknown, and what is loaded", err)
			}
			if info, err := s.Plugin("guest"); err != nil || info.Failure != "" {
				t.Errorf("found the failure %q of a mistyped version, %v", info.Failure, err)
			}
		})
	}
}

// TestUseGivenUp: where going back to a version fails, it is what it was before: with
// its last connection it is freed, and the way back to the one that was replaced after
// it stays.
func TestUseGivenUp(t *testing.T) {
	settings := numbered("testdata/counter.wasm", config.IsolationLoop, 0)
	settings.Reload, settings.Keep = config.ReloadDrain, 1
	cfg := configuration(settings)
	s := serve(t, cfg)
	c := &counting{Conn: dial(t, s.addrs[0])}
	if err := c.roundTrip(3); err != nil {
		t.Fatal(err)
	}
	p := s.plugins["guest"]
	first := p.current().name
	second := ""
	for n := range 2 {
		settings.Config = map[string]any{"n": n + 1}
		cfg.Plugins["guest"] = settings
		change, err := s.Reload(context.Background(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		second = cmp.Or(second, change.Plugins[0].Version)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.goBack(ctx, first); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	c.Close()
	if line := s.logs.await(t, "version is retired", 1); line["version"] != first {
		t.Errorf("%v is freed, wanted %s", line["version"], first)
	}
	if _, err := p.goBack(context.Background(), second); err != nil {
		t.Error(err)
	}
}

// TestRehearsalEnds: a change that is given up rehearses no further.
func TestRehearsalEnds(t *testing.T) {
	cfg := configuration(hostile("trap_in_restore_state"))
	settings := cfg.Plugins["guest"]
	settings.Isolation = config.IsolationConnection
	cfg.Plugins["guest"] = settings
	s := serve(t, cfg)
	p := s.plugins["guest"]
	first := p.current().name
	settings.Module = "testdata/counter.wasm"
	cfg.Plugins = map[string]config.Plugin{"guest": settings}
	if _, err := s.Reload(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	c := &counting{Conn: dial(t, s.addrs[0])}
	if err := c.roundTrip(3); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var trap *guest.TrapError
	if _, err := p.goBack(ctx, first); !errors.Is(err, context.Canceled) || errors.As(err, &trap) {
		t.Errorf("found %v, wanted that nothing was tried", err)
	}
	if _, err := p.goBack(context.Background(), first); !errors.As(err, &trap) {
		t.Errorf("found %v, wanted a trap", err)
	}
}

// TestChangeEndsItsStarts: a start that spins, and may for hours, ends with the change
// that it is for, whoever gives that up.
func TestChangeEndsItsStarts(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			cfg := configuration(config.Plugin{Module: "testdata/echo.wasm", Isolation: isolation})
			s := serve(t, cfg)
			p := hostile("loop_in_start_factory")
			p.Isolation, p.Limits.CallbackTime = isolation, time.Hour
			cfg.Plugins = map[string]config.Plugin{"guest": p}
			begin := func(ctx context.Context) chan error {
				changed := make(chan error)
				go func() { changed <- last(s.Reload(ctx, cfg)) }()
				for !s.plugins["guest"].starting() {
					runtime.Gosched()
				}
				return changed
			}
			ctx, cancel := context.WithCancel(context.Background())
			changed := begin(ctx)
			cancel()
			if err := <-changed; !errors.Is(err, context.Canceled) {
				t.Errorf("found %v, wanted that it was cancelled", err)
			}
			echoes(t, s.addrs[0])

			changed = begin(context.Background())
			ended := make(chan error)
			go func() { ended <- s.Shutdown(ctx) }()
			if err := <-changed; !errors.Is(err, ErrNotRunning) {
				t.Errorf("found %v, wanted %v", err, ErrNotRunning)
			}
			if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
}

// starting tells whether the version that a change prepares has an instance.
func (p *plugin) starting() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.preparing != nil && p.preparing.live.Load() > 0
}

// TestFailedSave: a version that can't save keeps its connections; one that
// traps in saveState loses them, as by any trap.
func TestFailedSave(t *testing.T) {
	for _, c := range []struct{ guest, why string }{
		{"state_outside_memory", "saveState: found a range at 0xffff of 2 bytes, outside the memory of 65536 bytes"},
		{"state_oversized", "saveState: found 65536 bytes, wanted at most limits.state, 1000"},
		{"declines_state", "saveState declined"},
		{"trap_in_save_state", ""},
		{"loop_in_save_state", ""},
	} {
		for _, isolation := range isolations {
			t.Run(c.guest+"/"+string(isolation), func(t *testing.T) {
				p := hostile(c.guest)
				p.Isolation, p.Limits.State = isolation, 1000
				cfg := configuration(p)
				cfg.Reactor.Loops = 1
				s := serve(t, cfg)
				conn := dial(t, s.addrs[0])
				s.await(t, 1)
				p.Module = "testdata/counter.wasm"
				cfg.Plugins["guest"] = p
				change, err := s.Reload(context.Background(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				out := change.Plugins[0]
				fresh := &counting{Conn: dial(t, s.addrs[0])}
				if err := fresh.roundTrip(3); err != nil {
					t.Fatal(err)
				}
				if c.why == "" {
					expectReset(t, conn)
					return
				}
				kept := out.Kept[c.why] + out.Kept["the factory's state: "+c.why]
				if kept != 1 || out.Migrated != 0 {
					t.Errorf("%+v", out)
				}
				if err := conn.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				expectEnd(t, conn)
			})
		}
	}
}

// TestCanary: new connections try the new version; a trap keeps the old one.
func TestCanary(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			cfg := configuration(numbered("testdata/counter.wasm", isolation, 0))
			cfg.Reactor.Loops = 1
			s := serve(t, cfg)
			old := &counting{Conn: dial(t, s.addrs[0])}
			if err := old.roundTrip(3); err != nil {
				t.Fatal(err)
			}
			p := hostile("unreachable")
			p.Isolation, p.Canary = isolation, config.Canary{Connections: 1, For: time.Hour}
			cfg.Plugins["guest"] = p
			done := make(chan error)
			go func() { done <- last(s.Reload(context.Background(), cfg)) }()
			s.logs.await(t, "canary", 1)
			tried, next := dial(t, s.addrs[0]), &counting{Conn: dial(t, s.addrs[0])}
			if err := next.roundTrip(3); err != nil { // the second one goes to the old version
				t.Fatal(err)
			}
			send(t, tried, "x")
			expectReset(t, tried)
			var trap *guest.TrapError
			if err := <-done; !errors.As(err, &trap) || trap.Cause != "unreachable" {
				t.Fatal(err)
			}
			if err := old.roundTrip(3); err != nil {
				t.Fatal(err)
			}
			s.logs.await(t, "version is retired", 1)

			p = numbered("testdata/counter.wasm", isolation, 1)
			p.Canary = config.Canary{Connections: 1, For: time.Millisecond}
			cfg.Plugins["guest"] = p
			change, err := s.Reload(context.Background(), cfg)
			if err != nil || change.Plugins[0].Migrated != 2 {
				t.Fatalf("%+v, %v", change, err)
			}
			if err := old.roundTrip(3); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func last(_ Change, err error) error { return err }
