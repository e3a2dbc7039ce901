package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/fsnotify/fsnotify"

	"github.com/wirehost/wirehost/internal/assets"
)

// link is a name in a folder that decides what a path leads to: a symbolic link or a
// folder on the way, the file at its end, or the first name that is not there.
type link struct {
	folder, name string
	plain        bool // it is a folder: watched where that can be
	all          bool // every name in the folder that is not left out
}

// watchAncestors tells whether plain folders on the way are watched too. kqueue would
// open every file beside them, and Windows keep them from being renamed: there only the
// last folder before the file is noticed when it goes.
const watchAncestors = runtime.GOOS == "linux"

// maxLinks is how many symbolic links a path may lead through, as on Linux
// (path_resolution(7)).
const maxLinks = 40

// chain resolves a path as the kernel does and tells all the names that it
// depends on.
func chain(path string) ([]link, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	var links []link
	volume := filepath.VolumeName(abs)
	at := volume + string(filepath.Separator)
	rest := parts(abs[len(volume):])
	for followed := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		if name == ".." {
			at = filepath.Dir(at)
			continue
		}
		full := filepath.Join(at, name)
		info, err := os.Lstat(full)
		switch {
		case err != nil: // not there: its folder will tell when it comes
			return append(links, link{folder: at, name: name}), nil
		case info.Mode()&fs.ModeSymlink != 0:
			links = append(links, link{folder: at, name: name})
			if followed++; followed > maxLinks {
				return links, fmt.Errorf("%s: found more than %d symbolic links", path, maxLinks)
			}
			to, err := os.Readlink(full)
			if err != nil {
				return links, nil // it has just gone, and its folder tells
			}
			if filepath.IsAbs(to) {
				at = filepath.VolumeName(to) + string(filepath.Separator)
				to = to[len(filepath.VolumeName(to)):]
			}
			rest = append(parts(to), rest...)
		case len(rest) == 0:
			links = append(links, link{folder: at, name: name})
		default:
			if watchAncestors {
				links = append(links, link{folder: at, name: name, plain: true})
			}
			at = full
		}
	}
	return links, nil
}

// parts are a path's names.
func parts(path string) []string {
	var names []string
	for name := range strings.SplitSeq(path, string(filepath.Separator)) {
		if name != "" && name != "." {
			names = append(names, name)
		}
	}
	return names
}

// follow resolves every file's path, and watches the folders on the way, and
// no others.
func (w *Watcher) follow() error {
	var errs []error
	wanted := map[string]bool{}
	for _, f := range w.files {
		errs = append(errs, w.followOne(f, wanted))
	}
	for folder := range w.folders {
		if !wanted[folder] {
			errs = append(errs, w.remove(folder))
		}
	}
	return errors.Join(errs...)
}

// followOne resolves f's path until it leads the same way before and after its
// folders are watched: what changes later, they tell.
func (w *Watcher) followOne(f *file, wanted map[string]bool) error {
	for range maxLinks {
		links, err := f.links()
		if len(links) == 0 {
			return err
		}
		if slices.Equal(links, f.chain) && w.covers(links, wanted) {
			return err
		}
		f.chain = links
		for _, l := range links {
			wanted[l.folder] = true
			if err := w.add(l.folder); err != nil && !l.plain { // one that others may not list can't be watched
				return err
			}
		}
	}
	return fmt.Errorf("%s: found it changing all the time", f.path)
}

// links are the names that decide what f is.
func (f *file) links() ([]link, error) {
	links, err := chain(f.path)
	if err != nil || f.folder == nil {
		return links, err
	}
	folders, inside, err := assets.Ways(f.path, f.folder.Files)
	for _, path := range folders {
		links = append(links, link{folder: path, all: true})
	}
	for _, path := range inside {
		ways, bad := chain(path)
		links, err = append(links, ways...), errors.Join(err, bad)
	}
	return links, err
}

// concerns tells whether what happens to a name in a folder may concern what l leads to.
func (l link) concerns(folder, name string) bool {
	return l.folder == folder && (l.name == name || l.all && !assets.LeftOut(name))
}

// covers tells whether the folders of links are watched and wanted, and are still what
// lies under their names.
func (w *Watcher) covers(links []link, wanted map[string]bool) bool {
	for _, l := range links {
		have := w.folders[l.folder]
		if !wanted[l.folder] || have == nil && !l.plain {
			return false
		}
		if info, err := os.Stat(l.folder); err != nil || have != nil && !os.SameFile(have, info) {
			return false
		}
	}
	return true
}

// add watches a folder. One that is watched by that name and is another now is
// watched anew.
func (w *Watcher) add(folder string) error {
	info, err := os.Stat(folder)
	if err != nil {
		return nil // it has just gone: its own folder told, or will
	}
	if old := w.folders[folder]; old != nil {
		if os.SameFile(old, info) && w.watches(folder) {
			return nil
		}
		if err := w.remove(folder); err != nil {
			return err
		}
	}
	if err := w.fs.Add(folder); err != nil {
		return fmt.Errorf("can't watch the folder %s: %w", folder, err)
	}
	w.folders[folder] = info
	return nil
}

// watches tells whether fsnotify still does: it ends the watch of a folder that
// was deleted or renamed.
func (w *Watcher) watches(folder string) bool {
	for _, have := range w.fs.WatchList() {
		if have == folder {
			return true
		}
	}
	return false
}

func (w *Watcher) remove(folder string) error {
	delete(w.folders, folder)
	err := w.fs.Remove(folder)
	if errors.Is(err, syscall.EINVAL) {
		return nil // the system ended it with the folder (inotify_rm_watch(2)), and fsnotify has not heard yet
	}
	if err != nil && !errors.Is(err, fsnotify.ErrNonExistentWatch) {
		return fmt.Errorf("can't end the watch of %s: %w", folder, err)
	}
	return nil
}

// refollow is follow after something on the way has changed.
func (w *Watcher) refollow() {
	if err := w.follow(); err != nil {
		w.o.Logger.Warn("watching files", "err", err)
	}
}

// event has the files looked at that it may concern.
func (w *Watcher) event(e fsnotify.Event) {
	if e.Op == fsnotify.Chmod {
		return
	}
	folder, name := filepath.Dir(e.Name), filepath.Base(e.Name)
	_, gone := w.folders[e.Name] // an event of the watched folder itself
	if gone {
		if err := w.remove(e.Name); err != nil { // another may be there already, even with the same inode
			w.o.Logger.Warn("watching files", "err", err)
		}
	}
	var touched []*file
	moved := false // what a path leads through may have changed
	for _, f := range w.files {
		for _, l := range f.chain {
			if l.concerns(folder, name) || gone && l.folder == e.Name {
				touched = append(touched, f)
				// a folder that is watched with all in it is followed anew when it is looked at
				moved = moved || !l.all && (gone || e.Op&^(fsnotify.Write|fsnotify.Chmod) != 0)
				break
			}
		}
	}
	if moved {
		w.refollow()
	}
	for _, f := range touched {
		f.seen = nil
		w.arm(f)
	}
}

// remounted has the files looked at that something was mounted over, or unmounted from:
// no folder tells of that.
func (w *Watcher) remounted() {
	w.refollow()
	for _, f := range w.files {
		now, err := os.Stat(f.path)
		if err != nil {
			now = nil
		}
		if (now == nil) != (f.at == nil) || now != nil && !os.SameFile(now, f.at) {
			f.seen = nil
			w.arm(f)
		}
		f.at = now
	}
}
