package assets

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wirehost/wirehost/internal/bounded"
)

// ErrChanging says that a folder changed while it was read.
var ErrChanging = errors.New("found it changing while it was read, wanted it at rest")

// Open gives a function that opens a folder as a file of its text, for internal/bounded:
// what is in it is read piece by piece, by the goroutine that reads the text. Links are
// followed where they stay below the folder, whatever changes meanwhile: it is opened once.
// At the end all of it is looked at again, and what has changed is ErrChanging.
func Open(limits Limits) func(dir string) (fs.File, error) {
	return func(dir string) (fs.File, error) {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			err = &fs.PathError{Op: "read", Path: dir,
				Err: fmt.Errorf("found %s, wanted a folder", kindOf(info.Mode()))}
		}
		if err != nil {
			return nil, err
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, err
		}
		f := &folder{dir: dir, root: root, limits: limits, info: info, head: []byte(magic)}
		if err := f.enter("", info); err != nil {
			return nil, errors.Join(err, root.Close())
		}
		return f, nil
	}
}

// folder is a folder that is being read. One goroutine has it.
type folder struct {
	dir    string
	root   *os.Root
	limits Limits
	info   fs.FileInfo

	inside []level // the folders on the way to where it is, the outermost first
	seen   []entry // all that was taken
	count  int     // of files and folders below the root
	bytes  int64   // of the text

	head []byte   // that is to be given next
	file *os.File // whose content is; nil = none
	name string   // of that
	left int64    // of its bytes
}

// level is a folder that is being gone through.
type level struct {
	path string // below the root; "" = the root
	info fs.FileInfo
	rest []entry // in it, sorted
}

// entry is a file or a folder.
type entry struct {
	path string
	info fs.FileInfo // of what a link leads to
}

// sortKey makes the order in which folders are gone through that of all their files' paths.
func (e entry) sortKey() string {
	if e.info.IsDir() {
		return e.path + "/"
	}
	return e.path
}

// Stat is the folder's.
func (f *folder) Stat() (fs.FileInfo, error) { return f.info, nil }

// Close ends the reading.
func (f *folder) Close() error {
	if f.file != nil {
		_ = f.file.Close() // it was only read
	}
	return f.root.Close()
}

// Read reads on in the text.
func (f *folder) Read(b []byte) (int, error) {
	for {
		switch {
		case len(f.head) > 0:
			n := copy(b, f.head)
			f.head = f.head[n:]
			return n, nil
		case f.file != nil:
			if n, err := f.readFile(b); n > 0 || err != nil {
				return n, err
			}
		default:
			if err := f.next(); err != nil {
				return 0, err
			}
		}
	}
}

