package host

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host/config"
)

// What package guest says, and counts with.
const (
	trapNote       = "guest trapped; its instance is discarded"
	growthNote     = "linear memory may not grow: over limits.memory"
	endedNote      = "an instance was ended: the process is out of memory"
	notesPerSecond = 10
	lineOverhead   = 160 // bytes that a line costs at least
	wasmPage       = 64 << 10
)

// patience is how long a test waits for what must come.
const patience = time.Minute

// allPaged is an environment variable. Where it is set, every instance of every test leaves
// its memory as soon as its loop has a turn without it.
const allPaged = "WIREHOST_TEST_PAGED"

// logs collects a host's log lines.
type logs struct {
	mu    sync.Mutex
	lines []map[string]any
	more  chan struct{}
}

func (l *logs) Write(b []byte) (int, error) {
	line := map[string]any{}
	if err := json.Unmarshal(b, &line); err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	close(l.more)
	l.more = make(chan struct{})
	return len(b), nil
}

// forget drops the lines so far.
func (l *logs) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = nil
}

// all returns the lines with a message.
func (l *logs) all(message string) []map[string]any {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []map[string]any
	for _, line := range l.lines {
		if line["@message"] == message {
			found = append(found, line)
		}
	}
	return found
}

// await waits for the nth line with a message.
func (l *logs) await(t testing.TB, message string, nth int) map[string]any {
	t.Helper()
	late := time.After(patience)
	for {
		l.mu.Lock()
		more := l.more
		l.mu.Unlock()
		if found := l.all(message); len(found) >= nth {
			return found[nth-1]
		}
		select {
		case <-more:
		case <-late:
			t.Fatalf("no line %d with message %q in %v", nth, message, l.lines)
		}
	}
}

// unhurried is cfg with plenty of time for callbacks of plugins that set no limit of it.
func unhurried(cfg config.Config) config.Config {
	cfg.Plugins = maps.Clone(cfg.Plugins)
	for name, p := range cfg.Plugins {
		if p.Limits.CallbackTime == 0 {
			p.Limits.CallbackTime = patience
			cfg.Plugins[name] = p
		}
	}
	return cfg
}

// server is a host under test. Its plugins are unhurried.
type server struct {
	*Host
	logs  *logs
	addrs []string // of the listeners
}

// configuration is one plugin, "guest", behind one listener on loopback.
func configuration(p config.Plugin) config.Config {
	p.Image = true
	cfg := config.Config{
		Plugins:   map[string]config.Plugin{"guest": p},
		Listeners: []config.Listener{{Endpoint: "tcp://127.0.0.1:0", Plugin: "guest"}},
	}
	cfg.Reactor.Loops = 2
	return cfg
}

// withoutImage has each instance run all of its start: otherwise the start may have been
// another test's, by way of the cache.
func withoutImage(cfg config.Config) config.Config {
	p := cfg.Plugins["guest"]
	p.Image = false
	cfg.Plugins["guest"] = p
	return cfg
}

func newServer(t testing.TB, cfg config.Config) *server {
	t.Helper()
	s := &server{logs: &logs{more: make(chan struct{})}}
	log := hclog.New(&hclog.LoggerOptions{Output: s.logs, Level: hclog.Trace, JSONFormat: true})
	var err error
	if s.Host, err = New(unhurried(cfg), Options{Logger: log}); err != nil {
		t.Fatal(err)
	}
	s.paging = os.Getenv(allPaged) != ""
	return s
}

func (s *server) Reload(ctx context.Context, cfg config.Config) (Change, error) {
	return s.Host.Reload(ctx, unhurried(cfg))
}

func serve(t testing.TB, cfg config.Config) *server {
	t.Helper()
	s := newServer(t, cfg)
	s.start(t)
	return s
}

// start starts the host until the test ends.
func (s *server) start(t testing.TB) {
	t.Helper()
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
	for _, ep := range s.Listeners() {
		_, addr, _ := strings.Cut(ep.String(), "://")
		s.addrs = append(s.addrs, addr)
	}
}

func dial(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

func send(t testing.TB, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func expect(t testing.TB, c net.Conn, text string) {
	t.Helper()
	b := make([]byte, len(text))
	if n, err := io.ReadFull(c, b); err != nil || string(b) != text {
		t.Fatalf("got %q, %v, wanted %q", b[:n], err, text)
	}
}

// expectReset reads the reset that an abort is.
func expectReset(t testing.TB, c net.Conn) {
	t.Helper()
	if b, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("got %q, %v, wanted a reset", b, err)
	}
}

// expectEnd reads the end of a connection, orderly or not.
func expectEnd(t testing.TB, c net.Conn) {
	t.Helper()
	if b, err := io.ReadAll(c); len(b) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("got %q, %v, wanted the end", b, err)
	}
}

var isolations = []config.Isolation{config.IsolationConnection, config.IsolationLoop, config.IsolationShared}

func TestEcho(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			s := serve(t, configuration(config.Plugin{Module: "testdata/echo.wasm", Isolation: isolation}))
			for range 3 {
				c := dial(t, s.addrs[0])
				send(t, c, "hello")
				if err := c.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if b, err := io.ReadAll(c); err != nil || string(b) != "hello" {
					t.Fatalf("got %q, %v", b, err)
				}
			}
		})
	}
}

// await waits until the plugin "guest" has so many connections.
func (s *server) await(t testing.TB, connections int) {
	t.Helper()
	count := func() int { return s.plugins["guest"].account.Counts().Connections }
	for late := time.Now().Add(patience); count() != connections; {
		if time.Now().After(late) {
			t.Fatalf("%d connections, wanted %d", count(), connections)
		}
		runtime.Gosched()
	}
}
