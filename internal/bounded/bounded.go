// Package bounded reads files whose reads may take for ever: a regular file by
// its mode may be /proc/kmsg, or lie on a file server that has gone away. Such a
// read can't be ended from outside, but it can be given up.
package bounded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

const (
	// DefaultQuiet is how long a file may give no byte. A file server that starts
	// again takes longer; what needs the file then is to be tried again.
	DefaultQuiet = 5 * time.Second
	// DefaultWhole is how long all of a file may take, however steadily it comes.
	DefaultWhole = time.Minute
	// MaxText is a limit for files that people write, in bytes: configuration,
	// certificates. A system's bundle of authorities has a quarter of a megabyte.
	MaxText = 16 << 20

	// maxLeft is how many reads of one path may be left behind. Each may hold a
	// thread until the file answers, and at 10,000 threads Go ends the process.
	maxLeft = 8
	// looks is how often it is seen within Quiet whether bytes have come.
	looks = 10
)

var ( // never changed
	// ErrTooLong says that a file is longer than the limit.
	ErrTooLong = errors.New("found a file of more")
	// ErrGivenUp says that a file gave nothing, or not all, for too long.
	ErrGivenUp = errors.New("given up")
)

// Reader reads files, and counts the reads that were given up. The zero value is
// ready. It must not be copied. Any goroutine.
type Reader struct {
	Quiet time.Duration                      // 0 = DefaultQuiet
	Whole time.Duration                      // 0 = DefaultWhole
	Open  func(path string) (fs.File, error) // nil = OpenRegular; it may take for ever too

	mu   sync.Mutex
	left map[string]int // by path: reads that were given up and have not returned
}

// Read gives what the file at path holds. See Use.
func (r *Reader) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	return Use(ctx, r, path, limit, func(_ fs.FileInfo, content io.Reader) ([]byte, error) {
		return io.ReadAll(content)
	})
}

// Use has take read a file of at most limit bytes, and gives what take
// returns; more bytes are ErrTooLong. Where ctx is done, or the file gives no byte
// for Quiet while take asks for one, or take has not ended within Whole, the read is
// given up: take is left behind in its goroutine until the file answers, and its
// result is thrown away. So take must touch nothing but its arguments and its result.
func Use[T any](ctx context.Context, r *Reader, path string, limit int64,
	take func(fs.FileInfo, io.Reader) (T, error)) (T, error) {
	return UseOpened(ctx, r, path, nil, limit, take)
}

// UseOpened is Use of what open opens in place of Reader.Open; nil = that.
func UseOpened[T any](ctx context.Context, r *Reader, path string, open func(path string) (fs.File, error), limit int64,
	take func(fs.FileInfo, io.Reader) (T, error)) (T, error) {
	bad := func(err error) (none T, _ error) { return none, &fs.PathError{Op: "read", Path: path, Err: err} }
	if err := context.Cause(ctx); err != nil {
		return bad(err)
	}
	if n := r.leftOf(path); n >= maxLeft {
		return bad(fmt.Errorf("%w: found %d earlier reads of it that have not returned, wanted fewer", ErrGivenUp, n))
	}
	a := &attempt{r: r, path: path, opener: open, limit: limit, ended: make(chan struct{})}
	var value T
	var err error // both are the goroutine's, until a has ended
	go func() {
		defer a.end()
		var info fs.FileInfo
		if info, err = a.open(); err != nil {
			return
		}
		if info.Mode().IsRegular() && info.Size() > limit { // so it says, and may be read for long
			err = fmt.Errorf("%w than %d bytes", ErrTooLong, limit)
			return
		}
		value, err = take(info, a)
	}()
	if why := a.wait(ctx); why != nil {
		return bad(why)
	}
	if err != nil {
		return *new(T), err
	}
	return value, nil
}

// File opens a file, for the caller to read and close. Where ctx is done, or the file
// is not open within Quiet, that is given up; it is closed if it opens after all.
func (r *Reader) File(ctx context.Context, path string) (fs.File, error) {
	bad := func(err error) (fs.File, error) { return nil, &fs.PathError{Op: "open", Path: path, Err: err} }
	if err := context.Cause(ctx); err != nil {
		return bad(err)
	}
	if n := r.leftOf(path); n >= maxLeft {
		return bad(fmt.Errorf("%w: found %d earlier reads of it that have not returned, wanted fewer", ErrGivenUp, n))
	}
	a := &attempt{r: r, path: path, keep: true, ended: make(chan struct{})}
	var err error // the goroutine's, until a has ended
	go func() {
		defer a.end()
		_, err = a.open()
	}()
	if why := a.wait(ctx); why != nil {
		return bad(why)
	}
	f := a.file.Load()
	if err != nil {
		if f != nil {
			err = errors.Join(err, (*f).Close())
		}
		return nil, err
	}
	return *f, nil
}

// leftOf counts the reads of path that were given up and have not returned.
func (r *Reader) leftOf(path string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.left[path]
}

// OpenRegular opens a file, and nothing else: to open a pipe is to wait for its
// writer, and to open a device may do something.
func OpenRegular(path string) (fs.File, error) {
	if err := regular(path, os.Stat); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|Nonblock, 0) // it may have become a pipe since
	if err != nil {
		return nil, err
	}
	// it has just become another
	if err := regular(path, func(string) (fs.FileInfo, error) { return f.Stat() }); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// OpenAny opens whatever is there, pipes as well: what a command was told to read.
func OpenAny(path string) (fs.File, error) { return os.Open(path) }

func regular(path string, stat func(string) (fs.FileInfo, error)) error {
	info, err := stat(path)
	if err != nil || info.Mode().IsRegular() {
		return err
	}
	return &fs.PathError{Op: "read", Path: path, Err: errors.New("found " + kindOf(info.Mode()) + ", wanted a file")}
}

func kindOf(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a folder"
	case m&fs.ModeNamedPipe != 0:
		return "a pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	}
	return "a device"
}
