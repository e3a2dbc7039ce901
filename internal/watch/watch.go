// Package watch tells when the content of files has changed, as editors,
// compilers and deployments change them: written in place, renamed over,
// deleted and created again, or reached through a symbolic link that is swapped.
//
// It watches folders with fsnotify, never the files themselves: a file that is
// replaced is another file. On Linux every folder on the way is watched, so that any
// may be renamed, removed, made again or mounted over. It looks at content, never at dates alone, and it
// looks twice, so that a file that is being written is left to its writer.
package watch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/internal/assets"
	"github.com/wirehost/wirehost/internal/bounded"
)

// Options are what a Watcher is given. The zero value of all but Changed is
// safe.
type Options struct {
	// Changed is told the name of a file whose content has changed, and is
	// readable and at rest. Each call has a goroutine of its own, with never two
	// calls for one name at a time. False: it could not be dealt with now, and
	// Changed is called again in a while.
	Changed func(name string) (done bool)
	// Logger gets what fsnotify complains of; nil = none.
	Logger hclog.Logger
	// Quiet is the time without a change after which a file is at rest;
	// 0 = DefaultQuiet.
	Quiet time.Duration
	// AfterFunc runs fn in a goroutine of its own after d, unless stop is called
	// before; nil = time.AfterFunc.
	AfterFunc func(d time.Duration, fn func()) (stop func() bool)
}

// DefaultQuiet is longer than a build tool pauses between two writes of a file,
// and leaves a small module time to be active 100 ms after it was saved. A tool
// that pauses for longer has half a module refused, and the whole one taken.
const DefaultQuiet = 60 * time.Millisecond

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.Quiet <= 0 {
		o.Quiet = DefaultQuiet
	}
	if o.AfterFunc == nil {
		o.AfterFunc = func(d time.Duration, fn func()) func() bool { return time.AfterFunc(d, fn).Stop }
	}
	return o
}

// File is what is watched.
type File struct {
	Path string
	// Folder has the path be a folder, which is watched with all files and folders in it but
	// those that are left out (package assets). It bounds them; nil = the path is a file.
	Folder *assets.Limits
	// SHA256 of the content that is known already, of a folder its assets.Set's sum; "" = what
	// is there when the file is added. It counts only for a path that was not watched before.
	SHA256 string
}

// Watcher watches files. Its methods may be called from any goroutine.
type Watcher struct {
	o      Options
	fs     *fsnotify.Watcher
	set    chan setting
	fired  chan alarm
	done   chan result
	mounts chan struct{} // gets one when something was mounted or unmounted
	ending chan struct{}
	ended  chan struct{}
	looked chan seen
	calls  sync.WaitGroup  // of Changed
	looks  sync.WaitGroup  // at files, and at mounts
	ctx    context.Context // of looks; done when Close begins
	cancel context.CancelFunc
	reader bounded.Reader

	closing sync.Once
	slow    time.Duration

	// The run goroutine's own:
	files   map[string]*file
	folders map[string]os.FileInfo // that are watched
}

type setting struct {
	files map[string]File
	err   chan error
}

// alarm is a timer that has run out: the nth of its file.
type alarm struct {
	file *file
	nth  int
}

type result struct {
	file *file
	ok   bool
}

var ( // never changed
	// ErrClosed is Set's, after Close.
	ErrClosed = errors.New("watch: closed")
	// ErrSlow says that a file system does not answer.
	ErrSlow = errors.New("watch: found a file system that does not answer, wanted to see where files are")
)

// slow is how long the watcher's caller waits for a file system: longer than reads
// of some files that are given up, for which the watcher does not wait.
const slow = 10 * time.Second

// New starts a Watcher that watches nothing yet. It must be closed.
func New(o Options) (*Watcher, error) {
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	w := &Watcher{
		o: o.withDefaults(), fs: fs, slow: slow, files: map[string]*file{}, folders: map[string]os.FileInfo{},
		set: make(chan setting), fired: make(chan alarm), done: make(chan result), looked: make(chan seen),
		mounts: make(chan struct{}),
		ending: make(chan struct{}), ended: make(chan struct{}),
	}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.watchMounts()
	go w.run()
	return w, nil
}

