// Package watch tells when the content of files has changed, as editors,
// compilers and deployments change them: written in place, renamed over,
// deleted and created again, or reached through a symbolic link that is swapped.
//
// It watches folders with fsnotify, never the files themselves: a file that is
// replaced is another file. It looks at content, never at dates alone, and it
// looks twice, so that a file that is being written is left to its writer.
package watch

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/hashicorp/go-hclog"
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
	// SHA256 of the content that is known already; "" = what is there when the
	// file is added. It counts only for a path that was not watched before.
	SHA256 string
}

// Watcher watches files. Its methods may be called from any goroutine.
type Watcher struct {
	o      Options
	fs     *fsnotify.Watcher
	set    chan setting
	fired  chan alarm
	done   chan result
	ending chan struct{}
	ended  chan struct{}
	calls  sync.WaitGroup // of Changed

	closing sync.Once

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

// ErrClosed is Set's, after Close.
var ErrClosed = errors.New("watch: closed")

// New starts a Watcher that watches nothing yet. It must be closed.
func New(o Options) (*Watcher, error) {
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	w := &Watcher{
		o: o.withDefaults(), fs: fs, set: make(chan setting), fired: make(chan alarm), done: make(chan result),
		ending: make(chan struct{}), ended: make(chan struct{}), files: map[string]*file{}, folders: map[string]os.FileInfo{},
	}
	go w.run()
	return w, nil
}

// Set replaces the files that are watched, by name. What is watched already
// under the same name and path goes on as it was. The error joins what can't be
// watched; the rest is.
func (w *Watcher) Set(files map[string]File) error {
	s := setting{files: files, err: make(chan error, 1)}
	select {
	case w.set <- s:
		return <-s.err
	case <-w.ended:
		return ErrClosed
	}
}

// Close ends the watch, and waits for the calls of Changed that are under way.
func (w *Watcher) Close() error {
	w.closing.Do(func() { close(w.ending) })
	<-w.ended
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
		case a := <-w.fired:
			if w.files[a.file.name] == a.file && a.file.armed == a.nth {
				w.look(a.file)
			}
		case r := <-w.done:
			w.returned(r)
		}
	}
}

// replace is Set.
func (w *Watcher) replace(files map[string]File) error {
	for name, f := range w.files {
		if files[name].Path != f.path {
			f.rest()
			delete(w.files, name)
		}
	}
	var added []*file
	for name, want := range files {
		if w.files[name] == nil {
			f := &file{name: name, path: want.Path, known: want.SHA256}
			w.files[name] = f
			added = append(added, f)
		}
	}
	err := w.follow()
	for _, f := range added {
		if f.known == "" {
			f.known, _ = sum(f.path) // what can't be read is unlike all that will be there
			continue
		}
		w.arm(f) // it may have changed since it was read
	}
	return err
}

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
