package sdk_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/plugins"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

// server is a host with one plugin, "guest", behind one listener on loopback.
type server struct {
	*host.Host
	cfg  config.Config
	addr string
}

func serve(t testing.TB, p config.Plugin) *server {
	t.Helper()
	return serveTLS(t, p, config.TLS{})
}

// serveTLS serves a guest that may call startTLS.
func serveTLS(t testing.TB, p config.Plugin, tls config.TLS) *server {
	t.Helper()
	return serveAt(t, "tcp://127.0.0.1:0", p, tls)
}

// serveAt serves a guest behind one listener, at an endpoint.
func serveAt(t testing.TB, endpoint string, p config.Plugin, tls config.TLS, more ...func(*config.Config)) *server {
	t.Helper()
	if p.Limits.CallbackTime == 0 {
		p.Limits.CallbackTime = patience // tests share the machine
	}
	cfg := config.Config{
		Plugins:   map[string]config.Plugin{"guest": p},
		Listeners: []config.Listener{{Endpoint: endpoint, Plugin: "guest", TLS: tls}},
	}
	cfg.Reactor.Loops = 1
	for _, f := range more {
		f(&cfg)
	}
	log := hclog.New(&hclog.LoggerOptions{Output: testLog{t}, Level: hclog.Warn})
	h, err := host.New(cfg, host.Options{Logger: log, Builtin: plugins.Builtin})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Host: h, cfg: cfg}
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
	_, s.addr, _ = strings.Cut(s.Listeners()[0].String(), "://")
	return s
}

// testLog shows the host's lines beside the test's.
type testLog struct{ testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	l.Logf("%s", strings.TrimSpace(string(b)))
	return len(b), nil
}

