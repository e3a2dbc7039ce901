package examples

import (
	"bufio"
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/memnet"
)

// quiet is a guest over sockets in memory, whose clock the test turns, with one
// connection.
type quiet struct {
	*host.Host
	t    *testing.T
	name string
	sys  *memnet.Sys
	peer *memnet.Peer
}

// serveQuiet serves an example, sends text and waits for a line that begins with
// answer.
func serveQuiet(t *testing.T, name string, settings map[string]any, text, answer string) *quiet {
	t.Helper()
	cfg, err := config.Load(config.Options{File: name + "/wirehost.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	p := cfg.Plugins[name]
	p.Module, p.Config = build(t, name), settings
	p.Limits.CallbackTime = patience
	cfg.Plugins[name] = p
	cfg.Reactor.Loops, cfg.Cache.Dir = 1, built.dir
	q := &quiet{t: t, name: name, sys: memnet.New(memnet.Options{})}
	q.Host, err = host.New(cfg, host.Options{Sys: q.sys,
		Logger: hclog.New(&hclog.LoggerOptions{Output: &lines{t: t}, Level: hclog.Debug})})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = q.Shutdown(ctx) // the connection may be open still
	})
	if q.peer, err = q.sys.Dial("tcp", q.Listeners()[0].String()[len("tcp://"):]); err != nil {
		t.Fatal(err)
	}
	if _, err := q.peer.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	c := q.peer.Conn()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	for r := bufio.NewReader(c); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("%q, %v; wanted %q", line, err, answer)
		}
		if strings.HasPrefix(line, answer) {
			break
		}
	}
	return q
}

// callbacks is how many of the guest were called.
func (q *quiet) callbacks() (n uint64) {
	q.t.Helper()
	q.sys.Settle()
	p, err := q.Plugin(q.name)
	if err != nil {
		q.t.Fatal(err)
	}
	for _, c := range p.Callbacks.Counts {
		n += c
	}
	return n
}

// pass lets time pass, in steps, and returns when callbacks came and how many.
func (q *quiet) pass(d, step time.Duration) map[time.Duration]uint64 {
	q.t.Helper()
	came := map[time.Duration]uint64{}
	last := q.callbacks()
	for at := step; at <= d; at += step {
		q.sys.AdvanceSettled(step)
		if n := q.callbacks(); n != last {
			came[at], last = n-last, n
		}
	}
	return came
}

// TestSleep: a goroutine that sleeps is called on time, and nobody in between.
func TestSleep(t *testing.T) {
	q := serveQuiet(t, "http", map[string]any{"header_timeout": 0, "idle_timeout": 0},
		"GET /ticks/5 HTTP/1.1\r\nHost: x\r\n\r\n", "tick 0")
	want := map[time.Duration]uint64{}
	for n := range 5 {
		want[time.Duration(n+1)*50*time.Millisecond] = 1
	}
	if got := q.pass(time.Second, time.Millisecond); !maps.Equal(got, want) {
		t.Errorf("callbacks at %v, wanted %v", got, want)
	}
}

// TestIdle: a connection on which nothing happens wakes nobody for an hour but when
// a deadline of its own is due.
func TestIdle(t *testing.T) {
	const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	for _, c := range []struct {
		name, guest  string
		settings     map[string]any
		text, answer string
		want         time.Duration // the deadline that ends the connection; 0: none
	}{
		{"http", "http", map[string]any{"header_timeout": 0, "idle_timeout": 0}, request, "hello ", 0},
		{"http, many requests", "http", map[string]any{"header_timeout": 0, "idle_timeout": 0},
			strings.Repeat(request, 2000) + strings.Replace(request, "/", "/none", 1), "404 ", 0},
		{"http, half an hour", "http", map[string]any{"header_timeout": 10_000, "idle_timeout": 1_800_000}, request,
			"hello ", 30 * time.Minute},
		{"ssh, its handshake", "ssh", map[string]any{"host_key": "", "authorized": ""}, "", "SSH-2.0-",
			30 * time.Second},
		{"smtp, a minute", "smtp", nil, "EHLO x\r\n", "250 ", time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := map[time.Duration]uint64{}
			if c.want > 0 {
				want[c.want] = 2 // the deadline, and the end of the connection
			}
			q := serveQuiet(t, c.guest, c.settings, c.text, c.answer)
			if got := q.pass(time.Hour, 10*time.Second); !maps.Equal(got, want) {
				t.Errorf("callbacks at %v, wanted %v", got, want)
			}
		})
	}
}
