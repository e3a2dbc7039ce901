package operate

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/changes"
)

// kept is a server whose administration and state are a test's own.
type kept struct {
	*Server
	log  *journal
	dir  string
	file string // its configuration
}

// serveKept starts a server of dir, whose configuration is dir/wirehost.yaml.
func serveKept(t *testing.T, dir string) *kept {
	t.Helper()
	k := &kept{dir: dir, file: filepath.Join(dir, "wirehost.yaml"), log: newJournal(t)}
	if _, err := os.Stat(k.file); err != nil {
		k.configure(t, "")
	}
	cfg, err := File(k.file)(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	k.Server, err = New(cfg, Options{Load: File(k.file), Log: k.log,
		Getenv: func(string) string { t.Error("the environment was asked"); return "" }})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.end(t) })
	return k
}

// configure writes the configuration, with more settings of the plugin p.
func (k *kept) configure(t *testing.T, more string) {
	t.Helper()
	write(t, k.file, "plugins: {p: {module: p.wasm, watch: false"+more+"}}\nlisteners: []\n"+
		"cache: {dir: off}\nadmin: {listen: \"unix://"+k.dir+"/admin.sock\"}\nstate: {dir: "+k.dir+"/state}\n")
}

func (k *kept) end(t *testing.T) {
	t.Helper()
	if err := k.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}

// again is the server's next process.
func (k *kept) again(t *testing.T) *kept {
	t.Helper()
	k.end(t)
	return serveKept(t, k.dir)
}

// takenOver is a server that takes the place of this one, which has ended.
func (k *kept) takenOver(t *testing.T) *Server {
	t.Helper()
	ctx := context.Background()
	text, err := k.exportState()
	do(t, err)
	k.end(t)
	cfg, err := File(k.file)(ctx)
	do(t, err)
	next, err := New(cfg, Options{Load: File(k.file)})
	do(t, err)
	do(t, next.importState(text))
	do(t, next.Start(ctx))
	t.Cleanup(func() { do(t, next.Shutdown(ctx)) })
	return next
}

func (k *kept) save(t *testing.T, n byte) { save(t, filepath.Join(k.dir, "p.wasm"), echo(n)) }

func (k *kept) active(t *testing.T) string {
	t.Helper()
	info, err := k.Plugin("p")
	if err != nil {
		t.Fatal(err)
	}
	return info.Active
}

// expect holds the active version of p against what it is to be.
func (k *kept) expect(t *testing.T, what, want string) {
	t.Helper()
	if found := k.active(t); found != want {
		t.Errorf("%s: found %s active, wanted %s", what, found, want)
	}
}

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rolledBack is a server with a second version, that has gone back to the first.
func rolledBack(t *testing.T) (k *kept, first, second string) {
	t.Helper()
	dir := t.TempDir()
	save(t, filepath.Join(dir, "p.wasm"), echo(1))
	k = serveKept(t, dir)
	first = k.active(t)
	k.save(t, 2)
	out, err := k.ReloadPlugin(context.Background(), "p", false)
	do(t, err)
	second = out.Version
	out, err = k.UsePlugin(context.Background(), first)
	do(t, err)
	if out.Version != first || !out.Pinned {
		t.Fatalf("found %+v, wanted %s, pinned", out, first)
	}
	return k, first, second
}

// TestPinHolds: neither a reload nor a restart ends a rollback; other bytes do.
func TestPinHolds(t *testing.T) {
	ctx := context.Background()
	k, first, _ := rolledBack(t)
	out, err := k.ReloadPlugin(ctx, "p", false)
	do(t, err)
	if !out.Unchanged || !out.Pinned {
		t.Errorf("found %+v, wanted nothing done: it is pinned", out)
	}
	_, err = k.Reload(ctx)
	do(t, err)
	k.expect(t, "after a reload of the configuration", first)
	k = k.again(t)
	k.expect(t, "after a restart", first)
	_, err = k.Reload(ctx)
	do(t, err)
	k.expect(t, "after a restart and a reload", first)
	k = k.again(t)
	k.expect(t, "after another restart", first)
	if info, err := k.Plugin("p"); err != nil || info.PinnedAt == nil ||
		filepath.Base(info.Module) != "p.wasm" {
		t.Errorf("found %+v, %v, wanted since when it is pinned, and the configured module", info, err)
	}

	k.save(t, 3)
	_, err = k.Reload(ctx)
	do(t, err)
	third := k.active(t)
	if third == first || len(k.Pins()) != 0 {
		t.Errorf("found %s, pinned %v, wanted the new bytes, and no pin", third, k.Pins())
	}
	k = k.again(t)
	k.expect(t, "after a restart", third)
}

// TestPinOverAtStart: bytes that have changed while no server ran end a pin.
func TestPinOverAtStart(t *testing.T) {
	k, first, second := rolledBack(t)
	k.end(t)
	k.save(t, 3)
	k = serveKept(t, k.dir)
	if found := k.active(t); found == first || found == second || len(k.Pins()) != 0 {
		t.Errorf("found %s, pinned %v, wanted the new bytes", found, k.Pins())
	}
}

