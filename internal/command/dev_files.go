package command

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/wirehost/wirehost/internal/bounded"
)

// tree tells which files of a project have changed. internal/watch follows files that
// are known; here new ones count, and what a build makes does not. One goroutine
// owns it.
type tree struct {
	dir     string
	watcher *fsnotify.Watcher
	reader  bounded.Reader
	known   map[string]mark
}

// mark is what a file was. Its content is looked at only where size or date have
// changed.
type mark struct {
	size    int64
	written time.Time
	sum     [sha256.Size]byte
}

// maxTree is how many files a project may have: more are a folder that is none.
const maxTree = 20000

// sources are the endings of files that people write: a build that is under way is
// ended when one changes. What else a build writes while it runs is taken for its
// own.
var sources = []string{ // never changed
	".go", ".mod", ".sum", ".c", ".h", ".cc", ".cpp", ".cxx", ".hpp", ".rs", ".toml", ".zig", ".zon", ".ts", ".js",
	".json", ".wat", ".yaml", ".yml", ".mk", ".s", ".sh", ".py", "akefile",
}

// products are endings of files that a build or an editor makes; they never count.
// never changed
var products = []string{".wasm", ".o", ".a", ".so", ".d", ".tmp", ".swp", ".swx", "~", "package-lock.json"}

// productFolders are names of folders that builds and package tools fill.
var productFolders = []string{"node_modules", "target", "build", "dist", "zig-out"} // never changed

// newTree watches a folder and all below. The tree must be closed.
func newTree(dir string) (*tree, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watching %s: %w", dir, err)
	}
	t := &tree{dir: dir, watcher: w}
	if t.known, err = t.marks(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return t, nil
}

func (t *tree) close() {
	_ = t.watcher.Close() // it has nothing to lose
}

// concerns tells whether an event can be of a file that counts.
func (t *tree) concerns(e fsnotify.Event) bool {
	return e.Op != fsnotify.Chmod && !skipped(filepath.Base(e.Name))
}

func skipped(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "#") ||
		slices.ContainsFunc(products, func(end string) bool { return strings.HasSuffix(name, end) })
}

func source(name string) bool {
	return slices.ContainsFunc(sources, func(end string) bool { return strings.HasSuffix(name, end) })
}

// look gives the names of files that have changed, come or gone since the last
// look. While a build runs only sources count; the others keep their marks.
func (t *tree) look(building bool) (changed []string, err error) {
	now, err := t.marks()
	if err != nil {
		return nil, err
	}
	counts := func(file string) bool { return !building || source(file) }
	for file, m := range now {
		if old, there := t.known[file]; counts(file) && (!there || old.sum != m.sum) {
			changed = append(changed, t.short(file))
			t.known[file] = m
		}
	}
	for file := range t.known {
		if _, there := now[file]; counts(file) && !there {
			changed = append(changed, t.short(file))
			delete(t.known, file)
		}
	}
	slices.Sort(changed)
	return changed, nil
}

// adopt takes all that is not source as it is now: a build has ended, and it may
// be the build's.
func (t *tree) adopt() error {
	now, err := t.marks()
	if err != nil {
		return err
	}
	for file := range t.known {
		if _, there := now[file]; !there && !source(file) {
			delete(t.known, file)
		}
	}
	for file, m := range now {
		if !source(file) {
			t.known[file] = m
		}
	}
	return nil
}

// short is a file's name below the folder.
func (t *tree) short(file string) string {
	if s, err := filepath.Rel(t.dir, file); err == nil {
		return s
	}
	return file
}

// marks looks at every file, and watches folders that are not watched yet.
func (t *tree) marks() (map[string]mark, error) {
	now := map[string]mark{}
	err := filepath.WalkDir(t.dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && path != t.dir: // it went meanwhile
			return nil
		case err != nil:
			return err
		case e.IsDir() && path != t.dir && (skipped(e.Name()) || slices.Contains(productFolders, e.Name())):
			return fs.SkipDir
		case e.IsDir():
			if err := t.watcher.Add(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("watching %s: %w", path, err)
			}
			return nil
		case skipped(e.Name()):
			return nil
		case len(now) == maxTree:
			return fmt.Errorf("%s: found more than %d files, wanted a project's folder", t.dir, maxTree)
		}
		if m, ok := t.mark(path); ok {
			now[path] = m
		}
		return nil
	})
	return now, err
}

// mark looks at a file. ok is false where it is none, or can't be read now.
func (t *tree) mark(path string) (m mark, ok bool) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 != 0 && !source(path) { // a program, such as a test
		return m, false
	}
	m = mark{size: info.Size(), written: info.ModTime()}
	if old, there := t.known[path]; there && old.size == m.size && old.written.Equal(m.written) {
		return old, true
	}
	m.sum, err = bounded.Use(context.Background(), &t.reader, path, math.MaxInt64,
		func(_ fs.FileInfo, text io.Reader) (sum [sha256.Size]byte, err error) {
			h := sha256.New()
			_, err = io.Copy(h, text)
			return [sha256.Size]byte(h.Sum(nil)), err
		})
	return m, err == nil
}
