package operate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

// journal is a log that is read up to a line.
type journal struct {
	*testing.T
	io.Writer
	lines chan string
	said  []string
}

func newJournal(t *testing.T) *journal {
	t.Helper()
	r, w := io.Pipe()
	t.Cleanup(func() { w.Close() })
	j := &journal{T: t, Writer: w, lines: make(chan string, 10000)}
	go func() {
		defer close(j.lines)
		for in := bufio.NewScanner(r); in.Scan(); {
			j.lines <- in.Text()
		}
	}()
	return j
}

// await returns the line that has a text.
func (j *journal) await(text string) string {
	j.Helper()
	late := time.After(patience)
	for {
		select {
		case line := <-j.lines:
			j.said = append(j.said, line)
			if strings.Contains(line, text) {
				return line
			}
		case <-late:
			j.Fatalf("the log has no %q:\n%s", text, strings.Join(j.said, "\n"))
		}
	}
}

// echo is a small module; each n makes another one of it, which does the same.
func echo(n byte) []byte {
	b, err := os.ReadFile("../testdata/echo.wasm")
	if err != nil {
		panic(err)
	}
	return append(b, 0, 2, 1, 'a'+n) // a custom section, of a name alone
}

// builtin is the echo by any name.
func builtin(string) ([]byte, bool) { return echo(0), true }

