package bounded

import (
	"context"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"
)

// attempt is one read of a file. Its goroutine opens, reads and ends it; another
// waits for that.
type attempt struct {
	r      *Reader
	path   string
	limit  int64
	opener func(path string) (fs.File, error) // nil = the Reader's
	keep   bool                               // the file is the caller's, unless the attempt was left behind
	ended  chan struct{}                      // closed when the goroutine has ended

	file  atomic.Pointer[fs.File] // nil until it is open
	given atomic.Int64            // bytes so far
	busy  atomic.Bool             // what was read is being taken: the file owes nothing
	over  atomic.Bool             // it was given up

	isLeft, isOver bool // under r.mu: it was left behind; its goroutine has ended
}

// open opens the file.
func (a *attempt) open() (fs.FileInfo, error) {
	open := a.opener
	if open == nil {
		open = a.r.Open
	}
	if open == nil {
		open = OpenRegular
	}
	f, err := open(a.path)
	if err != nil {
		return nil, err
	}
	a.file.Store(&f)
	return f.Stat()
}

// Read reads on, up to the limit and until the file is given up.
func (a *attempt) Read(b []byte) (int, error) {
	if a.over.Load() {
		return 0, ErrGivenUp
	}
	a.busy.Store(false)
	n, err := (*a.file.Load()).Read(b)
	a.busy.Store(true)
	if a.given.Add(int64(n)) > a.limit {
		return n, fmt.Errorf("%w than %d bytes", ErrTooLong, a.limit)
	}
	return n, err
}

// end closes the file, where it is nobody's, and tells that the goroutine has ended.
func (a *attempt) end() {
	defer close(a.ended)
	if !a.keep {
		a.close()
	}
	if left := a.finish(); left && a.keep {
		a.close()
	}
}

func (a *attempt) close() {
	if f := a.file.Load(); f != nil {
		_ = (*f).Close() // it was only read
	}
}

// finish says that the goroutine has ended, and tells whether it was left behind.
func (a *attempt) finish() (left bool) {
	r := a.r
	r.mu.Lock()
	defer r.mu.Unlock()
	a.isOver = true
	if a.isLeft {
		if r.left[a.path]--; r.left[a.path] == 0 {
			delete(r.left, a.path)
		}
	}
	return a.isLeft
}

// wait waits until the goroutine has ended. An error means that it was left
// behind.
func (a *attempt) wait(ctx context.Context) error {
	quiet, whole := a.r.Quiet, a.r.Whole
	if quiet <= 0 {
		quiet = DefaultQuiet
	}
	if whole <= 0 {
		whole = DefaultWhole
	}
	look := time.NewTicker(max(quiet/looks, 1))
	defer look.Stop()
	end := time.NewTimer(whole)
	defer end.Stop()
	var seen int64
	for without := 0; ; {
		select {
		case <-a.ended:
			return nil
		case <-ctx.Done():
			return a.leave(fmt.Errorf("%w: %w", ErrGivenUp, context.Cause(ctx)))
		case <-end.C:
			return a.leave(fmt.Errorf("%w: found it unfinished after %v, wanted all of it", ErrGivenUp, whole))
		case <-look.C:
			now := a.given.Load()
			if without++; now != seen || a.busy.Load() {
				seen, without = now, 0
			}
			if without >= looks {
				return a.leave(fmt.Errorf("%w: found no byte for %v, wanted the next", ErrGivenUp, quiet))
			}
		}
	}
}

// leave leaves the goroutine behind, for the reason why, unless it has just ended.
func (a *attempt) leave(why error) error {
	r := a.r
	r.mu.Lock()
	if a.isOver {
		r.mu.Unlock()
		return nil
	}
	a.isLeft = true
	if r.left == nil {
		r.left = map[string]int{}
	}
	r.left[a.path]++
	r.mu.Unlock()
	a.over.Store(true)
	// Go waits for some files without a thread, /proc/kmsg among them, and can end
	// that. For the others it answers that there are no deadlines.
	if f := a.file.Load(); f != nil {
		if d, ok := (*f).(interface{ SetReadDeadline(time.Time) error }); ok {
			_ = d.SetReadDeadline(time.Unix(1, 0))
		}
	}
	return why
}
