package assets

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/abi"
)

var most = Limits{Files: 100, Bytes: 1 << 20} // never changed

func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		at := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func link(t testing.TB, dir, to, name string) {
	t.Helper()
	if err := os.Symlink(filepath.FromSlash(to), filepath.Join(dir, filepath.FromSlash(name))); err != nil {
		t.Skip(err) // Windows, without the right
	}
}

// take reads a folder.
func take(dir string, limits Limits) (*Set, error) {
	f, err := Open(limits)(dir)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return Parse(text)
}

func show(s *Set) string {
	var all []string
	for _, f := range s.Files() {
		all = append(all, f.Name+"="+string(f.Content))
	}
	return strings.Join(all, " ")
}

func TestTake(t *testing.T) {
	for _, c := range []struct {
		name   string
		files  map[string]string
		before func(t *testing.T, dir string)
		path   string // below the test's folder
		limits Limits // 0 = most
		want   string
		err    string // with / between folders
	}{
		{name: "empty", want: ""},
		{name: "sorted by bytes", files: map[string]string{"b": "2", "a/x": "1", "a-b": "3", "a.c": "4", "a0": "5",
			"é": ""},
			want: "a-b=3 a.c=4 a/x=1 a0=5 b=2 é="},
		{name: "hidden, and what editors leave", files: map[string]string{".git/x": "", ".a": "", "a~": "", "#a#": "",
			"b~/x": "", ".well-known/acme": "1", "#": "2", "a#": "3"}, want: "#=2 .well-known/acme=1 a#=3"},
		{name: "links that stay inside", files: map[string]string{"a": "1", "d/b": "2"},
			before: func(t *testing.T, dir string) {
				link(t, dir, "a", "l")
				link(t, dir, "d", "m")
				link(t, dir, "../a", "d/n")
			}, want: "a=1 d/b=2 d/n=1 l=1 m/b=2 m/n=1"},
		{name: "a ConfigMap", files: map[string]string{"..2026/a": "1", "..2026/d/b": "2"},
			before: func(t *testing.T, dir string) {
				link(t, dir, "..2026", "..data")
				link(t, dir, "..data/a", "a")
				link(t, dir, "..data/d", "d")
			}, want: "a=1 d/b=2"},
		{name: "by way of a link", files: map[string]string{"v1/a": "1"}, path: "now",
			before: func(t *testing.T, dir string) { link(t, dir, "v1", "now") }, want: "a=1"},
		{name: "a link that leads out", files: map[string]string{"a": "1"},
			before: func(t *testing.T, dir string) { link(t, dir, "../..", "l") },
			err:    "/l: found a symbolic link that leads out of the folder or nowhere"},
		{name: "a link from the root on", files: map[string]string{"a": "1"},
			before: func(t *testing.T, dir string) { link(t, dir, filepath.Join(dir, "a"), "l") },
			err:    "/l: found a symbolic link that leads out of the folder or nowhere"},
		{name: "a link that leads nowhere", before: func(t *testing.T, dir string) { link(t, dir, "none", "l") },
			err: "/l: found a symbolic link that leads out of the folder or nowhere"},
		{name: "a circle", files: map[string]string{"d/a": "1"},
			before: func(t *testing.T, dir string) { link(t, dir, "..", "d/up") },
			err:    "/d/up: found a symbolic link to a folder that it is in"},
		{name: "a file", files: map[string]string{"a": "1"}, path: "a", err: "/a: found a file, wanted a folder"},
		{name: "nothing", path: "none", err: "no such file"},
		{name: "bytes", files: map[string]string{"a": "12345", "b": "12345"}, limits: Limits{2, 16},
			want: "a=12345 b=12345"},
		{name: "too many bytes", files: map[string]string{"a": "12345", "b": "123456"}, limits: Limits{2, 16},
			err: "/b: found 17 bytes with this file of 6, wanted at most 16: limits.assets"},
		{name: "files", files: map[string]string{"d/a": "1", "d/b": "2"}, limits: Limits{3, 100}, want: "d/a=1 d/b=2"},
		{name: "too many files", files: map[string]string{"d/a": "", "d/b": ""}, limits: Limits{2, 100},
			err: ": found more than 2 files and folders, wanted at most limits.asset_files"},
		{name: "a long name",
			files: map[string]string{strings.Repeat(strings.Repeat("d", 199)+"/", 5) + strings.Repeat("x", 24): ""},
			want:  strings.Repeat(strings.Repeat("d", 199)+"/", 5) + strings.Repeat("x", 24) + "="},
		{name: "a name that is too long",
			files: map[string]string{strings.Repeat(strings.Repeat("d", 199)+"/", 5) + strings.Repeat("x", 25): ""},
			err:   fmt.Sprintf("found a name of %d bytes, wanted at most %d", abi.MaxAssetName+1, abi.MaxAssetName)},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, c.files)
			if c.before != nil {
				c.before(t, dir)
			}
			if c.limits == (Limits{}) {
				c.limits = most
			}
			s, err := take(filepath.Join(dir, c.path), c.limits)
			if c.err != "" {
				if err == nil || !strings.Contains(filepath.ToSlash(err.Error()), c.err) {
					t.Fatalf("found %v, %v, wanted %q", s, err, c.err)
				}
				return
			}
			if err != nil || show(s) != c.want {
				t.Fatalf("found %s, %v, wanted %s", show(s), err, c.want)
			}
			again, err := Parse(bytes.Clone(s.Text()))
			if err != nil || again.Sum() != s.Sum() || show(again) != c.want {
				t.Errorf("its text gives %s, %v", show(again), err)
			}
		})
	}
}

