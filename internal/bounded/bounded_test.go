package bounded

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stuck is a file that says it is a regular one. It gives what is sent to it, and
// its reads wait for that.
type stuck struct {
	fs.File
	bytes chan string
	reads atomic.Int32 // that have begun
}

func (s *stuck) Read(b []byte) (int, error) {
	s.reads.Add(1)
	text, more := <-s.bytes
	if !more {
		return 0, errors.New("released")
	}
	return copy(b, text), nil
}

// opener opens s, whatever is asked for.
func opener(t *testing.T, s *stuck) func(string) (fs.File, error) {
	t.Helper()
	f, err := fstest.MapFS{"f": {}}.Open("f")
	if err != nil {
		t.Fatal(err)
	}
	s.File = f
	return func(string) (fs.File, error) { return s, nil }
}

// expectLeft waits until so many reads are left behind.
func expectLeft(t *testing.T, r *Reader, want int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); r.leftOf("f") != want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("found %d reads left behind, wanted %d", r.leftOf("f"), want)
		}
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	if err := os.WriteFile(file, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	var r Reader
	for _, c := range []struct {
		path  string
		limit int64
		err   string
	}{
		{file, 6, ""},
		{file, 5, ""},
		{file, 4, "found a file of more than 4 bytes"},
		{filepath.Join(dir, "none"), 5, "none: no such file"},
		{dir, 5, "found a folder, wanted a file"},
		{os.DevNull, 5, "found a device, wanted a file"},
	} {
		b, err := r.Read(context.Background(), c.path, c.limit)
		switch {
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s up to %d: %v, wanted %q", c.path, c.limit, err, c.err)
		case c.err == "" && (err != nil || string(b) != "12345"):
			t.Errorf("%s up to %d: %q, %v", c.path, c.limit, b, err)
		}
	}
}

// TestGivenUp: a read that does not return is given up by its context, and by the
// time without a byte. What is left behind ends when the file answers.
func TestGivenUp(t *testing.T) {
	over := errors.New("the change is over")
	for name, c := range map[string]struct {
		before func(cancel func(error))
		r      *Reader
		want   error
		text   string
	}{
		"cancelled": {before: func(cancel func(error)) {
			cancel(over)
		}, r: &Reader{}, want: over, text: "the change is over"},
		"no byte": {r: &Reader{Quiet: time.Millisecond}, want: ErrGivenUp,
			text: "read f: given up: found no byte for 1ms"},
		"never at its end": {r: &Reader{Quiet: time.Hour, Whole: time.Millisecond}, want: ErrGivenUp,
			text: "read f: given up: found it unfinished after 1ms"},
	} {
		t.Run(name, func(t *testing.T) {
			file := &stuck{bytes: make(chan string)}
			c.r.Open = opener(t, file)
			ctx, cancel := context.WithCancelCause(context.Background())
			defer cancel(nil)
			if c.before != nil {
				go func() {
					for file.bytes <- "a"; file.reads.Load() < 2; { // until it waits for what never comes
						runtime.Gosched()
					}
					c.before(cancel)
				}()
			}
			_, err := c.r.Read(ctx, "f", 100)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("found %v, wanted %q", err, c.text)
			}
			expectLeft(t, c.r, 1)
			close(file.bytes)
			expectLeft(t, c.r, 0)
		})
	}
}

// TestGivenUpWhileOpening: to open may take for ever, too.
func TestGivenUpWhileOpening(t *testing.T) {
	release := make(chan struct{})
	r := &Reader{Quiet: time.Millisecond, Open: func(string) (fs.File, error) { <-release; return nil, fs.ErrNotExist }}
	if _, err := r.Read(context.Background(), "f", 100); !errors.Is(err, ErrGivenUp) {
		t.Errorf("found %v", err)
	}
	expectLeft(t, r, 1)
	close(release)
	expectLeft(t, r, 0)
}