// save writes a module as deployments do: beside it, and renamed.
func save(t *testing.T, file string, b []byte) {
	t.Helper()
	for _, err := range []error{os.WriteFile(file+".new", b, 0o600), os.Rename(file+".new", file)} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// settings are a module's in a folder, and those that keep a test by itself.
func settings(module, more string) string {
	return "plugins: {p: {module: " + module + "}}\nlisteners: [{endpoint: \"tcp://127.0.0.1:0\", plugin: p}]\n" +
		"cache: {dir: off}\nadmin: {listen: off}\n" + more
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRun serves what a file says, goes over to a module that is saved, and ends
// with its context.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "wirehost.yaml")
	write(t, file, settings("p.wasm", ""))
	save(t, filepath.Join(dir, "p.wasm"), echo(1))
	log := newJournal(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, Options{Load: File(file), Log: log}) }()

	_, address, _ := strings.Cut(log.await("ready"), "tcp://")
	c, err := net.Dial("tcp", strings.Trim(address, `"`))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := fmt.Fprint(c, "echoed"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(io.LimitReader(c, 6)); string(got) != "echoed" {
		t.Errorf("found %q, %v", got, err)
	}
	save(t, filepath.Join(dir, "p.wasm"), echo(2))
	log.await("version is active")
	cancel()
	c.Close()
	if err := <-ended; err != nil {
		t.Errorf("found %v, wanted an orderly end", err)
	}
	log.await("ended")
}

// TestReload reads the file again; the log takes the level that it has now. What
// is wrong is told, and what ran runs on.
func TestReload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "wirehost.yaml")
	write(t, file, settings(`"builtin:echo"`, ""))
	cfg, err := File(file)(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	log := newJournal(t)
	var seen []string
	s, err := New(cfg, Options{
		Load: File(file), Log: log, Host: host.Options{Builtin: builtin},
		Reloaded: func(cfg config.Config) { seen = append(seen, cfg.Log.Level) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	write(t, file, settings(`"builtin:linereceiver"`, "log: {level: debug}\n"))
	if _, err := s.Reload(context.Background()); err != nil {
		t.Errorf("found %v", err)
	}
	log.await("[DEBUG] reloaded")
	write(t, file, settings("gone.wasm", ""))
	if _, err := s.Reload(context.Background()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("found %v, wanted that the module is not there", err)
	}
	if line := log.await("reload failed; what ran before runs on"); !strings.Contains(line, "gone.wasm") {
		t.Errorf("found %s", line)
	}
	info, err := s.Plugin("p")
	if err != nil || info.Module != "builtin:linereceiver" || !s.Ready() {
		t.Errorf("found %s, %v, wanted that it runs on", info.Module, err)
	}
	if len(seen) != 1 || seen[0] != "debug" {
		t.Errorf("found the levels %q", seen)
	}
	if err := s.Shutdown(context.Background()); err != nil || s.Ready() {
		t.Errorf("found %v, ready %v", err, s.Ready())
	}
	s.Close() // does nothing
}

// TestRunFails: nothing is left running where the start fails.
func TestRunFails(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "wirehost.yaml")
	ended, end := context.WithCancel(context.Background())
	end()
	write(t, filepath.Join(dir, "s"), "no socket")
	for _, c := range []struct {
		ctx  context.Context
		yaml string
		want string
	}{
		{context.Background(), "plugins: {p: {modul: p.wasm}}\n", file + ":1: plugins.p.modul: found an unknown key"},
		{context.Background(), settings("gone.wasm", ""),
			"plugin p: module " + filepath.Join(dir, "gone.wasm") + ": stat "},
		{
			context.Background(), strings.Replace(settings(`"builtin:echo"`, ""), "listen: off",
				"listen: \"unix://"+filepath.Join(dir, "s")+"\"", 1),
			"found a file there",
		},
		{ended, settings(`"builtin:echo"`, ""), "context canceled"},
	} {
		write(t, file, c.yaml)
		log := newJournal(t)
		err := Run(c.ctx, Options{Load: File(file), Log: log, Host: host.Options{Builtin: builtin}})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: found %v, wanted %q", c.yaml, err, c.want)
		}
	}
}

// TestNothingToLoad: where there is nothing to read the configuration from, that is
// an error, at the start and at a reload.
func TestNothingToLoad(t *testing.T) {
	ctx := context.Background()
	if err := Run(ctx, Options{}); err == nil || !strings.Contains(err.Error(), "found no Options.Load") {
		t.Errorf("found %v", err)
	}
	if err := Run(ctx, Options{Load: File("")}); err == nil || !strings.Contains(err.Error(), "found no name") {
		t.Errorf("found %v", err)
	}
	s, err := New(config.Config{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Reload(ctx); err == nil || !strings.Contains(err.Error(), "found no Options.Load") {
		t.Errorf("found %v", err)
	}
	if _, err := New(config.Config{Log: config.Log{Level: "loud"}}, Options{}); err == nil {
		t.Error("found a server of a bad configuration")
	}
}

// TestStartTwice: a second start is an error, and the first one's server serves on.
func TestStartTwice(t *testing.T) {
	ctx := context.Background()
	s, err := New(config.Config{
		Admin:   config.Admin{Listen: "unix://" + filepath.Join(t.TempDir(), "admin")},
		Cache:   config.Cache{Dir: "off"},
		Plugins: map[string]config.Plugin{"p": {Module: "builtin:echo", Watch: true}},
	}, Options{Host: host.Options{Builtin: builtin}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(ctx); err == nil || !strings.Contains(err.Error(), "started before") {
		t.Errorf("found %v", err)
	}
	if s.administration.listener == nil || s.watcher == nil || !s.Ready() {
		t.Error("found no administration, or no files that are watched")
	}
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// TestCloseBeforeStart: what is closed begins nothing around its host any more.
func TestCloseBeforeStart(t *testing.T) {
	s, err := New(config.Config{
		Admin:   config.Admin{Listen: "tcp://127.0.0.1:0"},
		Cache:   config.Cache{Dir: "off"},
		Plugins: map[string]config.Plugin{"p": {Module: "builtin:echo", Watch: true}},
	}, Options{Host: host.Options{Builtin: builtin}})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	if s.administration.listener != nil || s.watcher != nil || s.Ready() {
		t.Error("found administration, or files that are watched")
	}
	if err := s.Host.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestShutdownBeforeStart: a server that is told to end before it has started, as by a
// signal that comes early, does not start.
func TestShutdownBeforeStart(t *testing.T) {
	s, err := New(config.Config{
		Admin:   config.Admin{Listen: "off"},
		Cache:   config.Cache{Dir: "off"},
		Plugins: map[string]config.Plugin{"p": {Module: "builtin:echo"}},
	}, Options{Host: host.Options{Builtin: builtin}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(context.Background()); !errors.Is(err, host.ErrNotRunning) {
		t.Errorf("found %v, wanted %v", err, host.ErrNotRunning)
		_ = s.Host.Shutdown(context.Background())
	}
}
