package host

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// hostile is a guest of testdata/hostile, which are named for what they do. One whose
// callbacks only their limit of time ends has little of it, so that tests are short. The
// others have plenty: a slow machine does not end them for another reason than their own.
func hostile(name string) config.Plugin {
	p := config.Plugin{Module: "testdata/hostile/" + name + ".wasm"}
	if takesTime(name) {
		p.Limits.CallbackTime = 20 * time.Millisecond
	}
	return p
}

func takesTime(name string) bool {
	switch name {
	case "calls_without_loop", "logs_newlines", "logs_nothing", "memory_fill", "memory_grow_without_end",
		"slow_everywhere":
		return true
	}
	return strings.HasPrefix(name, "loop")
}

// withEcho adds an innocent plugin behind a second listener.
func withEcho(cfg config.Config) config.Config {
	cfg.Plugins["echo"] = config.Plugin{Module: "testdata/echo.wasm"}
	cfg.Listeners = append(cfg.Listeners, config.Listener{Endpoint: "tcp://127.0.0.1:0", Plugin: "echo"})
	return cfg
}

// TestTraps commits each crime twice: the instance is discarded, its connection
// reset, the cause told, the next connection gets a new instance, and nobody
// else notices.
func TestTraps(t *testing.T) {
	for _, c := range []struct {
		guest, export string
		cause         string
		stack         string // a part of it
	}{
		{"unreachable", "dataReceived", "unreachable", ""},
		{"load_out_of_bounds", "dataReceived", "out of bounds memory access", ""},
		{"store_out_of_bounds", "dataReceived", "out of bounds memory access", ""},
		{"divide_by_zero", "dataReceived", "division by zero", ""},
		{"integer_overflow", "dataReceived", "integer overflow", ""},
		{"conversion_of_nan", "dataReceived", "invalid conversion to integer", ""},
		{"table_out_of_bounds", "dataReceived", "invalid table access", ""},
		{"indirect_call_type", "dataReceived", "indirect call type mismatch", ""},
		{"loop_forever", "dataReceived", "time", ""},
		{"loop_in_connection_made", "connectionMade", "time", ""},
		{"calls_without_loop", "dataReceived", "time", ""},
		{"memory_fill", "dataReceived", "time", ""},
		{"table_grow", "dataReceived", "unreachable", ""},
		{"recursion", "dataReceived", "stack depth", ""},
		{"recursion_with_locals", "dataReceived", "stack depth", ""},
		{"write_outside_memory", "dataReceived", "host call violation", "write"},
		{"write_wrapping_range", "dataReceived", "host call violation", "write"},
		{"sequence_outside_memory", "dataReceived", "host call violation", ""},
		{"sequence_piece_outside_memory", "dataReceived", "host call violation", ""},
		{"peer_outside_memory", "dataReceived", "host call violation", "getPeer"},
		{"random_outside_memory", "dataReceived", "host call violation", "reactor.random"},
		{"exit", "dataReceived", "exit", ""},
		{"sleep", "dataReceived", "host call violation", "poll_oneoff"},
		{"trap_in_timer", "delayedCall", "unreachable", ""},
		{"trap_in_connection_made", "connectionMade", "unreachable", ""},
		{"trap_in_build_protocol", "buildProtocol", "unreachable", ""},
	} {
		for _, isolation := range isolations {
			t.Run(c.guest+"/"+string(isolation), func(t *testing.T) {
				p := hostile(c.guest)
				p.Isolation = isolation
				s := serve(t, withEcho(configuration(p)))
				innocent := dial(t, s.addrs[1])
				send(t, innocent, "before")
				expect(t, innocent, "before")
				for n := 1; n <= 2; n++ {
					// The peer may be reset before it has written, or connected.
					if criminal, err := net.Dial("tcp", s.addrs[0]); err == nil {
						_, err := io.WriteString(criminal, "x")
						switch {
						case c.export == "buildProtocol":
							expectEnd(t, criminal)
						case err == nil: // else it has been told of the reset
							expectReset(t, criminal)
						}
						criminal.Close()
					} else if !errors.Is(err, syscall.ECONNRESET) {
						t.Fatal(err)
					}
					line := s.logs.await(t, "guest trapped; its instance is discarded", n)
					if line["cause"] != string(c.cause) || line["export"] != c.export {
						t.Fatalf("trapped in %v by %v, wanted %s by %s: %v", line["export"], line["cause"], c.export,
							c.cause, line)
					}
					if stack, _ := line["stack"].(string); !strings.Contains(stack, c.stack) {
						t.Errorf("stack %q, wanted %q in it", stack, c.stack)
					}
				}
				send(t, innocent, "after")
				expect(t, innocent, "after")
			})
		}
	}
}