// TestUnpin: the configured module is active again.
func TestUnpin(t *testing.T) {
	k, _, second := rolledBack(t)
	out, err := k.UnpinPlugin(context.Background(), "p")
	do(t, err)
	if out.Version != second || out.Pinned {
		t.Errorf("found %+v, wanted %s", out, second)
	}
	k = k.again(t)
	k.expect(t, "after a restart", second)
}

// TestPinFollowsSettings: settings that change hold for the pinned module.
func TestPinFollowsSettings(t *testing.T) {
	ctx := context.Background()
	k, first, _ := rolledBack(t)
	sum := func() string {
		info, err := k.Plugin("p")
		do(t, err)
		return info.Versions[0].SHA256
	}
	was := sum()
	k.configure(t, ", config: {n: 7}")
	_, err := k.Reload(ctx)
	do(t, err)
	then := k.active(t)
	if then == first || sum() != was {
		t.Fatalf("found %s of %s, wanted another version of %s", then, sum(), was)
	}
	k = k.again(t)
	k.expect(t, "after a restart", then)
	if sum() != was || len(k.Pins()) != 1 {
		t.Errorf("found %s, pins %v, wanted %s pinned", sum(), k.Pins(), was)
	}
}

// TestPinWithoutBytes: a pinned module whose copy is gone, or is another, stops no start.
func TestPinWithoutBytes(t *testing.T) {
	for name, spoil := range map[string]func(string) error{
		"gone":    os.Remove,
		"changed": func(file string) error { return os.WriteFile(file, echo(9), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			k, first, second := rolledBack(t)
			k.end(t)
			files, err := filepath.Glob(filepath.Join(k.dir, "state", "*", modulesDir, "*.wasm"))
			do(t, err)
			if len(files) == 0 {
				t.Fatal("found no copy of a module")
			}
			for _, f := range files {
				do(t, spoil(f))
			}
			k = serveKept(t, k.dir)
			k.log.await("the pinned version can't be loaded")
			k.expect(t, "without the copy of "+first, second)
		})
	}
}

// TestDamagedState: a state that can't be read is told, and put aside.
func TestDamagedState(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "cut": `{"format": 1, "pins": {"p"`, "later": `{"format": 99}`, "no state": `[1]`,
		"null": `{"format": 1, "pins": null, "history": null}`, "all null": "null",
	} {
		t.Run(name, func(t *testing.T) {
			k, _, second := rolledBack(t)
			k.end(t)
			files, err := filepath.Glob(filepath.Join(k.dir, "state", "*", stateFile))
			do(t, err)
			write(t, files[0], text)
			k = serveKept(t, k.dir)
			k.log.await("the state can't be read")
			k.expect(t, "without a state", second)
			if found, err := os.ReadFile(files[0] + ".damaged"); err != nil || string(found) != text {
				t.Errorf("found %q, %v, wanted the damaged file put aside", found, err)
			}
			if text, err := os.ReadFile(files[0]); err != nil || !strings.Contains(string(text), `"format": 1`) {
				t.Errorf("found %q, %v, wanted a new state", text, err)
			}
		})
	}
}

// TestStateIsOneServers: another configuration's server, whose administration is elsewhere,
// has a state of its own, and a second process of the same has none while the first has.
func TestStateIsOneServers(t *testing.T) {
	k, first, second := rolledBack(t)
	text, err := os.ReadFile(k.file)
	do(t, err)
	write(t, k.file, strings.Replace(string(text), "admin.sock", "other.sock", 1))
	other := serveKept(t, k.dir)
	other.expect(t, "another server", second)
	k.expect(t, "the first one", first)
	write(t, k.file, string(text))

	same := keeper{log: k.Server.log, state: newState()}
	same.open(config.State{Dir: filepath.Join(k.dir, "state")}, "unix://"+k.dir+"/admin.sock", nil)
	if err := same.canSave(); err == nil || !strings.Contains(err.Error(), "another process has") {
		t.Errorf("found %v, wanted that another process has it", err)
	}
	k.end(t)
	if err := same.canSave(); err != nil {
		t.Errorf("found %v after the other's end", err)
	}
	same.release()
}

