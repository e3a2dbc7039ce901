package wirehost

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"path"
	"slices"
	"sort"
	"strings"
	"time"
)

// Assets are the files of the folder that the plugin's configuration names as assets, as a
// file system: what they were when this version was loaded, so nothing in it ever changes.
// Where the configuration names none it is empty. Everything works wherever Reactor.Log
// does, in the module's start too. Files can be read at any offset (io.ReaderAt, io.Seeker):
// a large one can go out piece by piece, as its receiver takes it, by a FileSender.
type Assets struct{ host host }

var _ interface {
	fs.ReadDirFS
	fs.ReadFileFS
	fs.StatFS
} = Assets{}

// Assets are the plugin's.
func (r *Reactor) Assets() Assets { return Assets{r.guest.host} }

// Open opens a file or a folder. The error is a *fs.PathError.
func (a Assets) Open(name string) (fs.File, error) {
	info, err := a.find("open", name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return &assetFile{io.NewSectionReader(info, 0, info.Size()), info}, nil
	}
	list, err := a.ReadDir(name)
	return &assetFolder{info, list}, err
}

// ReadFile reads all of a file.
func (a Assets) ReadFile(name string) ([]byte, error) {
	info, err := a.find("read", name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errFolder}
	}
	b := make([]byte, info.Size())
	n, err := info.ReadAt(b, 0)
	if err == io.EOF {
		err = nil
	}
	return b[:n], err
}

// Stat tells a file's size. There is no date: Info.ModTime is zero.
func (a Assets) Stat(name string) (fs.FileInfo, error) { return a.find("stat", name) }

// ReadDir lists a folder, sorted by name.
func (a Assets) ReadDir(name string) ([]fs.DirEntry, error) {
	info, err := a.find("readdir", name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.New("not a folder")}
	}
	below := ""
	if name != "." {
		below = name + "/"
	}
	var list []fs.DirEntry
	for n := a.search(below); n < a.count(); {
		rest, ok := strings.CutPrefix(a.name(n), below)
		if !ok {
			break
		}
		first, _, isFolder := strings.Cut(rest, "/")
		if !isFolder {
			list = append(list, a.file(n, first))
			n++
			continue
		}
		list = append(list, assetInfo{name: first, number: -1})
		n = a.search(below + first + string('/'+1)) // behind all that is in it
	}
	slices.SortFunc(list, func(x, y fs.DirEntry) int { return strings.Compare(x.Name(), y.Name()) })
	return list, nil
}

var errFolder = errors.New("is a folder") // never changed

func (a Assets) count() int { return max(0, int(a.host.AssetCount())) }

func (a Assets) name(n int) string {
	b, err := grow(128, func(buf []byte) int32 { return a.host.AssetName(int32(n), buf) })
	if err != nil {
		return "" // can't be: n is below count
	}
	return string(b)
}

// search finds the first file whose name is not before name.
func (a Assets) search(name string) int {
	return sort.Search(a.count(), func(n int) bool { return a.name(n) >= name })
}

func (a Assets) file(n int, base string) assetInfo {
	return assetInfo{a.host, base, int32(n), int64(a.host.AssetSize(int32(n)))}
}

// find finds a file or a folder, for an error's op.
func (a Assets) find(op, name string) (assetInfo, error) {
	if !fs.ValidPath(name) {
		return assetInfo{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	if name == "." {
		return assetInfo{name: name, number: -1}, nil
	}
	if n := a.search(name); n < a.count() && a.name(n) == name {
		return a.file(n, path.Base(name)), nil
	}
	if n := a.search(name + "/"); n < a.count() && strings.HasPrefix(a.name(n), name+"/") {
		return assetInfo{name: path.Base(name), number: -1}, nil
	}
	return assetInfo{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

// assetInfo is a file, or with number -1 a folder, which is there by the files in it.
type assetInfo struct {
	host   host
	name   string // its last part
	number int32
	size   int64
}

func (i assetInfo) Name() string               { return i.name }
func (i assetInfo) Size() int64                { return i.size }
func (i assetInfo) ModTime() (none time.Time)  { return none }
func (i assetInfo) IsDir() bool                { return i.number < 0 }
func (i assetInfo) Sys() any                   { return nil }
func (i assetInfo) Type() fs.FileMode          { return i.Mode().Type() }
func (i assetInfo) Info() (fs.FileInfo, error) { return i, nil }

func (i assetInfo) Mode() fs.FileMode {
	if i.IsDir() {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

// ReadAt reads from an offset on, of a file.
func (i assetInfo) ReadAt(p []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, fs.ErrInvalid
	}
	n := i.host.AssetRead(i.number, int32(min(offset, math.MaxInt32)), p)
	switch {
	case n < 0:
		return 0, Status(n)
	case int(n) < len(p):
		return int(n), io.EOF
	}
	return int(n), nil
}

// assetFile is an open file.
type assetFile struct {
	*io.SectionReader
	info assetInfo
}

func (f *assetFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *assetFile) Close() error               { return nil }

// assetFolder is an open folder.
type assetFolder struct {
	info assetInfo
	rest []fs.DirEntry // not listed yet
}

func (f *assetFolder) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *assetFolder) Close() error               { return nil }

func (f *assetFolder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: f.info.name, Err: errFolder}
}

func (f *assetFolder) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 || n > len(f.rest) {
		if n > 0 && len(f.rest) == 0 {
			return nil, io.EOF
		}
		n = len(f.rest)
	}
	list := f.rest[:n:n]
	f.rest = f.rest[n:]
	return list, nil
}