// TestTrapInConnectionLost: the connection has gone, the instance goes as well.
func TestTrapInConnectionLost(t *testing.T) {
	s := serve(t, configuration(hostile("trap_in_connection_lost")))
	for n := 1; n <= 2; n++ {
		dial(t, s.addrs[0]).Close()
		line := s.logs.await(t, "guest trapped; its instance is discarded", n)
		if line["export"] != "connectionLost" || line["cause"] != "unreachable" {
			t.Fatal(line)
		}
	}
}

// TestTrapTakesItsInstance: with one instance for all, a trap ends all of its
// connections, and with one each, only its own.
func TestTrapTakesItsInstance(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			p := hostile("unreachable")
			p.Isolation = isolation
			cfg := configuration(p)
			cfg.Reactor.Loops = 1
			s := serve(t, cfg)
			quiet, criminal := dial(t, s.addrs[0]), dial(t, s.addrs[0])
			send(t, criminal, "x")
			expectReset(t, criminal)
			if isolation != config.IsolationConnection {
				expectReset(t, quiet)
				return
			}
			send(t, quiet, "x") // it was untouched: this traps in its own instance
			expectReset(t, quiet)
			s.logs.await(t, "guest trapped; its instance is discarded", 2)
		})
	}
}

// TestFailedStarts: the plugin is failed with its reason, others serve, and the
// host is not ready.
func TestFailedStarts(t *testing.T) {
	for _, c := range []struct{ guest, reason string }{
		{"trap_in_start_factory", "unreachable"},
		{"trap_in_initialize", "unreachable"},
		{"trap_in_start_section", "unreachable"},
		{"trap_in_instance_made", "unreachable"},
		{"loop_in_start_factory", "over its time limit"},
		{"refuses_start", "startFactory returned 7"},
		{"receive_buffer_outside_memory", "outside the memory"},
		{"receive_buffer_empty", "found a buffer of 0 bytes, wanted 1 to 1048576"},
		{"receive_buffer_huge", "found a buffer of 2097152 bytes, wanted 1 to 1048576"},
		{"receive_buffer_short_for_datagrams",
			"found a buffer of 1030 bytes, wanted 1024 at least from a multiple of 8"},
	} {
		for _, isolation := range isolations {
			t.Run(c.guest+"/"+string(isolation), func(t *testing.T) {
				p := hostile(c.guest)
				p.Isolation = isolation
				s := serve(t, withEcho(configuration(p)))
				line := s.logs.await(t, "plugin does not start", 1)
				if err, _ := line["err"].(string); !strings.Contains(err, c.reason) {
					t.Errorf("got %q, wanted %q in it", err, c.reason)
				}
				refused := dial(t, s.addrs[0])
				expectEnd(t, refused)
				echo := dial(t, s.addrs[1])
				send(t, echo, "hello")
				expect(t, echo, "hello")
				if s.Ready() || len(s.logs.all("ready")) > 0 {
					t.Error("ready with a failed plugin")
				}
			})
		}
	}
}

func TestRefusedConnection(t *testing.T) {
	s := serve(t, configuration(hostile("refuses_connections")))
	c := dial(t, s.addrs[0])
	expectEnd(t, c)
	if lines := s.logs.all("guest trapped; its instance is discarded"); len(lines) > 0 {
		t.Error(lines)
	}
}

// answer reads a number that a guest answers with.
func answer(t testing.TB, r io.Reader) int32 {
	t.Helper()
	var b [4]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		t.Fatal(err)
	}
	return int32(binary.LittleEndian.Uint32(b[:]))
}

