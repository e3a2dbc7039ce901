package host

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/wirehost/wirehost/host/config"
)

// TestBadCache: what happens to the cache of compiled modules, once it was opened,
// costs time and no more: neither a start nor a change fails.
func TestBadCache(t *testing.T) {
	entries := func(t *testing.T, dir string, do func(file string) error) {
		t.Helper()
		n := 0
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			n++
			return do(path)
		})
		if err != nil || n == 0 {
			t.Fatalf("%d files, %v", n, err)
		}
	}
	const warning = "the cache of compiled modules failed: compiled without it; if this goes on, remove its folder"
	for name, damage := range map[string]func(string) error{
		"empty":     func(file string) error { return os.Truncate(file, 0) },
		"truncated": func(file string) error { return os.Truncate(file, 200) },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := configuration(config.Plugin{Module: "testdata/echo.wasm"})
			cfg.Cache.Dir = t.TempDir()
			if err := serve(t, cfg).Shutdown(context.Background()); err != nil {
				t.Fatal(err)
			}
			entries(t, cfg.Cache.Dir, damage)
			s := serve(t, cfg)
			echoes(t, s.addrs[0])
			s.logs.await(t, warning, 1)
		})
	}
	t.Run("gone", func(t *testing.T) {
		cfg := configuration(config.Plugin{Module: "testdata/echo.wasm"})
		cfg.Cache.Dir = filepath.Join(t.TempDir(), "cache")
		s := serve(t, cfg)
		if err := os.RemoveAll(cfg.Cache.Dir); err != nil {
			t.Fatal(err)
		}
		if _, err := s.LoadPlugin(context.Background(), "more", config.Plugin{Module: "testdata/counter.wasm"}); err != nil {
			t.Fatal(err)
		}
		s.logs.await(t, warning, 1)
		if _, err := s.UnloadPlugin(context.Background(), "more"); err != nil {
			t.Fatal(err)
		}
	})
}

func echoes(t *testing.T, addr string) {
	t.Helper()
	c := dial(t, addr)
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err := c.Read(b); err != nil || b[0] != 'x' {
		t.Errorf("found %q, %v", b, err)
	}
}
