package host

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/reactor"
)

// gate is a wall clock at which starts can be held: while it is shut, who asks
// waits until it opens.
type gate struct {
	mu      sync.Mutex
	now     time.Time
	shut    chan struct{}      // closed when it opens; nil while it is open
	reached chan chan struct{} // by those who wait
}

func newGate() *gate { return &gate{now: time.Unix(0, 0), reached: make(chan chan struct{}, 100)} }

func (g *gate) wall() time.Time {
	g.mu.Lock()
	shut := g.shut
	g.mu.Unlock()
	if shut != nil {
		g.reached <- shut
		<-shut
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = make(chan struct{})
}

// open lets all pass, at a time.
func (g *gate) open(seconds int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now = time.Unix(seconds, 0)
	if g.shut != nil {
		close(g.shut)
		g.shut = nil
	}
}

// arrive waits until one more has come to the gate.
func (g *gate) arrive(t *testing.T) {
	t.Helper()
	select {
	case <-g.reached:
	case <-time.After(patience):
		t.Fatal("nobody came to the gate")
	}
}

// gated is a server of one loop whose guest's starts can be held, and an innocent
// plugin on the same loop.
type gated struct {
	*server
	*gate
	innocent net.Conn
}

// startsTested is how many starts of it run at a time.
const startsTested = 2

func serveGated(t *testing.T, isolation config.Isolation, more ...func(*config.Plugin)) *gated {
	t.Helper()
	p := hostile("loops_when_late")
	p.Isolation = isolation
	for _, f := range more {
		f(&p)
	}
	cfg := withEcho(withoutImage(configuration(p)))
	cfg.Reactor.Loops = 1
	g := &gated{server: newServer(t, cfg), gate: newGate()}
	g.o.Wall, g.launchesAtOnce = g.wall, startsTested
	t.Cleanup(func() { g.open(0) }) // after the server's end, but for a test that failed
	g.start(t)
	t.Cleanup(func() { g.open(0) })
	g.innocent = dial(t, g.addrs[1])
	g.turns(t)
	return g
}

// version is the guest's, whose starts are off the loop from now on, or on it.
func (g *gated) version(slow bool) *version {
	v := g.plugins["guest"].current()
	v.pace.hurdle.Store(0)
	if slow {
		v.pace.hurdle.Store(1 << 20)
	}
	return v
}

// restart has the next connection need a start: the instance that runs traps.
func (g *gated) restart(t *testing.T) {
	t.Helper()
	c := dial(t, g.addrs[0])
	send(t, c, "x")
	expectReset(t, c)
	g.awaitCounts(t, counts{0, 0, 1}) // the innocent's
}

// turns has the loop serve another connection.
func (g *gated) turns(t *testing.T) {
	t.Helper()
	send(t, g.innocent, "ping")
	expect(t, g.innocent, "ping")
}

// counts are what must be the same after each failure.
type counts struct {
	live, instances int32
	memories        int
}

func (s *server) counts() counts {
	p := s.plugins["guest"]
	return counts{p.current().live.Load(), p.instances.Load(), s.memory.Live()}
}

// awaitCounts waits until what is counted is as it was.
func (s *server) awaitCounts(t *testing.T, want counts) {
	t.Helper()
	for late := time.Now().Add(patience); s.counts() != want; {
		if time.Now().After(late) {
			t.Fatalf("found %+v, wanted %+v", s.counts(), want)
		}
		if err := onLoop(s.reactor.Loops()[0], func() {}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStartHoldsNoLoop: while a guest's start is under way its loop serves others,
// the connection waits, and what it has sent meanwhile is answered.
func TestStartHoldsNoLoop(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			g := serveGated(t, isolation)
			g.version(true)
			g.restart(t)
			g.close()
			c := dial(t, g.addrs[0])
			send(t, c, "hello")
			g.arrive(t)
			g.turns(t)
			g.open(0)
			expect(t, c, "hello")
		})
	}
}

// TestStartSpins: a guest that never returns from its start, where it has done so
// before, holds its loop for a few ms and is started again off it, with all the
// time that a start has. Others are served; its connections are refused.
func TestStartSpins(t *testing.T) {
	for _, isolation := range isolations {
		for when, export := range []string{"start section", "_initialize", "startFactory"} {
			t.Run(string(isolation)+"/"+export, func(t *testing.T) {
				g := serveGated(t, isolation)
				v := g.version(false)
				g.restart(t)
				before := g.counts()
				traps := g.plugins["guest"].account.Counts().Traps["time"]
				g.open(int64(when + 1))
				c := dial(t, g.addrs[0])
				g.turns(t)
				expectEnd(t, c)
				g.logs.await(t, "plugin does not start", 1)
				if v.pace.quick() {
					t.Error("the next start would be on the loop")
				}
				if n := g.plugins["guest"].account.Counts().Traps["time"] - traps; n != 1 {
					t.Errorf("found %d traps, wanted 1", n)
				}
				if isolation == config.IsolationConnection {
					g.awaitCounts(t, before)
				}
				g.open(0)
			})
		}
	}
}

// TestStartIsShared: several connections wait for the one start of an instance
// that they share.
func TestStartIsShared(t *testing.T) {
	for _, isolation := range []config.Isolation{config.IsolationLoop, config.IsolationShared} {
		t.Run(string(isolation), func(t *testing.T) {
			g := serveGated(t, isolation)
			v := g.version(true)
			g.restart(t)
			g.close()
			var conns []net.Conn
			for range 5 {
				c := dial(t, g.addrs[0])
				send(t, c, "hello")
				conns = append(conns, c)
			}
			g.arrive(t)
			g.turns(t)
			if n := v.live.Load(); n != 1 {
				t.Errorf("found %d starts, wanted 1", n)
			}
			g.open(0)
			for _, c := range conns {
				expect(t, c, "hello")
			}
			if n := v.live.Load(); n != 1 {
				t.Errorf("found %d instances, wanted 1", n)
			}
		})
	}
}

// TestStartsCount: instances that are being started count against the limit, a
// few are started at a time, and a connection that leaves gives its place back.
func TestStartsCount(t *testing.T) {
	g := serveGated(t, config.IsolationConnection, func(p *config.Plugin) { p.Limits.Instances = 4 })
	v := g.version(true)
	before := g.counts()
	g.close()
	var conns []*net.TCPConn
	for range 4 {
		conns = append(conns, dial(t, g.addrs[0]))
	}
	expectEnd(t, dial(t, g.addrs[0]))
	for range startsTested {
		g.arrive(t)
	}
	if n := v.live.Load(); n != 4 || len(g.reached) > 0 {
		t.Errorf("found %d places taken and %d starts too many, wanted 4 and none", n, len(g.reached))
	}
	for _, c := range conns[1:3] { // what has not begun is dropped
		reset(t, c)
	}
	g.awaitCounts(t, counts{before.live + 2, before.instances + 2, before.memories + 2})
	reset(t, conns[3])
	g.turns(t)
	send(t, conns[0], "hello")
	g.open(0)
	expect(t, conns[0], "hello")
	reset(t, conns[0])
	g.awaitCounts(t, before)
}

// reset ends a connection with RST.
func reset(t *testing.T, c *net.TCPConn) {
	t.Helper()
	if err := errors.Join(c.SetLinger(0), c.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestReplacedInStart: connections that wait for a version's start go to the one
// that has replaced it, and the start's end is that of its instance.
func TestReplacedInStart(t *testing.T) {
	for _, isolation := range isolations {
		for _, policy := range []config.ReloadPolicy{config.ReloadMigrate, config.ReloadDrain, config.ReloadDrop} {
			t.Run(string(isolation)+"/"+string(policy), func(t *testing.T) {
				g := serveGated(t, isolation)
				v := g.version(true)
				g.restart(t)
				g.close()
				var conns []net.Conn
				for range 4 {
					c := dial(t, g.addrs[0])
					send(t, c, "hello")
					conns = append(conns, c)
				}
				g.arrive(t)
				if isolation == config.IsolationConnection { // as many as run at a time: none may pass with the change
					g.arrive(t)
				}
				g.turns(t)
				cfg := g.Config()
				cfg.Plugins = map[string]config.Plugin{
					"guest": {Module: "testdata/echo.wasm", Isolation: isolation, Reload: policy},
					"echo":  cfg.Plugins["echo"]}
				changed := make(chan error)
				go func() { changed <- last(g.Reload(context.Background(), cfg)) }()
				g.passRest(t, changed)
				for _, c := range conns {
					expect(t, c, "hello")
				}
				if now := g.plugins["guest"].current(); now == v || v.live.Load() == 0 {
					t.Errorf("found %s, %d", now.name, v.live.Load())
				}
				g.open(0)
				for late := time.Now().Add(patience); v.live.Load() > 0; {
					if time.Now().After(late) {
						t.Fatalf("%d instances of the replaced version are left", v.live.Load())
					}
					g.turns(t)
				}
			})
		}
	}
}

// passRest waits for a change, and lets those pass that come to the gate for it,
// while what came before stays.
func (g *gated) passRest(t *testing.T, changed <-chan error) {
	t.Helper()
	g.mu.Lock()
	held := g.shut
	g.shut = nil
	g.mu.Unlock()
	if err := <-changed; err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	g.shut = held
	g.mu.Unlock()
}

// TestUnloadedInStart: connections that wait are refused when their plugin is
// unloaded.
func TestUnloadedInStart(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			g := serveGated(t, isolation)
			v := g.version(true)
			g.restart(t)
			g.close()
			c := dial(t, g.addrs[0])
			g.arrive(t)
			unloaded := make(chan error)
			go func() { unloaded <- last(g.UnloadPlugin(context.Background(), "guest")) }()
			g.passRest(t, unloaded)
			expectEnd(t, c)
			g.open(0)
			for late := time.Now().Add(patience); v.live.Load() > 0; {
				if time.Now().After(late) {
					t.Fatalf("%d instances are left", v.live.Load())
				}
				g.turns(t)
			}
		})
	}
}