func TestMemoryLimit(t *testing.T) {
	s := serve(t, configuration(hostile("memory_grow")))
	c := dial(t, s.addrs[0])
	send(t, c, "x")
	if got := answer(t, c); got != -1 {
		t.Errorf("memory.grow past the limit answered %d, wanted -1", got)
	}
	s.logs.await(t, "linear memory may not grow: over limits.memory", 1)
}

func TestTimerLimit(t *testing.T) {
	p := hostile("timers_without_end")
	p.Limits.Timers = 10
	s := serve(t, configuration(p))
	c := dial(t, s.addrs[0])
	send(t, c, "x")
	if n, status := answer(t, c), answer(t, c); n != 11 || status != -3 {
		t.Errorf("timer %d was answered with %d, wanted the 11th with -3", n, status)
	}
}

func TestForgedHandles(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			p := hostile("forged_handles")
			p.Isolation = isolation
			cfg := configuration(p)
			cfg.Reactor.Loops = 1
			s := serve(t, cfg)
			other, c := dial(t, s.addrs[0]), dial(t, s.addrs[0])
			send(t, c, "x")
			// The two connections of one instance may reach each other.
			if got, want := answer(t, c),
				map[bool]int32{true: 0, false: 3}[isolation == config.IsolationConnection]; got != want {
				t.Errorf("%d calls with others' handles were taken, wanted %d", got, want)
			}
			if isolation == config.IsolationConnection {
				send(t, other, "x")
				answer(t, other)
			}
		})
	}
}

func TestOutputLimit(t *testing.T) {
	cfg := configuration(hostile("writes_without_end"))
	cfg.Reactor.WriteBuffer = config.WriteBuffer{High: 64 << 10, Low: 32 << 10, Max: 1 << 20}
	s := serve(t, cfg)
	c := dial(t, s.addrs[0])
	send(t, c, "x")
	n, err := io.Copy(io.Discard, c)
	if err == nil {
		t.Errorf("%d bytes and an orderly end, wanted a reset", n)
	}
}

func TestInstanceLimit(t *testing.T) {
	p := config.Plugin{Module: "testdata/echo.wasm", Isolation: config.IsolationConnection}
	p.Limits.Instances = 2
	cfg := configuration(p)
	s := serve(t, cfg)
	first, second := dial(t, s.addrs[0]), dial(t, s.addrs[0])
	send(t, first, "a")
	expect(t, first, "a")
	send(t, second, "b")
	expect(t, second, "b")
	expectEnd(t, dial(t, s.addrs[0]))
	send(t, first, "a")
	expect(t, first, "a")
	p.Limits.Instances = 0 // no bound
	cfg.Plugins = map[string]config.Plugin{"guest": p}
	if _, err := s.Reload(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c := dial(t, s.addrs[0])
		send(t, c, "c")
		expect(t, c, "c")
	}
	send(t, first, "a")
	expect(t, first, "a")
}

func TestLogLimit(t *testing.T) {
	p := hostile("floods_log")
	p.Limits.LogBytes = 10_000
	s := serve(t, configuration(p))
	c := dial(t, s.addrs[0])
	send(t, c, "x")
	if got := answer(t, c); got != 1000 {
		t.Fatal(got)
	}
	lines := s.logs.all("guest")
	if len(lines) == 0 || len(lines) > 4 { // a second may end in between
		t.Errorf("%d lines of 4 KiB went out, wanted those of 10,000 bytes", len(lines))
	}
	for _, l := range lines {
		if len(l["text"].(string)) > 3*4096 || l["bytes"] != float64(8192) {
			t.Errorf("a line of %d characters, which says it had %v bytes", len(l["text"].(string)), l["bytes"])
		}
	}
}

// TestForgedLogLines: what a guest logs stays inside its field.
func TestForgedLogLines(t *testing.T) {
	s := serve(t, configuration(hostile("forges_log_lines")))
	c := dial(t, s.addrs[0])
	send(t, c, "a\n2026-01-01T00:00:00Z [ERROR] forged\x1b[2J\xff\r\u2028b")
	line := s.logs.await(t, "guest", 1)
	if got, want := line["text"], "a\n2026-01-01T00:00:00Z [ERROR] forged\uFFFD[2J\uFFFD\uFFFD\uFFFDb"; got != want {
		t.Errorf("got %q, wanted %q", got, want)
	}
}
