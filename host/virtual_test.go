package host

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/reactor"
)

// virtual is a host over sockets in memory, whose clock the test turns.
type virtual struct {
	*server
	sys *memnet.Sys
}

func serveVirtual(t testing.TB, cfg config.Config, more ...func(*Host)) *virtual {
	t.Helper()
	cfg.Reactor.Loops = 1
	v := &virtual{sys: memnet.New(memnet.Options{})}
	v.server = newServer(t, cfg)
	v.o.Sys = v.sys
	for _, f := range more {
		f(v.Host)
	}
	if err := v.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = v.Shutdown(ctx) // connections may be open still
	})
	return v
}

// steady has callbacks be metered with a clock that goes on by 10 µs each time that it is
// read, as the meter does for each slice of fuel: how busy the machine is does not count.
func steady(h *Host) {
	var reads atomic.Int64
	h.spent, h.cpu = func() time.Duration { return time.Duration(reads.Add(1)) * 10 * time.Microsecond }, nil
}

func (v *virtual) dial(t *testing.T) net.Conn {
	t.Helper()
	p, err := v.sys.Dial("tcp", v.Listeners()[0].String()[len("tcp://"):])
	if err != nil {
		t.Fatal(err)
	}
	c := p.Conn()
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// settle returns when the loops are at rest, with no start under way.
func settle(h *Host, sys *memnet.Sys) {
	for made := h.AwaitStarts(); ; {
		sys.Settle()
		again := h.AwaitStarts()
		if again == made {
			return
		}
		made = again
	}
}

// turn advances the clock when the loop has taken what it was given before, such
// as a timer's start, and waits until it has done what that makes due.
func (v *virtual) turn(t *testing.T, d time.Duration) {
	t.Helper()
	taken := func() {
		t.Helper()
		if err := onLoop(v.reactor.Loops()[0], func() {}); err != nil {
			t.Fatal(err)
		}
	}
	taken()
	v.sys.Advance(d)
	taken()
	taken()
}

// TestBackoff: 1, 2, 4 … 30 s, and connections are refused in between.
func TestBackoff(t *testing.T) {
	v := serveVirtual(t, configuration(hostile("trap_in_start_factory")))
	const message = "plugin does not start"
	for n, wait := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		wait *= time.Second
		line := v.logs.await(t, message, n+1)
		if got := line["again_in"]; got != float64(wait) {
			t.Fatalf("start %d is tried again in %v, wanted %v", n, got, wait)
		}
		if b, err := io.ReadAll(v.dial(t)); err != nil || len(b) > 0 {
			t.Fatalf("%q, %v", b, err)
		}
		v.turn(t, wait-time.Millisecond)
		if got := len(v.logs.all(message)); got != n+1 {
			t.Fatalf("%d starts before the time of the %dth", got, n+2)
		}
		v.turn(t, time.Millisecond)
	}
}

// TestBackoffForgets: after 10 s of health it begins anew.
func TestBackoffForgets(t *testing.T) {
	sys := memnet.New(memnet.Options{})
	h := newServer(t, configuration(hostile("unreachable")))
	h.o.Sys = sys
	r, err := reactor.New(reactor.Config{Loops: 1, Sys: sys})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	h.reactor = r
	v := &version{plugin: newPlugin(h.Host, "guest", h.cfg.Plugins["guest"], 0)}
	s := newSlot(v, r.Loops()[0])
	turn := func(d time.Duration) {
		sys.Advance(d)
		for r.Step() {
		}
	}
	wait := func() time.Duration { return s.until - s.place.Loop.Now() }
	fails := func() {
		s.noteFailure(io.ErrUnexpectedEOF)
		s.retry.Cancel()
	}
	turn(0)
	for _, want := range []time.Duration{1, 2, 4} {
		fails()
		if wait() != want*time.Second {
			t.Fatalf("%v, wanted %d s", wait(), want)
		}
	}
	s.noteStart()
	turn(backoffReset - time.Millisecond)
	fails()
	if wait() != 8*time.Second {
		t.Errorf("%v after too little health, wanted 8 s", wait())
	}
	s.noteStart()
	turn(backoffReset)
	fails()
	if wait() != time.Second {
		t.Errorf("%v after health, wanted 1 s", wait())
	}
}

