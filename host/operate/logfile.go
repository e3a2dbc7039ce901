package operate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/internal/bounded"
)

// logFile is a file that lines are added to. A line is in one file, whole, though a disk may
// be full after its first half, and another file be opened then. Write is one goroutine's.
type logFile struct {
	path string
	log  hclog.Logger
	next atomic.Pointer[os.File] // that is to be written to from now on; nil = f

	mu     sync.Mutex     // against close, where a Write never returns
	f      io.WriteCloser // nil = it is closed
	half   []byte         // what is written of a line that is not whole
	owed   []byte         // what f is to have of it before the rest
	failed bool           // the last write: told once
}

// openLogFile opens a file to add to. It waits for none for ever, such as for a named pipe
// that nobody reads.
func openLogFile(path string) (*os.File, error) {
	r := bounded.Reader{Open: func(path string) (fs.File, error) {
		return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	}}
	f, err := r.File(context.Background(), path)
	if err != nil {
		return nil, fmt.Errorf("access_log.to: %w", err)
	}
	file, is := f.(*os.File)
	if !is {
		return nil, errors.Join(fmt.Errorf("access_log.to: found %T, wanted a file", f), f.Close())
	}
	return file, nil
}

// reopen opens the file that has the name now, for the next line. Any goroutine.
func (l *logFile) reopen() error {
	f, err := openLogFile(l.path)
	if err != nil {
		return err
	}
	if unused := l.next.Swap(f); unused != nil {
		l.drop(unused)
	}
	return nil
}

// drop closes a file that nothing more is written to.
func (l *logFile) drop(f io.Closer) {
	if err := f.Close(); err != nil {
		l.log.Warn("closing the access log", "err", err)
	}
}

// Write adds to the file.
func (l *logFile) Write(p []byte) (n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if next := l.next.Swap(nil); next != nil {
		if l.f != nil {
			l.drop(l.f)
		}
		l.f, l.owed = next, l.half
	}
	if l.f == nil {
		return 0, os.ErrClosed
	}
	if len(l.owed) > 0 {
		n, err = l.f.Write(l.owed)
		l.owed = l.owed[n:]
	}
	if n = 0; err == nil {
		n, err = l.f.Write(p)
	}
	if at := bytes.LastIndexByte(p[:n], '\n'); at >= 0 {
		l.half = bytes.Clone(p[at+1 : n]) // owed may have what was there
	} else {
		l.half = append(l.half, p[:n]...)
	}
	l.tell(err)
	return n, err
}

// tell tells that writing has failed, or goes on, once.
func (l *logFile) tell(err error) {
	if (err != nil) == l.failed {
		return
	}
	if l.failed = err != nil; l.failed {
		l.log.Error("the access log can't be written; it is tried again", "err", err)
	} else {
		l.log.Info("the access log is written again", "path", l.path)
	}
}

func (l *logFile) close() {
	if unused := l.next.Swap(nil); unused != nil {
		l.drop(unused)
	}
	if !l.mu.TryLock() { // a write does not return: the file is its
		return
	}
	defer l.mu.Unlock()
	if l.f != nil {
		l.drop(l.f)
		l.f = nil
	}
}
