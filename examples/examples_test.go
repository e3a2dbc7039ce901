// Package examples builds each example with the Go toolchain, serves it as its
// wirehost.yaml says, and drives it with the client that people use.
package examples

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
)

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

// built are the guests of this run, by folder. Tests begin no two builds of one.
var built struct { // set up by TestMain, then guarded by mu
	dir   string
	mu    sync.Mutex
	paths map[string]string
}

func TestMain(m *testing.M) {
	host.CompileIfAsked() // see race_test.go
	dir, err := os.MkdirTemp("", "examples")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	built.dir, built.paths = dir, map[string]string{}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// build compiles the guest in a folder and returns the module's path.
func build(t *testing.T, folder string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds a guest")
	}
	built.mu.Lock()
	defer built.mu.Unlock()
	if path, ok := built.paths[folder]; ok {
		return path
	}
	readSources(t, "../sdk/go/*.go", "../sdk/go/*/*.go", folder+"/*.go", "internal/*/*.go")
	path := filepath.Join(built.dir, strings.ReplaceAll(folder, "/", "-")+".wasm")
	goBuild(t, folder, []string{"GOOS=wasip1", "GOARCH=wasm", "GOFLAGS="}, "-buildmode=c-shared", "-o", path)
	built.paths[folder] = path
	return path
}

// goBuild builds the program in a folder. What libraries has is a module of its own.
func goBuild(t *testing.T, folder string, env []string, args ...string) {
	t.Helper()
	dir, rest := ".", "./"+folder
	if name, ok := strings.CutPrefix(folder, "libraries/"); ok {
		dir, rest = "libraries", "./"+name
	}
	cmd := exec.Command("go", append(append([]string{"build", "-trimpath", "-buildvcs=false"}, args...), rest)...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, text)
	}
}

// readSources reads files, so that go test runs anew, and does not take a cached
// result, when one has changed.
func readSources(t *testing.T, patterns ...string) {
	t.Helper()
	for _, pattern := range patterns {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if _, err := os.ReadFile(name); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// server is an example, served.
type server struct {
	*host.Host
	cfg  config.Config
	addr map[string]string // HOST:PORT by the name of a plugin, a chain's first, for datagrams with udp:// before it
	log  *lines
}

// serve builds the guest in a folder and serves it as the folder's wirehost.yaml
// says, but for the ports, which are free ones. edit, where it is not nil,
// changes that configuration; where the folder has several guests it says which.
// At the test's end no guest may have trapped.
func serve(t *testing.T, folder string, edit func(*config.Config)) *server {
	t.Helper()
	cfg, err := config.Load(config.Options{File: folder + "/wirehost.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	if edit == nil || isGuest(folder) {
		for name, p := range cfg.Plugins {
			p.Module = build(t, folder)
			cfg.Plugins[name] = p
		}
	}
	for i, l := range cfg.Listeners {
		cfg.Listeners[i].Endpoint = l.Endpoint[:strings.LastIndexByte(l.Endpoint, ':')] + ":0"
	}
	cfg.Reactor.Loops, cfg.Cache.Dir = 2, built.dir
	if edit != nil {
		edit(&cfg)
	}
	s := &server{cfg: cfg, addr: map[string]string{}, log: &lines{t: t}}
	log := hclog.New(&hclog.LoggerOptions{Output: s.log, Level: hclog.Debug})
	s.Host, err = host.New(cfg, host.Options{Logger: log, Compiler: compiler(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(context.Background()); err != nil {
		t.Fatalf("%v\n%s", err, s.log)
	}
	t.Cleanup(func() { s.end(t) })
	for i, ep := range s.Listeners() {
		scheme, addr, _ := strings.Cut(ep.String(), "://")
		name := cfg.Listeners[i].First()
		if scheme == "udp" {
			name = "udp://" + name
		}
		s.addr[name] = addr
	}
	return s
}

// isGuest tells whether a folder is itself a guest's, and not that of several.
func isGuest(folder string) bool {
	_, err := os.Stat(folder + "/main.go")
	return err == nil
}

func (s *server) end(t *testing.T) {
	plugins, err := s.Plugins()
	if err != nil {
		t.Error(err)
	}
	for _, p := range plugins {
		for cause, n := range p.Traps {
			if n > 0 {
				t.Errorf("%s: %d traps (%s)\n%s", p.Name, n, cause, s.log)
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// dial connects to a plugin.
func (s *server) dial(t *testing.T, plugin string) *client {
	t.Helper()
	addr, ok := s.addr[plugin]
	if !ok {
		t.Fatalf("no listener for plugin %s", plugin)
	}
	return dial(t, addr)
}

// port is the port that a plugin listens on.
func (s *server) port(plugin string) string {
	_, port, _ := net.SplitHostPort(s.addr[plugin])
	return port
}

// lines collects a host's log.
type lines struct {
	t    *testing.T
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// client is a connection as a test sees it.
type client struct {
	*net.TCPConn
	t *testing.T
	r *bufio.Reader
}

func dial(t *testing.T, addr string) *client {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &client{c.(*net.TCPConn), t, bufio.NewReader(c)}
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// expect reads a text.
func (c *client) expect(want string) {
	c.t.Helper()
	b := make([]byte, len(want))
	if n, err := io.ReadFull(c.r, b); err != nil || string(b) != want {
		c.t.Fatalf("found %.300q, %v, wanted %.300q", b[:n], err, want)
	}
}

// rest reads to the end of the stream.
func (c *client) rest() string {
	c.t.Helper()
	b, err := io.ReadAll(c.r)
	if err != nil {
		c.t.Fatalf("found %.300q, %v, wanted the end of the stream", b, err)
	}
	return string(b)
}

// run runs a client program, which must end well, and returns its output.
func run(t *testing.T, stdin string, name string, args ...string) string {
	t.Helper()
	return runAt(t, "", stdin, name, args...)
}

// runAt is run in a folder; "" is this one.
func runAt(t *testing.T, dir, stdin string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return string(out)
}