// Set replaces the files that are watched, by name. What is watched already
// under the same name and path goes on as it was. The error joins what can't be
// watched; the rest is. Where a file system does not answer, it is ErrSlow:
// they may be watched later.
func (w *Watcher) Set(files map[string]File) error {
	s := setting{files: files, err: make(chan error, 1)}
	late := time.NewTimer(w.slow)
	defer late.Stop()
	select {
	case w.set <- s:
	case <-w.ended:
		return ErrClosed
	case <-late.C:
		return ErrSlow
	}
	select {
	case err := <-s.err:
		return err
	case <-late.C:
		return ErrSlow
	}
}

// Close ends the watch, and waits for the calls of Changed that are under way. It
// does not wait for a file system that does not answer: that is ErrSlow.
func (w *Watcher) Close() error {
	w.closing.Do(func() { w.cancel(); close(w.ending) })
	late := time.NewTimer(w.slow)
	defer late.Stop()
	select {
	case <-w.ended:
	case <-late.C:
		return ErrSlow
	}
	w.looks.Wait()
	w.calls.Wait()
	return w.fs.Close()
}

// run owns the files: all that happens to them happens here.
func (w *Watcher) run() {
	defer close(w.ended)
	defer func() {
		for _, f := range w.files {
			f.rest()
		}
	}()
	for {
		select {
		case <-w.ending:
			return
		case s := <-w.set:
			s.err <- w.replace(s.files)
		case e := <-w.fs.Events:
			w.event(e)
		case err := <-w.fs.Errors:
			w.complaint(err)
		case <-w.mounts:
			w.remounted()
		case a := <-w.fired:
			if w.isLast(a) {
				if a.file.folder != nil { // folders may have come, or gone
					w.refollow()
				}
				w.look(a)
			}
		case s := <-w.looked:
			if w.isLast(s.alarm) { // otherwise something has happened since
				w.saw(s.file, s.look, s.err)
			}
		case r := <-w.done:
			w.returned(r)
		}
	}
}

// isLast tells whether nothing has happened to a file since.
func (w *Watcher) isLast(a alarm) bool {
	return w.files[a.file.name] == a.file && a.file.armed == a.nth
}

// replace is Set.
func (w *Watcher) replace(files map[string]File) error {
	for name, f := range w.files {
		if files[name].Path != f.path || !sameLimits(files[name].Folder, f.folder) {
			f.rest()
			delete(w.files, name)
		}
	}
	var added []*file
	for name, want := range files {
		if w.files[name] == nil {
			f := &file{name: name, path: want.Path, folder: want.Folder, known: want.SHA256}
			f.at, _ = os.Stat(f.path) // nil where it is not there
			w.files[name] = f
			added = append(added, f)
		}
	}
	err := w.follow()
	for _, f := range added {
		if f.known == "" {
			now, _ := w.lookAt(w.ctx, f) // what can't be read is unlike all that will be there
			f.known = now.sum
			continue
		}
		w.arm(f) // it may have changed since it was read
	}
	return err
}

func sameLimits(a, b *assets.Limits) bool { return a == b || a != nil && b != nil && *a == *b }

// complaint is what fsnotify reports. After an overflow events are missing, so
// every file is looked at.
func (w *Watcher) complaint(err error) {
	if !errors.Is(err, fsnotify.ErrEventOverflow) {
		w.o.Logger.Warn("watching files", "err", err)
	}
	w.refollow()
	for _, f := range w.files {
		w.arm(f)
	}
}

// arm has f looked at when it has been quiet. Half of the time lies before the
// first look and half between two.
func (w *Watcher) arm(f *file) {
	f.rest()
	f.armed++
	a := alarm{f, f.armed}
	f.stop = w.o.AfterFunc(w.o.Quiet/2, func() {
		select {
		case w.fired <- a:
		case <-w.ended:
		}
	})
}