// TestDrainTime: a replaced version's connections are closed when its time is
// over.
func TestDrainTime(t *testing.T) {
	p := numbered("testdata/counter.wasm", config.IsolationLoop, 0)
	p.Reload, p.Drain = config.ReloadDrain, time.Minute
	cfg := configuration(p)
	v := serveVirtual(t, cfg)
	c := &counting{Conn: v.dial(t)}
	if err := c.roundTrip(3); err != nil {
		t.Fatal(err)
	}
	p.Config = map[string]any{"n": 1}
	cfg.Plugins["guest"] = p
	if err := last(v.Reload(context.Background(), cfg)); err != nil {
		t.Fatal(err)
	}
	v.turn(t, 0) // the drain time runs from here
	v.turn(t, time.Minute-time.Millisecond)
	if err := c.roundTrip(3); err != nil {
		t.Fatal(err)
	}
	v.turn(t, time.Millisecond)
	expectEnd(t, c)
	v.logs.await(t, "version is standby", 1)
}

// TestDrainingVersions: four may drain, a fifth closes the oldest.
func TestDrainingVersions(t *testing.T) {
	p := numbered("testdata/counter.wasm", config.IsolationLoop, 0)
	p.Reload = config.ReloadDrain
	cfg := configuration(p)
	v := serveVirtual(t, cfg)
	var conns []*counting
	for n := 1; n <= maxReplaced+1; n++ {
		c := &counting{Conn: v.dial(t)}
		if err := c.roundTrip(3); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		p.Config = map[string]any{"n": n}
		cfg.Plugins["guest"] = p
		if err := last(v.Reload(context.Background(), cfg)); err != nil {
			t.Fatal(err)
		}
	}
	expectEnd(t, conns[0])
	for _, c := range conns[1:] {
		if err := c.roundTrip(3); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTwoChanges: one at a time for a plugin, and the second is told so.
func TestTwoChanges(t *testing.T) {
	p := numbered("testdata/counter.wasm", config.IsolationLoop, 0)
	v := serveVirtual(t, configuration(p))
	guest := v.plugins["guest"]
	var wg sync.WaitGroup
	wg.Go(func() {
		guest.changing.Lock()
		defer guest.changing.Unlock()
		if _, err := v.ReloadPlugin(context.Background(), "guest", true); err == nil {
			t.Error("a second change was made")
		}
	})
	wg.Wait()
	if _, err := v.ReloadPlugin(context.Background(), "guest", true); err != nil {
		t.Error(err)
	}
}

// TestReplacedDoesNotStart: a version that does not start is not tried again once
// it is replaced.
func TestReplacedDoesNotStart(t *testing.T) {
	cfg := configuration(hostile("trap_in_start_factory"))
	v := serveVirtual(t, cfg)
	const message = "plugin does not start"
	v.logs.await(t, message, 1)
	cfg.Plugins["guest"] = config.Plugin{Module: "testdata/echo.wasm"}
	if err := last(v.Reload(context.Background(), cfg)); err != nil {
		t.Fatal(err)
	}
	v.turn(t, maxBackoff)
	if lines := v.logs.all(message); len(lines) != 1 {
		t.Errorf("found %v", lines)
	}
	if !v.Ready() {
		t.Error("the host is not ready")
	}
}

// TestUnloadedDoesNotStart: without the plugin that does not start, the host is
// ready.
func TestUnloadedDoesNotStart(t *testing.T) {
	v := serveVirtual(t, withEcho(configuration(hostile("trap_in_start_factory"))))
	v.logs.await(t, "plugin does not start", 1)
	if v.Ready() {
		t.Fatal("ready without the plugin")
	}
	if err := last(v.UnloadPlugin(context.Background(), "guest")); err != nil {
		t.Fatal(err)
	}
	if !v.Ready() {
		t.Error("the host is not ready")
	}
}
