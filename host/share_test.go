package host

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/guest"
)

// callbacks is how many callbacks a plugin has had on the first loop.
func (s *server) callbacks(t *testing.T, name string) (n uint64) {
	t.Helper()
	p := s.plugins[name]
	if err := onLoop(s.reactor.Loops()[0], func() {
		for _, count := range p.took[0].Counts {
			n += count
		}
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// slowCallbacks is how many callbacks of over a millisecond a plugin has had on the
// first loop.
func (s *server) slowCallbacks(t *testing.T, name string) (n uint64) {
	t.Helper()
	p := s.plugins[name]
	if err := onLoop(s.reactor.Loops()[0], func() { n = slowOf(&p.took[0]) }); err != nil {
		t.Fatal(err)
	}
	return n
}

// slowOf counts the callbacks of over a millisecond.
func slowOf(c *guest.Callbacks) (n uint64) {
	for k, count := range c.Counts {
		if k > 0 && guest.CallbackBounds()[k-1] >= time.Millisecond {
			n += count
		}
	}
	return n
}

// slowGuest is one whose callbacks take 8 ms, on one loop with an echo.
func slowGuest(isolation config.Isolation) config.Config {
	p := hostile("slow_everywhere")
	p.Isolation = isolation
	cfg := withEcho(configuration(p))
	cfg.Reactor.Loops = 1
	return cfg
}

// TestHogs: beside a plugin that has much to do the echo answers again and again,
// not once when all is done.
func TestHogs(t *testing.T) {
	const n = 64
	sendAll := func(text string) func(*testing.T, []*net.TCPConn) {
		return func(t *testing.T, conns []*net.TCPConn) {
			for _, c := range conns {
				send(t, c, text)
			}
		}
	}
	sendOne := func(text string) func(*testing.T, []*net.TCPConn) {
		return func(t *testing.T, conns []*net.TCPConn) { send(t, conns[0], text) }
	}
	for name, c := range map[string]struct {
		begin func(*testing.T, []*net.TCPConn)
		quick uint64 // callbacks beside the n slow ones
	}{
		"timers":    {sendOne("t"), 1},
		"reads":     {sendAll("s"), 0},
		"producers": {sendAll("p"), n},
		"aborts":    {sendOne("a"), 1},
		"losses": {func(_ *testing.T, conns []*net.TCPConn) {
			for _, c := range conns {
				c.Close()
			}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, slowGuest(config.IsolationLoop))
			echo := dial(t, s.addrs[1])
			var conns []*net.TCPConn
			for range n {
				conns = append(conns, dial(t, s.addrs[0]))
			}
			s.await(t, n)
			before := s.callbacks(t, "guest")
			c.begin(t, conns)
			answers := 0
			for s.callbacks(t, "guest") < before+c.quick+n {
				send(t, echo, "x")
				expect(t, echo, "x")
				answers++
			}
			if answers < n/8 {
				t.Errorf("the echo answered %d times beside %d callbacks", answers, n)
			}
		})
	}
}

// TestEndOfHogs: the host does not wait for all that slow guests have to be told.
func TestEndOfHogs(t *testing.T) {
	const n = 400
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			s := newServer(t, slowGuest(isolation))
			s.start(t)
			for range n {
				dial(t, s.addrs[0])
			}
			s.await(t, n)
			took := s.plugins["guest"].took
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if err := s.Shutdown(ctx); err != context.Canceled &&
				!strings.Contains(err.Error(), context.Canceled.Error()) {
				t.Error(err)
			}
			if got := slowOf(&took[0]); got == 0 || got >= n {
				t.Errorf("%d callbacks at the end, wanted some of %d", got, n)
			}
		})
	}
}

// TestMoveHoldsNoLoop: an instance whose connections can't all move in the time for
// which a loop may be held stays as it is, and the reason says what to raise.
func TestMoveHoldsNoLoop(t *testing.T) {
	cfg := slowGuest(config.IsolationLoop)
	s := serve(t, cfg)
	const n = 20
	var conns []*net.TCPConn
	for range n {
		conns = append(conns, dial(t, s.addrs[0]))
	}
	s.await(t, n)
	out, err := s.ReloadPlugin(context.Background(), "guest", true)
	if err != nil {
		t.Fatal(err)
	}
	const why = "saving and restoring took longer than a loop may be held, 20ms: raise limits.callback_time"
	// On a slow machine the factory's state, which goes first, may take as long alone.
	if got := out.Kept[why] + out.Kept["the factory's state: "+why]; got != n || out.Migrated != 0 {
		t.Fatalf("%v", out)
	}
	if got := s.slowCallbacks(t, "guest"); got > 10 {
		t.Errorf("%d saves and restores of 8 ms, with 20 ms for them", got)
	}
	send(t, conns[0], "a")
	expectReset(t, conns[1]) // it is served

	p := cfg.Plugins["guest"]
	p.Limits.CallbackTime = 10 * time.Second
	cfg.Plugins["guest"] = p
	for range n {
		dial(t, s.addrs[0])
	}
	s.await(t, n)
	before := s.slowCallbacks(t, "guest")
	change, err := s.Reload(context.Background(), cfg)
	if err != nil || change.Plugins[1].Migrated != n {
		t.Errorf("%v, %v", change.Plugins, err)
	}
	if got := s.slowCallbacks(t, "guest") - before; got < 2*n {
		t.Errorf("%d slow callbacks count as the plugin's, wanted %d saves and as many restores", got, n)
	}
}

// TestMoveTime: what has not moved when its time is over stays where it is.
func TestMoveTime(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			p := numbered("testdata/counter.wasm", isolation, 0)
			p.MoveTime = time.Nanosecond
			cfg := configuration(p)
			cfg.Reactor.Loops = 1
			s := serve(t, cfg)
			var conns []*counting
			for range 5 {
				c := &counting{Conn: dial(t, s.addrs[0])}
				if err := c.roundTrip(3); err != nil {
					t.Fatal(err)
				}
				conns = append(conns, c)
			}
			out, err := s.ReloadPlugin(context.Background(), "guest", true)
			if err != nil || out.Kept["move_time, 1ns, was over"] != 5 || out.Migrated != 0 {
				t.Fatalf("%v, %v", out, err)
			}
			for _, c := range conns {
				if err := c.roundTrip(3); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestRegistersAgain: a producer that is registered again each time that it is asked
// keeps no connection whose client has left.
func TestRegistersAgain(t *testing.T) {
	cfg := configuration(hostile("registers_again"))
	cfg.Reactor.CloseTimeout = 2 * time.Second
	v := serveVirtual(t, cfg)
	c := v.dial(t)
	send(t, c, "x")
	v.await(t, 1)
	c.Close()
	v.turn(t, time.Second)
	v.turn(t, 2*time.Second)
	v.await(t, 0)
}