// TestShutdownInStart: the host's end waits for a start that is under way, and
// nothing of it is left.
func TestShutdownInStart(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			g := serveGated(t, isolation)
			g.version(true)
			g.restart(t)
			g.close()
			for range 4 {
				dial(t, g.addrs[0])
			}
			g.arrive(t)
			g.turns(t)
			p := g.plugins["guest"]
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			ended := make(chan error)
			go func() { ended <- g.Shutdown(ctx) }()
			g.logs.await(t, "shutting down", 1)
			expectEnd(t, g.innocent)
			g.open(0)
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			if n, live := p.instances.Load(), g.memory.Live(); n != 0 || live != 0 {
				t.Errorf("%d instances and %d memories are left", n, live)
			}
		})
	}
}

// TestShutdownEndsStart: a start that spins, and may for hours, does not hold up
// the host's end.
func TestShutdownEndsStart(t *testing.T) {
	g := serveGated(t, config.IsolationConnection, func(p *config.Plugin) { p.Limits.CallbackTime = time.Hour })
	g.version(true)
	g.close()
	dial(t, g.addrs[0])
	g.arrive(t)
	g.open(1) // in its start section
	p := g.plugins["guest"]
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := g.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if n := p.instances.Load(); n != 0 {
		t.Errorf("%d instances are left", n)
	}
}

