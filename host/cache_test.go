package host

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/wirehost/wirehost/host/config"
)

// TestBadCache: what happens to the cache of compiled modules, once it was opened,
// costs time and no more: neither a start nor a change fails, and what is damaged
// is replaced.
func TestBadCache(t *testing.T) {
	const damaged = "an entry of the cache of compiled modules is damaged: it is made anew"
	const unfit = "what was compiled of a module can't be loaded: it is made anew" // says wazero
	each := func(t *testing.T, dir string, do func(file string) error) {
		t.Helper()
		n := 0
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			n++
			return do(path)
		})
		if err != nil || n != 2 {
			t.Fatalf("%d files, %v", n, err)
		}
	}
	flip := func(file string, at int64, from int) error {
		f, err := os.OpenFile(file, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		end, err := f.Seek(at, from)
		if err != nil {
			return err
		}
		b := make([]byte, 1)
		if _, err := f.ReadAt(b, end); err != nil {
			return err
		}
		b[0] ^= 1
		_, err = f.WriteAt(b, end)
		return err
	}
	flipCode := func(at int64, from int) func(string) error {
		return func(file string) error {
			if filepath.Base(file) == "module" {
				return nil
			}
			return flip(file, at, from)
		}
	}
	for name, damage := range map[string]func(string) error{
		"a function's offset": flipCode(20, io.SeekStart),
		"an instruction":      flipCode(-100, io.SeekEnd),
		"what is behind":      flipCode(-1, io.SeekEnd),
		"empty":               func(file string) error { return os.Truncate(file, 0) },
		"truncated":           func(file string) error { return os.Truncate(file, 200) },
		"one byte short": func(file string) error {
			info, _ := os.Stat(file)
			return os.Truncate(file, info.Size()-1)
		},
		"longer": func(file string) error { return os.Truncate(file, 1<<30) },
		"another export": func(file string) error {
			b, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			return os.WriteFile(file, bytes.Replace(b, []byte(`"dataReceived"`), []byte(`"dataRecieved"`), 1), 0o600)
		},
		"another byte":         func(file string) error { return flip(file, -20, io.SeekEnd) },
		"another wazero's":     func(file string) error { return flip(file, 9, io.SeekStart) },
		"machine code is gone": func(file string) error { return removeUnless(file, "module") },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := configuration(config.Plugin{Module: "testdata/echo.wasm"})
			cfg.Cache.Dir = t.TempDir()
			for n, want := range []int{0, 1, 0} {
				s := serve(t, cfg)
				echoes(t, s.addrs[0])
				got := len(s.logs.all(damaged))
				if name == "an instruction" {
					got = len(s.logs.all(unfit))
				}
				if got != want {
					t.Errorf("start %d: found %d warnings, wanted %d", n+1, got, want)
				}
				if err := s.Shutdown(context.Background()); err != nil {
					t.Fatal(err)
				}
				if n == 0 {
					each(t, cfg.Cache.Dir, damage)
				}
			}
		})
	}
	for name, remove := range map[string]func(string) error{
		"gone": os.RemoveAll,
		"a file in its place": func(dir string) error {
			return errors.Join(os.RemoveAll(dir),
				os.WriteFile(dir, nil, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := configuration(config.Plugin{Module: "testdata/echo.wasm"})
			cfg.Cache.Dir = filepath.Join(t.TempDir(), "cache")
			s := serve(t, cfg)
			if err := remove(cfg.Cache.Dir); err != nil {
				t.Fatal(err)
			}
			if _, err := s.LoadPlugin(context.Background(), "more",
				config.Plugin{Module: "testdata/counter.wasm"}); err != nil {
				t.Fatal(err)
			}
			if name != "gone" {
				s.logs.await(t, "the cache of compiled modules can't be written: compiled without it", 1)
			}
			if _, err := s.UnloadPlugin(context.Background(), "more"); err != nil {
				t.Fatal(err)
			}
			echoes(t, s.addrs[0])
		})
	}
}

func removeUnless(file, name string) error {
	if filepath.Base(file) == name {
		return nil
	}
	return os.Remove(file)
}

func echoes(t *testing.T, addr string) {
	t.Helper()
	c := dial(t, addr)
	defer c.Close()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err := c.Read(b); err != nil || b[0] != 'x' {
		t.Errorf("found %q, %v", b, err)
	}
}