// TestOddFiles: what is no file, can't be read, or has no name in UTF-8, is told.
func TestOddFiles(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("file systems of others have other rules")
	}
	dir := t.TempDir()
	write(t, dir, map[string]string{"a\xff": ""})
	if _, err := take(dir, most); err == nil ||
		!strings.Contains(err.Error(), `"a\xff": found a name that is no UTF-8`) {
		t.Errorf("found %v, wanted that it is no UTF-8", err)
	}
	dir = t.TempDir()
	write(t, dir, map[string]string{"a": "1"})
	if err := os.Chmod(filepath.Join(dir, "a"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := take(dir, most); os.Getuid() != 0 &&
		(err == nil || !strings.Contains(err.Error(), "/a: permission denied")) {
		t.Errorf("found %v, wanted that it can't be read", err)
	}
	if _, err := take("/dev", most); err == nil {
		t.Error("found no error of a folder of devices")
	}
}

// TestChanging: a folder that changes while it is read is not taken half.
func TestChanging(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(dir string) error
	}{
		{"grows", func(dir string) error { return os.WriteFile(filepath.Join(dir, "a"), []byte("longer"), 0o666) }},
		{"shrinks", func(dir string) error { return os.Truncate(filepath.Join(dir, "z"), 1) }},
		{"goes", func(dir string) error { return os.Remove(filepath.Join(dir, "z")) }},
		{"folder goes", func(dir string) error { return os.RemoveAll(filepath.Join(dir, "y")) }},
		{"comes", func(dir string) error { return os.WriteFile(filepath.Join(dir, "new"), nil, 0o666) }},
		{"is replaced", func(dir string) error {
			return errors.Join(os.WriteFile(filepath.Join(dir, ".t"), []byte("1234"), 0o666),
				os.Rename(filepath.Join(dir, ".t"), filepath.Join(dir, "a")))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, map[string]string{"a": "1234", "y/b": "1234", "z": "1234"})
			f, err := Open(most)(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			var text []byte
			// a is read
			for one := make([]byte, 1); !bytes.HasSuffix(text, []byte("1234")); text = append(text, one...) {
				if _, err := f.Read(one); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.change(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(f); !errors.Is(err, ErrChanging) {
				t.Errorf("found %v, wanted %v", err, ErrChanging)
			}
		})
	}
}

func TestNone(t *testing.T) {
	var s *Set
	if s.Files() != nil || s.Sum() != "" {
		t.Errorf("found %v %q of no folder", s.Files(), s.Sum())
	}
	if f, err := Open(most)(t.TempDir()); err != nil {
		t.Error(err)
	} else if info, err := f.Stat(); err != nil || !info.IsDir() || f.Close() != nil {
		t.Errorf("found %v, %v", info, err)
	}
}

func TestWays(t *testing.T) {
	dir := t.TempDir()
	if path, err := filepath.EvalSymlinks(dir); err == nil {
		dir = path
	}
	write(t, dir, map[string]string{"a": "", "d/e/b": "", ".git/x": "", "..1/c": ""})
	link(t, dir, "..1", "l")
	link(t, dir, "..", "d/up")
	folders, links, err := Ways(dir, 10)
	below := func(list []string) string {
		for n, path := range list {
			list[n] = filepath.ToSlash(strings.TrimPrefix(path, dir))
		}
		return strings.Join(list, " ")
	}
	if f, l := below(folders), below(links); err != nil || f != " /d /d/e /..1" || l != "/d/up /l" {
		t.Errorf("found %q, %q, %v", f, l, err)
	}
	if _, _, err := Ways(dir, 3); err == nil || !strings.Contains(err.Error(), "more than 3") {
		t.Errorf("found %v, wanted that they are too many", err)
	}
	if f, l, err := Ways(filepath.Join(dir, "none"), 3); f != nil || l != nil || err != nil {
		t.Errorf("found %v, %v, %v of no folder", f, l, err)
	}
}

// FuzzParse reads what a copy on disk may have become.
func FuzzParse(f *testing.F) {
	f.Add([]byte(magic))
	f.Add(append(appendHead(append(appendHead([]byte(magic), "a", 3), "123"...), "b/c", 1), '4'))
	f.Add(appendHead([]byte(magic), "a", 1<<62))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		again, size := []byte(magic), 0
		for _, file := range s.Files() {
			if !fs.ValidPath(file.Name) { // only Open makes names, of what the system has
				return
			}
			again = append(appendHead(again, file.Name, int64(len(file.Content))), file.Content...)
			size += len(file.Content)
		}
		if size > len(text) || s.Sum() == "" || len(again) > len(text) {
			t.Errorf("found %d bytes of files in %d", size, len(text))
		}
	})
}