// TestCanaryInStart: a connection that has to wait for the canary's instance is
// the canary's when that has started.
func TestCanaryInStart(t *testing.T) {
	g := serveGated(t, config.IsolationConnection)
	cfg := g.Config()
	p := cfg.Plugins["guest"]
	p.Config, p.Canary = map[string]any{"n": 1}, config.Canary{Connections: 1, For: time.Hour}
	cfg.Plugins = map[string]config.Plugin{"guest": p, "echo": cfg.Plugins["echo"]}
	ctx, cancel := context.WithCancel(context.Background())
	changed := make(chan error)
	go func() { changed <- last(g.Reload(ctx, cfg)) }()
	version := g.logs.await(t, "canary", 1)["version"]
	guest := g.plugins["guest"]
	guest.mu.Lock()
	guest.preparing.pace.hurdle.Store(1 << 20)
	guest.mu.Unlock()
	g.close()
	c := dial(t, g.addrs[0])
	send(t, c, "hello")
	g.arrive(t)
	g.turns(t)
	g.open(0)
	expect(t, c, "hello")
	page, err := g.Connections(context.Background(), ConnQuery{})
	conns := page.Connections
	if err != nil || len(conns) != 2 || conns[0].Version != version && conns[1].Version != version {
		t.Errorf("%+v, %v, wanted one of %s", conns, err, version)
	}
	cancel()
	if err := <-changed; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestPace: the first start is off the loop, quick ones after it are not, and a
// slow one makes the next few be so.
func TestPace(t *testing.T) {
	var p pace
	p.hurdle.Store(1)
	for n, c := range []struct {
		took  time.Duration
		quick bool
	}{{slowStart / 2, true}, {slowStart, true}, {slowStart + 1, false}} {
		if p.note(c.took); p.quick() != c.quick {
			t.Errorf("%d: after %v: quick %v", n, c.took, p.quick())
		}
	}
	for n := 1; n <= quickInARow; n++ {
		if p.quick() {
			t.Errorf("quick after %d", n-1)
		}
		p.note(slowStart / 2)
	}
	if !p.quick() {
		t.Error("not quick")
	}
}

// now is the slot's instance, made on this goroutine.
func (s *slot) now(t testing.TB) *guest.Instance {
	t.Helper()
	for {
		i, err := s.instance()
		switch {
		case err == nil:
			return i
		case err != errLate:
			t.Fatal(err)
		}
		s.ver.pace.hurdle.Store(0) // the machine was slow
	}
}

// accept is BuildProtocol, with an instance that is made on this goroutine.
func (p *plugin) accept(t testing.TB, to reactor.Transport) reactor.Protocol {
	t.Helper()
	for {
		c, err := p.BuildProtocol(to)
		w, late := err.(reactor.Later)
		switch {
		case err == nil:
			return c
		case !late:
			t.Fatal(err)
		}
		w.Gone() // the machine was slow
		p.active.pace.hurdle.Store(0)
	}
}
