package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/admin"
	"github.com/wirehost/wirehost/internal/wasmbin"
)

// socketAt is an endpoint in a folder whose name is short enough.
func socketAt(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "wh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return "unix://" + filepath.Join(dir, "s")
}

// operator talks to a process over its administration.
type operator struct {
	*testing.T
	endpoint string
}

// run runs the command with --admin.
func (o operator) run(args ...string) result {
	o.Helper()
	return command(o.T, append(args, "--admin="+o.endpoint)...)
}

// fine runs the command and returns what it wrote.
func (o operator) fine(args ...string) string {
	o.Helper()
	r := o.run(args...)
	if r.code != exitFine || r.stderr != "" {
		o.Fatalf("%q: found exit code %d, %q", args, r.code, r.stderr)
	}
	return r.stdout
}

// get asks for a path, and returns the status and the body.
func (o operator) get(method, path string) (int, string) {
	o.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", strings.TrimPrefix(o.endpoint, "unix://"))
	}
	c := http.Client{Timeout: patience, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	r, err := http.NewRequest(method, "http://wirehost"+path, nil)
	if err != nil {
		o.Fatal(err)
	}
	resp, err := c.Do(r)
	if err != nil {
		o.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		o.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// awaitMetric asks until the line is there: a change is counted after it is logged.
func (o operator) awaitMetric(line string) {
	o.Helper()
	for until := time.Now().Add(patience); ; {
		_, text := o.get("GET", "/metrics")
		if strings.Contains(text, line+"\n") {
			return
		}
		if time.Now().After(until) {
			o.Fatalf("found no %s in\n%s", line, text)
		}
	}
}

// versioned is a module that can be hosted, other bytes for each n.
func versioned(n byte) []byte {
	// i32.const n, drop
	return guest(func(m *wasmbin.Module) { m.Code[0] = wasmbin.Code{Body: []byte{0x41, n & 0x3f, 0x1a, 0x0b}} })
}

func replace(t *testing.T, file string, b []byte) {
	t.Helper()
	if err := os.WriteFile(file+".tmp", b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".tmp", file); err != nil {
		t.Fatal(err)
	}
}

func TestWatchedFile(t *testing.T) {
	skipWithoutSignals(t)
	file := write(t, "watched.wasm", string(versioned(1)))
	conf := write(t, "c.yaml", "plugins:\n  watched: {module: "+file+
		"}\n  echo: {module: \"builtin:echo\"}\nlisteners:\n"+
		"- {endpoint: \"tcp://127.0.0.1:0\", plugin: watched}\n- {endpoint: \"tcp://127.0.0.1:0\", plugin: echo}\n")
	o := operator{t, socketAt(t)}
	p := start(t, "serve", "--config="+conf, "--set=admin.listen="+o.endpoint)
	at := p.ready()
	c := dial(t, at[1])
	exchange(t, c, "before")
	p.await("administration")
	changed := func(message string) entry {
		t.Helper()
		e := p.await(message)
		if e.text("plugin") != "watched" {
			t.Errorf("found %v, wanted plugin watched", e)
		}
		return e
	}

	saved := time.Now()
	replace(t, file, versioned(2))
	watched := changed("version is active")
	first := watched.text("version")
	if watched.text("by") != "watch" {
		t.Errorf("found %v, wanted by watch", watched)
	}
	t.Logf("from file saved to new version active: %s", time.Since(saved))

	out := o.fine("plugin", "reload", "--force", "watched") // who has changed what is logged
	forced := changed("version is active")
	if me := strconv.Itoa(os.Getuid()); forced.text("by") != "command" || fmt.Sprint(forced["uid"]) != me ||
		forced["pid"] == nil || forced.text("user") == "" || !strings.HasPrefix(out, forced.text("version")) ||
		forced.text("previous") != first {
		t.Errorf("found %v, wanted by command, with user, uid %s and pid", forced, me)
	}
	first = forced.text("version")

	replace(t, file, versioned(3)[:40]) // truncated
	if e := changed("the changed module is refused; what ran before runs on"); !strings.Contains(e.text("err"), file) {
		t.Errorf("found %v", e)
	}
	if list := o.fine("plugin", "list"); !strings.Contains(list, first) ||
		!strings.Contains(list, "the last change failed: ") {
		t.Errorf("found\n%s", list)
	}
	replace(t, file, guest(without("dataReceived")))
	changed("the changed module is refused; what ran before runs on")

	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	replace(t, file, versioned(3))
	if e := changed("version is active"); e.text("previous") != first {
		t.Errorf("found %v, wanted previous %s", e, first)
	}
	exchange(t, c, "after")
	o.awaitMetric(`wirehost_plugin_changes_total{plugin="watched",result="refused",trigger="file"} 2`)
	o.awaitMetric(`wirehost_plugin_changes_total{plugin="watched",result="active",trigger="file"} 2`)

	// A plugin that is loaded and unloaded at run time is watched as long.
	second := write(t, "second.wasm", string(versioned(1)))
	o.fine("plugin", "load", "second", second)
	replace(t, second, versioned(2))
	if e := p.await("version is active"); e.text("plugin") != "second" {
		t.Errorf("found %v, wanted plugin second", e)
	}
	o.fine("plugin", "unload", "second", "--wait")
	replace(t, second, versioned(3))
	replace(t, file, versioned(4))
	changed("version is active")
	p.signal(syscall.SIGTERM)
	c.Close()
	if code := p.end(); code != exitFine {
		t.Errorf("found exit code %d:\n%s", code, p.stderr())
	}
}

func TestWatchOff(t *testing.T) {
	skipWithoutSignals(t)
	unwatched, watched := write(t, "unwatched.wasm", string(versioned(1))),
		write(t, "watched.wasm", string(versioned(1)))
	conf := write(t, "c.yaml", "plugins:\n  unwatched: {module: "+unwatched+", watch: false}\n  watched: {module: "+
		watched+"}\nlisteners: []\n")
	o := operator{t, socketAt(t)}
	p := start(t, "serve", "--config="+conf, "--set=admin.listen="+o.endpoint)
	p.await("administration")
	replace(t, unwatched, versioned(2))
	replace(t, watched, versioned(2))
	if e := p.await("version is active"); e.text("plugin") != "watched" {
		t.Errorf("found %v, wanted plugin watched alone", e)
	}
	out := o.fine("plugin", "reload", "unwatched")
	if !strings.HasPrefix(out, "unwatched@") || !strings.Contains(out, " is active, before it unwatched@") {
		t.Errorf("found %q", out)
	}
}

// Before a drain, while pre_stop goes by, /readyz says no, and administrators can still ask.
func TestReadyUntilDrain(t *testing.T) {
	skipWithoutSignals(t)
	o := operator{t, socketAt(t)}
	p := start(t, append(anyPorts, "--set=admin.listen="+o.endpoint, "--set=reactor.pre_stop=1h")...)
	c := dial(t, p.ready()[0])
	exchange(t, c, "before")
	p.await("administration")
	if code, text := o.get("GET", "/readyz"); code != 200 {
		t.Errorf("found %d %s, wanted 200", code, text)
	}
	p.signal(syscall.SIGTERM)
	p.await("unready; serving on before listeners close")
	if code, text := o.get("GET", "/readyz"); code != 503 {
		t.Errorf("found %d %s, wanted 503", code, text)
	}
	if code, text := o.get("GET", "/healthz"); code != 200 {
		t.Errorf("found %d %s, wanted 200", code, text)
	}
	p.signal(syscall.SIGTERM) // which ends that time
	c.Close()
	if code := p.end(); code != exitFine {
		t.Errorf("found exit code %d:\n%s", code, p.stderr())
	}
	if _, err := os.Stat(strings.TrimPrefix(o.endpoint, "unix://")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket was left: %v", err)
	}
}

func TestReloadConfigByAdmin(t *testing.T) {
	skipWithoutSignals(t)
	conf := write(t, "c.yaml", "plugins: {e: {module: \"builtin:echo\"}}\nlisteners: []\n")
	o := operator{t, socketAt(t)}
	p := start(t, "serve", "--config="+conf, "--set=admin.listen="+o.endpoint)
	p.await("administration")
	replace(t, conf, []byte("plugins: {e: {module: \"builtin:echo\"}, f: {module: \"builtin:echo\"}}\nlisteners: []\n"))
	if code, text := o.get("POST", "/v1/config/reload"); code != 200 ||
		!strings.Contains(text, `"added":["plugin f"]`) {
		t.Errorf("found %d %s", code, text)
	}
	replace(t, conf, []byte("plugins: {e: {modul: x}}\n"))
	if code, text := o.get("POST", "/v1/config/reload"); code != 422 ||
		!strings.Contains(text, conf+":1: plugins.e.modul: found an unknown key") {
		t.Errorf("found %d %s", code, text)
	}
	if code, text := o.get("GET", "/v1/plugins/f"); code != 200 {
		t.Errorf("found %d %s, wanted that f still runs", code, text)
	}
	p.signal(syscall.SIGHUP)
	p.await("reload failed; what ran before runs on")
	want := `wirehost_config_reloads_total{result="refused",trigger="signal"} 1`
	if _, text := o.get("GET", "/metrics"); !strings.Contains(text, want) {
		t.Errorf("found\n%s", text)
	}
}

// A killed server's socket is replaced; a live one's stays, and says so.
func TestAdminSocketTaken(t *testing.T) {
	skipWithoutSignals(t)
	o := operator{t, socketAt(t)}
	listen := "--set=admin.listen=" + o.endpoint
	p := start(t, append(anyPorts, listen)...)
	p.await("administration")
	second := start(t, append(anyPorts, listen)...)
	if code := second.end(); code != exitFailed || !strings.Contains(second.stderr(), "another server answers there") {
		t.Errorf("found exit code %d:\n%s", code, second.stderr())
	}
	o.fine("plugin", "list")
	p.signal(syscall.SIGKILL)
	p.end()
	third := start(t, append(anyPorts, listen)...)
	third.await("administration")
	o.fine("plugin", "list")
}

// Of the default socket, a failure is a warning.
func TestDefaultSocketTaken(t *testing.T) {
	skipWithoutSignals(t)
	dir, err := os.MkdirTemp("", "wh")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	env := []string{"XDG_RUNTIME_DIR=" + dir, "WIREHOST_CACHE__DIR=" + cacheDir}
	first := startIn(t, env, anyPorts...)
	first.await("administration")
	second := startIn(t, env, anyPorts...)
	second.ready()
	if e := second.await("no administration"); e.text("level") != "warn" ||
		!strings.Contains(e.text("err"), "another server answers there") {
		t.Errorf("found %v", e)
	}
	var out, errs bytes.Buffer
	if code := Run([]string{"plugin", "list"}, env, &out, &errs); code != exitFine ||
		!strings.Contains(out.String(), "linereceiver") {
		t.Errorf("found exit code %d, %s%s", code, out.String(), errs.String())
	}
}

// stub is a host of one plugin whose reload takes until it is let go.
type stub struct {
	admin.Host // nil: nothing else is asked for
	changing   sync.Mutex
	entered    chan struct{}
	proceed    chan struct{}
	canceled   chan struct{}
}

func (s *stub) Plugin(name string) (host.PluginInfo, error) {
	if name != "echo" {
		return host.PluginInfo{}, host.ErrUnknown
	}
	return host.PluginInfo{Name: name, Active: "echo@1"}, nil
}

func (s *stub) ReloadPlugin(ctx context.Context, name string, _ bool) (host.Outcome, error) {
	if !s.changing.TryLock() {
		return host.Outcome{}, fmt.Errorf("plugin %s: %w", name, host.ErrChanging)
	}
	defer s.changing.Unlock()
	s.entered <- struct{}{}
	select {
	case <-s.proceed:
		return host.Outcome{Plugin: name, Version: "echo@2", Previous: "echo@1", Policy: "migrate", Migrated: 398,
			Kept: map[string]int{"restoreState refused (7)": 2}}, nil
	case <-ctx.Done():
		s.canceled <- struct{}{}
		return host.Outcome{}, ctx.Err()
	}
}

// awaitChange waits until no change is under way.
func (s *stub) awaitChange() {
	s.changing.Lock()
	defer s.changing.Unlock()
}

// stubbed serves a stub.
func stubbed(t *testing.T) (*stub, operator) {
	t.Helper()
	h := &stub{entered: make(chan struct{}), proceed: make(chan struct{}), canceled: make(chan struct{}, 1)}
	o := operator{t, socketAt(t)}
	ln, _, err := admin.Listen(o.endpoint, false, false)
	if err != nil {
		t.Fatal(err)
	}
	s := admin.New(admin.Options{Host: h})
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ln) }()
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return h, o
}

