package host

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/host/config"
)

// folderOf writes files below dir, and removes what else there is.
func folderOf(t testing.TB, dir string, files map[string]string) string {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		at := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o777), os.WriteFile(at, []byte(text), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

func withAssets(dir string, isolation config.Isolation) config.Plugin {
	return config.Plugin{Module: "testdata/assets.wasm", Assets: dir, Isolation: isolation}
}

// TestAssets: what a folder had at the load is what every instance sees, in the module's start
// too, until a reload, which is another version where the folder has changed and else none.
func TestAssets(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			dir := folderOf(t, filepath.Join(t.TempDir(), "pages"), map[string]string{
				"b/index.html": "a longer text", "a": "first", ".hidden": "x"})
			v := serveVirtual(t, configuration(withAssets(dir, isolation)))
			var c net.Conn
			say := func(what, want string) {
				t.Helper()
				settle(v.Host, v.sys)
				send(t, c, what)
				settle(v.Host, v.sys)
				expect(t, c, want)
			}
			reload := func(wantNew bool) {
				t.Helper()
				out, err := v.ReloadPlugin(context.Background(), "guest", false)
				if err != nil || out.Unchanged == wantNew {
					t.Fatalf("%+v, %v", out, err)
				}
				settle(v.Host, v.sys)
			}
			c = v.dial(t)
			say("n", "a\nb/index.html\n")
			say("0", "first")
			say("1", "a longer text")
			say("s", "firsta longer text")
			reload(false)

			folderOf(t, dir, map[string]string{"a": "second", "b/index.html": "a longer text"})
			say("0", "first") // the version's life
			reload(true)
			say("0", "second")
			say("s", "seconda longer text")

			folderOf(t, dir, map[string]string{"b/index.html": "a longer text"})
			reload(true)
			say("n", "b/index.html\n")
			folderOf(t, dir, map[string]string{"renamed": "a longer text"})
			reload(true)
			say("n", "renamed\n")
			say("s", "a longer text")

			folderOf(t, dir, nil)
			reload(true)
			say("ns", "") // the first byte counts: there are no names
			info, err := v.Plugin("guest")
			if err != nil || len(info.Versions[0].Assets) != 64 {
				t.Errorf("found %+v, %v, wanted the assets' sum", info.Versions, err)
			}
		})
	}
}

// TestAssetsRefused: what can't be taken of a folder is told at the start, and in a reload
// nothing changes.
func TestAssetsRefused(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "none")
	for _, start := range []func(config.Config) error{
		func(cfg config.Config) error { return newServer(t, cfg).Start(context.Background()) },
		func(cfg config.Config) error { return Validate(context.Background(), cfg, Options{}) },
	} {
		var bad *LoadError
		if err := start(configuration(withAssets(missing, ""))); !errors.As(err, &bad) ||
			!strings.Contains(bad.Error(), "plugin guest: module testdata/assets.wasm: assets: ") ||
			!strings.Contains(bad.Error(), missing) {
			t.Errorf("found %v, wanted that there is no %s", err, missing)
		}
	}
	pages := folderOf(t, filepath.Join(dir, "pages"), map[string]string{"a": "1"})
	p := withAssets(pages, config.IsolationLoop)
	p.Limits.AssetFiles, p.Limits.Assets = 2, 1<<10
	v := serveVirtual(t, configuration(p))
	for _, c := range []struct {
		files map[string]string
		want  string
	}{
		{map[string]string{"a": "", "b": "", "c": ""},
			"found more than 2 files and folders, wanted at most limits.asset_files"},
		{map[string]string{"big": strings.Repeat("x", 1<<10)}, "wanted at most 1024: limits.assets"},
	} {
		folderOf(t, pages, c.files)
		if _, err := v.ReloadPlugin(context.Background(), "guest", false); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("found %v, wanted %q", err, c.want)
		}
		conn := v.dial(t)
		send(t, conn, "0")
		settle(v.Host, v.sys)
		expect(t, conn, "1")
	}
}

// TestAssetsAreShared: versions with the same assets hold the same bytes.
func TestAssetsAreShared(t *testing.T) {
	dir := folderOf(t, filepath.Join(t.TempDir(), "pages"), map[string]string{"a": "1"})
	p := withAssets(dir, config.IsolationLoop)
	v := serveVirtual(t, configuration(p))
	first := v.plugins["guest"].current().mod.assets
	p.Config = map[string]any{"n": 1}
	if _, err := v.Reload(context.Background(), configuration(p)); err != nil {
		t.Fatal(err)
	}
	if now := v.plugins["guest"].current().mod.assets; now != first {
		t.Error("found them twice in memory")
	}
}

// TestAssetsComeBack: a version is gone back to with the assets that it had, and stays pinned
// until the folder changes again; another process has both, by the copies.
func TestAssetsComeBack(t *testing.T) {
	root := t.TempDir()
	dir, modules := folderOf(t, filepath.Join(root, "pages"), map[string]string{"a": "good"}), filepath.Join(root, "m")
	p := withAssets(dir, config.IsolationLoop)
	ctx := context.Background()
	begin := func(resume func() Resumed) *virtual {
		return serveVirtual(t, configuration(p), func(h *Host) {
			h.o.Modules, h.o.Resume = func() (string, bool) { return modules, true }, resume
		})
	}
	says := func(v *virtual, want string) {
		t.Helper()
		settle(v.Host, v.sys)
		c := v.dial(t)
		send(t, c, "0")
		settle(v.Host, v.sys)
		expect(t, c, want)
	}
	v := begin(nil)
	good := v.plugins["guest"].current().name
	folderOf(t, dir, map[string]string{"a": "bad"})
	out, err := v.ReloadPlugin(ctx, "guest", false)
	if err != nil || out.Version == good {
		t.Fatalf("%+v, %v", out, err)
	}
	says(v, "bad")
	if out, err := v.UsePlugin(ctx, good); err != nil || !out.Pinned {
		t.Fatalf("%+v, %v", out, err)
	}
	says(v, "good")
	if out, err := v.ReloadPlugin(ctx, "guest", false); err != nil || !out.Unchanged || !out.Pinned {
		t.Fatalf("while the folder is what it was: %+v, %v", out, err)
	}
	before := Resumed{Pins: v.Pins(), Kept: v.Kept(), Config: v.Config()}
	over, cancel := context.WithCancel(ctx)
	cancel()
	_ = v.Shutdown(over) // connections are open

	v = begin(func() Resumed { return before })
	says(v, "good")
	if name := v.plugins["guest"].current().name; name != good {
		t.Errorf("found %s, wanted %s", name, good)
	}
	folderOf(t, dir, map[string]string{"a": "mended"})
	if out, err := v.ReloadPlugin(ctx, "guest", false); err != nil || out.Pinned || out.Unchanged {
		t.Fatalf("when the folder has changed: %+v, %v", out, err)
	}
	says(v, "mended")
	if _, err := v.UsePlugin(ctx, good); err != nil {
		t.Fatal(err)
	}
	says(v, "good")
}