func dial(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// exchange sends pieces, closes the writing side unless the guest is to close
// first, and reads to the end.
func exchange(t testing.TB, addr string, closes bool, pieces ...string) string {
	t.Helper()
	c := dial(t, addr)
	for _, p := range pieces {
		if _, err := io.WriteString(c, p); err != nil {
			t.Fatal(err)
		}
	}
	if !closes {
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("%q: after %.100q: %v", pieces, b, err)
	}
	c.Close()
	return string(b)
}

// cuts lists ways to send input: whole, cut at each offset (few of a long one),
// and byte by byte.
func cuts(input string) [][]string {
	ways := [][]string{{input}}
	step := 1 + len(input)/100
	for at := step; at < len(input); at += step {
		ways = append(ways, []string{input[:at], input[at:]})
	}
	if len(input) <= 100 {
		ways = append(ways, strings.Split(input, ""))
	}
	return ways
}

var isolations = []config.Isolation{config.IsolationConnection, config.IsolationLoop, config.IsolationShared}

// The last words of a peer that closes its writing side are answered.
func TestEcho(t *testing.T) {
	inputs := []string{"x", "two\r\nlines\r\n", "\x00\xff\x80", strings.Repeat("0123456789abcdef", 20000)}
	for _, guest := range []string{bareEcho, echo} {
		for _, l := range with(guest) {
			for _, isolation := range isolations {
				t.Run(l.name+"/"+guest+"/"+string(isolation), func(t *testing.T) {
					s := serve(t, config.Plugin{Module: build(t, l, guest), Isolation: isolation})
					for _, input := range inputs {
						if found := exchange(t, s.addr, false, input); found != input {
							t.Errorf("found %d bytes %.60q, wanted %d %.60q", len(found), found, len(input), input)
						}
					}
				})
			}
		}
	}
}

type lineCase struct {
	name   string
	config map[string]any
	input  string
	want   string
	closes bool // at the last byte of input
}

func lineCases() []lineCase {
	x := func(n int) string { return strings.Repeat("x", n) }
	five := map[string]any{"max_length": 5}
	raw := map[string]any{"raw": true}
	return []lineCase{
		{"lines", nil, "a\r\nbc\r\n\r\nrest", "a\r\nbc\r\n\r\n", false},
		{"bare LF is data", nil, "a\nb\r\n", "a\nb\r\n", false},
		{"CR is data", nil, "a\r\r\n", "a\r\r\n", false},
		{"longest", nil, x(16384) + "\r\n", x(16384) + "\r\n", false},
		{"too long", nil, "a\r\n" + x(16387), "a\r\n", true},
		{"too long, no end", five, "a\r\n" + x(7), "a\r\n", true},
		{"longest of five", five, "12345\r\n", "12345\r\n", false},
		{"not yet too long", five, "a\r\n" + x(6), "a\r\n", false},
		{"delimiter", map[string]any{"delimiter": "--"}, "a-b--c--", "a-b--c--", false},
		{"delimiter that begins again", map[string]any{"delimiter": "aab"}, "aaabxaab", "aaabxaab", false},
		{"one byte", map[string]any{"delimiter": "\n"}, "a\r\nb\n", "a\r\nb\n", false},
		{"delimiter in UTF-8", map[string]any{"delimiter": "é\"😀"}, "aé\"😀b", "aé\"😀", false},
		{"raw is off", nil, "raw 2\r\nab\r\n", "raw 2\r\nab\r\n", false},
		{"raw", raw, "a\r\nraw 4\r\n\r\n\r\nb\r\nraw 0\r\nraw 1\r\nzc\r\n", "a\r\n\r\n\r\nb\r\nzc\r\n", false},
		{"raw is no count", raw, "raw x\r\nraw -1\r\nraw\r\nraw \r\n", "raw x\r\nraw -1\r\nraw\r\nraw \r\n", false},
	}
}

func TestLines(t *testing.T) {
	for _, l := range with(lineReceiver) {
		for _, c := range lineCases() {
			passed := t.Run(l.name+"/"+c.name, func(t *testing.T) {
				s := serve(t, config.Plugin{Module: build(t, l, lineReceiver), Config: c.config})
				for _, pieces := range cuts(c.input) {
					if found := exchange(t, s.addr, c.closes, pieces...); found != c.want {
						t.Fatalf("%.100q: found %.100q, wanted %.100q", pieces, found, c.want)
					}
				}
			})
			count(columnLines, l, passed)
		}
	}
}

// A guest refuses a configuration that it doesn't understand.
func TestConfigRefused(t *testing.T) {
	for _, l := range with(lineReceiver) {
		t.Run(l.name, func(t *testing.T) {
			p := config.Plugin{Module: build(t, l, lineReceiver)}
			s := serve(t, p)
			for name, section := range map[string]map[string]any{
				"no delimiter":      {"delimiter": ""},
				"no length":         {"max_length": 0},
				"text for a number": {"max_length": "nine"},
				"unknown key":       {"delimeter": "\n"},
				"number for a text": {"delimiter": 1},
				"list":              {"raw": []int{1}},
			} {
				p.Config = section
				s.cfg.Plugins["guest"] = p
				_, err := s.Reload(context.Background(), s.cfg)
				if err == nil || !strings.Contains(err.Error(), "startFactory") {
					t.Errorf("%s: found %v, wanted a refusal to start", name, err)
				}
			}
		})
	}
}

// A counter answers each line with its number.
func TestCounter(t *testing.T) {
	for _, l := range with(counter) {
		t.Run(l.name, func(t *testing.T) {
			s := serve(t, config.Plugin{Module: build(t, l, counter)})
			const input = "a\r\n\r\nc\r\nd\r\ne\r\nf\r\ng\r\nh\r\ni\r\nj\r\nhalf"
			const want = "1\r\n2\r\n3\r\n4\r\n5\r\n6\r\n7\r\n8\r\n9\r\n10\r\n"
			for _, pieces := range cuts(input) {
				if found := exchange(t, s.addr, false, pieces...); found != want {
					t.Fatalf("%q: found %q, wanted %q", pieces, found, want)
				}
			}
		})
	}
}