// A client that is killed in the middle of its request: the change ends, and
// the server goes on.
func TestKilledClient(t *testing.T) {
	skipWithoutSignals(t)
	h, o := stubbed(t)
	cmd := exec.Command(binary, "plugin", "reload", "echo", "--admin="+o.endpoint)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-h.entered
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("found no error of a killed process")
	}
	select {
	case <-h.canceled:
	case <-time.After(patience):
		t.Fatal("the request goes on without its client")
	}
	h.awaitChange()
	got := make(chan string, 1)
	go func() { got <- o.run("plugin", "reload", "echo").stdout }()
	<-h.entered
	h.proceed <- struct{}{}
	if out := <-got; !strings.HasPrefix(out, "echo@2 is active") {
		t.Errorf("found %q", out)
	}
}

func TestTwoOperatorsAtOnce(t *testing.T) {
	h, o := stubbed(t)
	first := make(chan result, 1)
	go func() { first <- o.run("plugin", "reload", "echo") }()
	<-h.entered
	r := o.run("plugin", "reload", "echo")
	want := "wirehost: plugin echo: another change is under way\nwirehost: echo@1 is still running\n"
	if r.code != exitFailed || r.stderr != want || r.stdout != "" {
		t.Errorf("found exit code %d, %q, wanted %q", r.code, r.stderr, want)
	}
	h.proceed <- struct{}{}
	if r := <-first; r.code != exitFine ||
		r.stdout != "echo@2 is active, before it echo@1: migrated 398, kept 2: restoreState refused (7)\n" {
		t.Errorf("found exit code %d, %q", r.code, r.stdout)
	}
}
