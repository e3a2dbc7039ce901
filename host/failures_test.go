//go:build unix

package host

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/reactor"
)

// errNoMemory is mmap's where addresses are out.
var errNoMemory = syscall.ENOMEM

func noMemory(uint64) ([]byte, error) { return nil, errNoMemory }

// TestFailuresGiveBack runs every failure that a connection's instance may meet,
// made on the loop and off it: no place under limits.instances is lost, and no
// range of addresses.
func TestFailuresGiveBack(t *testing.T) {
	for _, c := range []struct {
		name, guest, wanted string
		prepare             func(*plugin)
	}{
		{"mmap", "unreachable", "no room for a linear memory", func(p *plugin) { p.host.memory.Map = noMemory }},
		{"panic", "unreachable", "panic: a fault of wazero's", func(p *plugin) {
			p.host.memory.Map = func(uint64) ([]byte, error) { panic("a fault of wazero's") }
		}},
		{"limit", "unreachable", "over limits.instances", func(p *plugin) { p.active.cfg.Limits.Instances = -1 }},
		{"start section", "trap_in_start_section", "unreachable", nil},
		{"_initialize", "trap_in_initialize", "unreachable", nil},
		{"instanceMade", "trap_in_instance_made", "unreachable", nil},
		{"startFactory", "trap_in_start_factory", "unreachable", nil},
		{"startFactory's time", "loop_in_start_factory", "time limit", nil},
		{"startFactory's refusal", "refuses_start", "startFactory returned 7", nil},
		{"buffer outside", "receive_buffer_outside_memory", "outside the memory", nil},
		{"buffer empty", "receive_buffer_empty", "found a buffer of 0 bytes", nil},
		{"buffer huge", "receive_buffer_huge", "wanted 1 to 1048576", nil},
		{"buildProtocol", "trap_in_build_protocol", "unreachable", nil},
		{"buildProtocol's refusal", "refuses_connections", "refused the connection", nil},
		{"gone", "unreachable", "", nil},
	} {
		for _, isolation := range isolations {
			for _, hurdle := range []int32{0, 1 << 20} {
				t.Run(fmt.Sprintf("%s/%s/slow %v", c.name, isolation, hurdle > 0), func(t *testing.T) {
					cfg := hostile(c.guest)
					cfg.Isolation = isolation
					p := unserved(t, cfg)
					if c.prepare != nil {
						if c.name == "limit" {
							p.active.cfg.Limits.Instances = 1
							if err := p.active.takePlace(); err != nil {
								t.Fatal(err)
							}
							defer p.active.Closed()
						} else {
							c.prepare(p)
						}
					}
					before := counted(p)
					for range 3 {
						p.active.pace.hurdle.Store(hurdle)
						err := attempt(p, c.name == "gone")
						if (err == nil) != (c.wanted == "") || err != nil && !strings.Contains(err.Error(), c.wanted) {
							t.Fatalf("got %v, wanted %q", err, c.wanted)
						}
						if got := counted(p); got != before {
							t.Fatalf("found %+v, wanted %+v", got, before)
						}
					}
				})
			}
		}
	}
}

func counted(p *plugin) counts {
	return counts{p.active.live.Load(), p.instances.Load(), p.host.memory.Live()}
}

// attempt accepts a connection on a slot of its own, loses it, before its start
// is over where it leaves, and ends the slot.
func attempt(p *plugin, leaves bool) error {
	l := p.loops[0]
	s := newSlot(p.active, l)
	p.slots[0] = s
	to := &sink{loop: l}
	c, err := p.BuildProtocol(to)
	for {
		w, late := err.(reactor.Later)
		if !late {
			break
		}
		if leaves {
			w.Gone()
			err = nil
			break
		}
		for to.again = false; !to.again; {
			p.host.reactor.Step()
		}
		c, err = w.BuildProtocol(to)
	}
	if c != nil {
		c.ConnectionMade(to)
		c.ConnectionLost(reactor.Done, nil)
	}
	for len(s.launches) > 0 {
		p.host.reactor.Step()
	}
	s.beginClosing()
	for p.host.reactor.Step() { // closes the instance
	}
	return err
}

// TestNoRoom: where the system has no addresses for a linear memory, connections
// are refused, in one line a second and no stack; nothing backs off, and the next
// one that gets its memory is served.
func TestNoRoom(t *testing.T) {
	for _, isolation := range isolations {
		for _, slow := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/slow %v", isolation, slow), func(t *testing.T) {
				g := serveGated(t, isolation)
				g.version(slow)
				g.restart(t)
				before := g.counts()
				system := g.memory.Map
				onLoop(g.reactor.Loops()[0], func() { g.memory.Map = noMemory })
				began := time.Now()
				for range 20 {
					expectEnd(t, dial(t, g.addrs[0]))
					g.turns(t)
				}
				most := 1 + int(time.Since(began)/time.Second)
				lines := g.logs.all("connection refused")
				if text, _ := lines[0]["err"].(string); len(lines) > most ||
					!strings.Contains(text, errNoMemory.Error()) {
					t.Errorf("found %d lines: %v, wanted at most %d with %v", len(lines), lines, most, errNoMemory)
				}
				for _, message := range []string{"plugin does not start", "panic in a start",
					"panic in a protocol or a delayed call"} {
					if lines := g.logs.all(message); len(lines) > 0 {
						t.Error(lines)
					}
				}
				g.awaitCounts(t, before)
				onLoop(g.reactor.Loops()[0], func() { g.memory.Map = system })
				c := dial(t, g.addrs[0])
				send(t, c, "hello")
				expect(t, c, "hello")
				if !g.Ready() {
					t.Error("not ready")
				}
			})
		}
	}
}

// TestNoRoomAtStart: a plugin that has no instance, for want of addresses, is not
// ready; it is so with the first connection that can be served.
func TestNoRoomAtStart(t *testing.T) {
	cfg := configuration(config.Plugin{Module: "testdata/echo.wasm", Isolation: config.IsolationLoop})
	cfg.Reactor.Loops = 1
	s := newServer(t, cfg)
	system := s.memory.Map
	s.memory.Map = noMemory
	s.start(t)
	s.logs.await(t, "plugin does not start", 1)
	if s.Ready() {
		t.Error("ready")
	}
	expectEnd(t, dial(t, s.addrs[0]))
	if err := onLoop(s.reactor.Loops()[0], func() { s.memory.Map = system }); err != nil {
		t.Fatal(err)
	}
	c := dial(t, s.addrs[0])
	send(t, c, "hello")
	expect(t, c, "hello")
	if !s.Ready() {
		t.Error("not ready")
	}
}
