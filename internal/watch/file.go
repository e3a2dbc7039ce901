package watch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"math"
	"time"

	"github.com/wirehost/wirehost/internal/assets"
	"github.com/wirehost/wirehost/internal/bounded"
)

// file is one that is watched.
type file struct {
	name   string
	path   string
	folder *assets.Limits // nil = it is a file
	known  string         // the hash of the content that Changed was told of last
	seen   *look          // the last look, where the file was not at rest yet
	stop   func() bool    // the timer's; nil = none runs
	armed  int            // how often the timer was started
	chain  []link         // how path leads to the file
	at     fs.FileInfo    // what lay there when a mount was noticed last, or it was added; nil = nothing

	cancel context.CancelFunc // of the look that is under way; nil = there was none

	calling bool // Changed is running
	again   bool // look once more when it has returned
}

// rest stops f's timer, and a look that is under way.
func (f *file) rest() {
	if f.cancel != nil {
		f.cancel()
		f.cancel = nil
	}
	if f.stop != nil {
		f.stop() // one that has run out already is not the last one any more, or finds the file gone
		f.stop = nil
	}
}

// look is what a file was at one time.
type look struct {
	size    int64
	written time.Time
	sum     string
}

// lookAt reads a file, but does not wait for ever for what it gives. A folder that nobody
// can take, as it is, is a look too: whoever wants it is to be told.
func (w *Watcher) lookAt(ctx context.Context, f *file) (look, error) {
	if f.folder == nil {
		return w.lookAtContent(ctx, f.path, nil)
	}
	l, err := w.lookAtContent(ctx, f.path, assets.Open(*f.folder))
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist), errors.Is(err, assets.ErrChanging),
		errors.Is(err, bounded.ErrGivenUp):
		return l, err
	}
	return look{sum: err.Error()}, nil
}

func (w *Watcher) lookAtContent(ctx context.Context, path string, open func(string) (fs.File, error)) (look, error) {
	return bounded.UseOpened(ctx, &w.reader, path, open, math.MaxInt64,
		func(info fs.FileInfo, content io.Reader) (look, error) {
			h := sha256.New()
			if _, err := io.Copy(h, content); err != nil {
				return look{}, err
			}
			return look{info.Size(), info.ModTime(), hex.EncodeToString(h.Sum(nil))}, nil
		})
}

// seen is what a look that an alarm had begun has found.
type seen struct {
	alarm
	look look
	err  error
}

// look looks at a file, in a goroutine of its own: it may take a while, and other
// files have events meanwhile. A look that is under way is over.
func (w *Watcher) look(a alarm) {
	f := a.file
	f.rest()
	ctx, cancel := context.WithCancel(w.ctx)
	f.cancel = cancel
	w.looks.Go(func() {
		defer cancel()
		now, err := w.lookAt(ctx, f)
		select {
		case w.looked <- seen{a, now, err}:
		case <-w.ended:
		}
	})
}

// saw decides whether a file is at rest: it was the same at two looks. One
// that is not there, or can't be read, waits for the next event.
func (w *Watcher) saw(f *file, now look, err error) {
	if err != nil {
		w.o.Logger.Debug("a watched file can't be read now", "file", f.path, "err", err)
		f.seen = nil
		return
	}
	if f.seen == nil || *f.seen != now {
		f.seen = &now
		w.arm(f)
		return
	}
	f.seen = nil
	if now.sum == f.known {
		return
	}
	if f.calling {
		f.again = true
		return
	}
	f.known = now.sum
	w.call(f)
}

// call tells of f's change.
func (w *Watcher) call(f *file) {
	f.calling = true
	w.calls.Go(func() {
		r := result{f, w.o.Changed(f.name)}
		select {
		case w.done <- r:
		case <-w.ended:
		}
	})
}

// returned takes what Changed has returned.
func (w *Watcher) returned(r result) {
	f := r.file
	f.calling = false
	if w.files[f.name] != f { // it is watched no more
		return
	}
	if !r.ok {
		f.known = "" // unlike every content
	}
	if f.again || !r.ok {
		f.again = false
		w.arm(f)
	}
}