// TestSavedPlugins: what was loaded and unloaded to be saved is so after reloads and
// restarts; what was not is forgotten.
func TestSavedPlugins(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	save(t, filepath.Join(dir, "p.wasm"), echo(1))
	module := filepath.Join(dir, "more.wasm")
	save(t, module, echo(2))
	k := serveKept(t, dir)
	load := func(name string, saved bool) {
		t.Helper()
		_, err := k.LoadPlugin(ctx, name, config.Plugin{Module: module, Config: map[string]any{"n": 1 << 60}},
			config.Listener{Endpoint: "unix://" + dir + "/" + name})
		do(t, err)
		if saved {
			do(t, k.SavePlugin(name))
		}
	}
	runs := func(what string, want ...string) {
		t.Helper()
		var found []string
		for _, name := range []string{"p", "saved", "passing"} {
			if _, err := k.Plugin(name); err == nil {
				found = append(found, name)
			}
		}
		if strings.Join(found, " ") != strings.Join(want, " ") {
			t.Errorf("%s: found %q, wanted %q", what, found, want)
		}
	}
	load("saved", true)
	load("passing", false)
	_, err := k.UnloadPlugin(ctx, "p")
	do(t, err)
	do(t, k.SavePlugin("p"))
	runs("at first", "saved", "passing")
	_, err = k.Reload(ctx)
	do(t, err)
	runs("after a reload", "saved")
	k = k.again(t)
	runs("after a restart", "saved")
	if l := k.ListenerInfos(); len(l) != 1 || l[0].Plugin != "saved" {
		t.Errorf("found the listeners %+v", l)
	}
	_, err = k.UnloadPlugin(ctx, "saved")
	do(t, err)
	k = k.again(t)
	runs("unloaded without being saved, after a restart", "saved")
	_, err = k.UnloadPlugin(ctx, "saved")
	do(t, err)
	do(t, k.SavePlugin("saved"))
	k = k.again(t)
	runs("unloaded and saved, after a restart")

	load("saved", true)
	k.end(t)
	do(t, os.Remove(module))
	k = serveKept(t, dir)
	k.log.await("a plugin that was saved can't be loaded")
	runs("without its module")
	save(t, module, echo(2))
	_, err = k.Reload(ctx)
	do(t, err)
	runs("after a reload, with its module again", "saved")
}

// TestExportedState: a process that takes another's place begins with all of it.
func TestExportedState(t *testing.T) {
	ctx := context.Background()
	k, first, _ := rolledBack(t)
	_, err := k.LoadPlugin(ctx, "more", config.Plugin{Module: filepath.Join(k.dir, "p.wasm")})
	do(t, err)
	next := k.takenOver(t)
	if info, err := next.Plugin("p"); err != nil || info.Active != first {
		t.Errorf("found %s, %v, wanted %s", info.Active, err, first)
	}
	if _, err := next.Plugin("more"); err != nil {
		t.Error(err)
	}
	if _, err := next.Reload(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := next.Plugin("more"); !errors.Is(err, host.ErrUnknown) {
		t.Errorf("found %v after a reload, wanted it gone: nobody has saved it", err)
	}
}

// TestAdministratorsWait: what they ask for while another change is under way comes after it.
func TestAdministratorsWait(t *testing.T) {
	dir := t.TempDir()
	save(t, filepath.Join(dir, "p.wasm"), echo(1))
	k := serveKept(t, dir)
	a := administered{k.Server}
	for what, change := range map[string]func(context.Context) error{
		"reload":        func(ctx context.Context) error { _, err := a.ReloadConfig(ctx); return err },
		"plugin reload": func(ctx context.Context) error { _, err := a.ReloadPlugin(ctx, "p", true); return err },
	} {
		o, err := k.BeginHandover()
		do(t, err)
		if err := change(changes.AtOnce(context.Background())); !errors.Is(err, host.ErrChanging) {
			t.Errorf("%s: found %v, wanted %v", what, err, host.ErrChanging)
		}
		done := make(chan error, 1)
		go func() { done <- change(context.Background()) }()
		time.AfterFunc(2*changes.Wait, func() {
			if err := o.Abandon(); err != nil {
				t.Error(err)
			}
		})
		if err := <-done; err != nil {
			t.Errorf("%s: found %v", what, err)
		}
	}
}

// TestHistory: what became active, by whom, and what was refused.
func TestHistory(t *testing.T) {
	k, first, second := rolledBack(t)
	save(t, filepath.Join(k.dir, "p.wasm"), []byte("no module"))
	ctx := host.WithBy(context.Background(), host.By{Trigger: "command", User: "ann"})
	if _, err := k.ReloadPlugin(ctx, "p", false); err == nil {
		t.Fatal("what is no module was taken")
	}
	k.save(t, 2)
	k = k.again(t)
	list, err := k.History("p")
	do(t, err)
	var found []string
	for _, e := range list {
		found = append(found, strings.TrimSpace(e.Outcome+" "+e.Version+" "+e.By))
	}
	want := []string{"started " + first + " start", "refused  command, ann", "active " + first, "active " + second,
		"started " + first + " start"}
	if strings.Join(found, "\n") != strings.Join(want, "\n") {
		t.Errorf("found\n%s\nwanted\n%s", strings.Join(found, "\n"), strings.Join(want, "\n"))
	}
	if _, err := k.History("none"); !errors.Is(err, host.ErrUnknown) {
		t.Errorf("found %v, wanted ErrUnknown", err)
	}
}