// readFile reads on in the file that is being read. 0 and nil say that it was the last of it.
func (f *folder) readFile(b []byte) (int, error) {
	if f.left == 0 {
		err := f.file.Close()
		f.file = nil
		return 0, err
	}
	n, err := f.file.Read(b[:min(int64(len(b)), f.left)])
	f.left -= int64(n)
	if err == io.EOF && n == 0 {
		return 0, f.bad(f.name, ErrChanging)
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// next goes on to the next file; io.EOF says that there is none.
func (f *folder) next() error {
	if len(f.inside) == 0 {
		return f.lookAgain()
	}
	at := &f.inside[len(f.inside)-1]
	if len(at.rest) == 0 {
		f.inside = f.inside[:len(f.inside)-1]
		return nil
	}
	e := at.rest[0]
	at.rest = at.rest[1:]
	if e.info.IsDir() {
		return f.enter(e.path, e.info)
	}
	return f.begin(e)
}

// begin begins a file.
func (f *folder) begin(e entry) error {
	head := appendHead(nil, e.path, e.info.Size())
	if f.bytes += int64(len(head)) + e.info.Size(); f.bytes > f.limits.Bytes {
		return f.bad(e.path, fmt.Errorf("found %d bytes with this file of %d, wanted at most %d: limits.assets",
			f.bytes,
			e.info.Size(), f.limits.Bytes))
	}
	file, err := f.open(e)
	if err != nil {
		return err
	}
	f.head, f.file, f.name, f.left = head, file, e.path, e.info.Size()
	return nil
}

// open opens a file or a folder that was found. It may have become another since, or a pipe.
func (f *folder) open(e entry) (*os.File, error) {
	file, err := f.root.OpenFile(path.Join(".", e.path), os.O_RDONLY|bounded.Nonblock, 0)
	if err != nil {
		return nil, f.bad(e.path, cause(err))
	}
	if info, err := file.Stat(); err != nil || !same(info, e.info) {
		return nil, errors.Join(f.bad(e.path, ErrChanging), file.Close())
	}
	return file, nil
}

// enter reads a folder's names.
func (f *folder) enter(dir string, info fs.FileInfo) error {
	for _, l := range f.inside {
		if os.SameFile(l.info, info) {
			return f.bad(dir, errors.New("found a symbolic link to a folder that it is in, wanted no circle"))
		}
	}
	open, err := f.open(entry{dir, info})
	if err != nil {
		return err
	}
	defer open.Close() // it was only read
	at := level{path: dir, info: info}
	f.seen = append(f.seen, entry{dir, info})
	for {
		list, err := open.ReadDir(256)
		for _, e := range list {
			if LeftOut(e.Name()) {
				continue
			}
			found, err := f.find(path.Join(dir, e.Name()), e.Type())
			if err != nil {
				return err
			}
			at.rest = append(at.rest, found)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return f.bad(dir, cause(err))
		}
	}
	slices.SortFunc(at.rest, func(a, b entry) int { return strings.Compare(a.sortKey(), b.sortKey()) })
	f.inside = append(f.inside, at)
	return nil
}

// find looks at a file or a folder, and counts it.
func (f *folder) find(name string, kind fs.FileMode) (entry, error) {
	if err := checkName(name); err != nil {
		return entry{}, fmt.Errorf("%s: %w", f.dir, err)
	}
	info, err := f.root.Stat(name)
	switch {
	case err != nil && kind&fs.ModeSymlink != 0:
		return entry{}, f.bad(name, errors.New("found a symbolic link that leads out of the folder or nowhere, "+
			"wanted one to what is in it"))
	case err != nil:
		return entry{}, f.bad(name, cause(err))
	case !info.IsDir() && !info.Mode().IsRegular():
		return entry{}, f.bad(name, fmt.Errorf("found %s, wanted files and folders", kindOf(info.Mode())))
	}
	if f.count++; f.count > f.limits.Files {
		return entry{}, fmt.Errorf("%s: found more than %d files and folders, wanted at most limits.asset_files", f.dir,
			f.limits.Files)
	}
	e := entry{name, info}
	if !info.IsDir() {
		f.seen = append(f.seen, e)
	}
	return e, nil
}

// lookAgain looks whether all is as it was when it was read. Else it is ErrChanging, and
// io.EOF where it is.
func (f *folder) lookAgain() error {
	for _, e := range f.seen {
		if info, err := f.root.Stat(path.Join(".", e.path)); err != nil || !same(info, e.info) {
			return f.bad(e.path, ErrChanging)
		}
	}
	return io.EOF
}

// same tells whether two looks have found the same, as far as size and date tell.
func same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && a.Mode() == b.Mode()
}

// bad is an error about what is below the folder.
func (f *folder) bad(name string, err error) error {
	return fmt.Errorf("%s: %w", filepath.Join(f.dir, filepath.FromSlash(name)), err)
}

// cause is what the system has said of what is below the folder, without the path, which
// is named otherwise.
func cause(err error) error {
	if errors.Is(err, fs.ErrNotExist) { // its folder has just named it
		return ErrChanging
	}
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}

func kindOf(m fs.FileMode) string {
	switch {
	case m.IsRegular():
		return "a file"
	case m&fs.ModeNamedPipe != 0:
		return "a pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	}
	return "a device"
}