// TestSlowTaker: a file owes no byte while what it gave is being taken, however long
// that takes; all of it must be over in time.
func TestSlowTaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := &stuck{bytes: make(chan string, 1)}
		file.bytes <- "a"
		r := &Reader{Quiet: time.Millisecond, Whole: 50 * time.Millisecond, Open: opener(t, file)}
		release := make(chan struct{})
		_, err := Use(context.Background(), r, "f", 100, func(_ fs.FileInfo, content io.Reader) (int, error) {
			n, err := content.Read(make([]byte, 5))
			<-release
			return n, err
		})
		if err == nil || !strings.Contains(err.Error(), "found it unfinished after 50ms") {
			t.Errorf("found %v, wanted the time of all of it to be over", err)
		}
		close(release)
		expectLeft(t, r, 0)
	})
}

// TestTooLongBySize: a file that says how long it is need not be read to be refused.
func TestTooLongBySize(t *testing.T) {
	r := &Reader{Open: func(path string) (fs.File, error) {
		return fstest.MapFS{path: {Data: []byte("12345")}}.Open(path)
	}}
	_, err := Use(context.Background(), r, "f", 4, func(fs.FileInfo, io.Reader) (int, error) {
		t.Error("it was read")
		return 0, nil
	})
	if !errors.Is(err, ErrTooLong) {
		t.Errorf("found %v, wanted %v", err, ErrTooLong)
	}
}

// TestFile: a file that is opened late is closed, and one that is opened in time is
// the caller's.
func TestFile(t *testing.T) {
	file := &stuck{bytes: make(chan string, 1)}
	r := &Reader{Quiet: time.Hour, Open: opener(t, file)}
	file.bytes <- "1"
	f, err := r.File(context.Background(), "f")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := f.Read(make([]byte, 5)); n != 1 || err != nil {
		t.Errorf("found %d bytes, %v", n, err)
	}
	closed, release := make(chan struct{}), make(chan struct{})
	r.Quiet = time.Millisecond
	r.Open = func(string) (fs.File, error) { <-release; return closing{file, closed}, nil }
	if _, err := r.File(context.Background(), "f"); !errors.Is(err, ErrGivenUp) || r.leftOf("f") != 1 {
		t.Errorf("found %v, wanted it given up", err)
	}
	close(release)
	<-closed
	expectLeft(t, r, 0)
	if _, err := new(Reader).File(context.Background(), t.TempDir()); err == nil ||
		!strings.Contains(err.Error(), "found a folder, wanted a file") {
		t.Errorf("a folder: %v", err)
	}
}

// closing tells when it is closed.
type closing struct {
	fs.File
	closed chan struct{}
}

func (c closing) Close() error { close(c.closed); return nil }

// TestFewAreLeft: attempts on a file that never answers don't pile up; other
// files are read, and the file itself when it has answered.
func TestFewAreLeft(t *testing.T) {
	file := &stuck{bytes: make(chan string)}
	open := opener(t, file)
	r := &Reader{Quiet: time.Millisecond, Open: func(path string) (fs.File, error) {
		if path == "f" {
			return open(path)
		}
		return fstest.MapFS{"other": {Data: []byte("here")}}.Open(path)
	}}
	for range maxLeft + 3 {
		if _, err := r.Read(context.Background(), "f", 100); !errors.Is(err, ErrGivenUp) {
			t.Fatalf("found %v", err)
		}
	}
	expectLeft(t, r, maxLeft)
	r.Quiet = time.Hour
	if b, err := r.Read(context.Background(), "other", 100); err != nil || string(b) != "here" {
		t.Errorf("another file: %q, %v", b, err)
	}
	close(file.bytes)
	expectLeft(t, r, 0)
}

// TestEndless: a file that goes on for ever is read up to the limit.
func TestEndless(t *testing.T) {
	file := &stuck{bytes: make(chan string)}
	done := make(chan struct{})
	defer func() { <-done }()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		defer close(done)
		for {
			select {
			case file.bytes <- "more":
			case <-stop:
				return
			}
		}
	}()
	r := &Reader{Open: opener(t, file)}
	if _, err := r.Read(context.Background(), "f", 1000); !errors.Is(err, ErrTooLong) {
		t.Errorf("found %v", err)
	}
}
