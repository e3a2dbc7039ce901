package watch

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"time"
)

// file is one that is watched.
type file struct {
	name  string
	path  string
	known string      // the hash of the content that Changed was told of last
	seen  *look       // the last look, where the file was not at rest yet
	stop  func() bool // the timer's; nil = none runs
	armed int         // how often the timer was started
	chain []link      // how path leads to the file

	calling bool // Changed is running
	again   bool // look once more when it has returned
}

// rest stops f's timer.
func (f *file) rest() {
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

func lookAt(path string) (look, error) {
	info, err := os.Stat(path)
	if err != nil {
		return look{}, err
	}
	if !info.Mode().IsRegular() { // to open a FIFO would wait for its writer
		return look{}, fmt.Errorf("%s: found %s, wanted a file", path, info.Mode().Type())
	}
	s, err := sum(path)
	return look{info.Size(), info.ModTime(), s}, err
}

// sum is the SHA-256 of a file, in hexadecimal.
func sum(path string) (string, error) {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() // it was only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// look decides whether a file is at rest: it was the same at two looks. One
// that is not there, or can't be read, waits for the next event.
func (w *Watcher) look(f *file) {
	f.stop = nil
	now, err := lookAt(f.path)
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
