package logqueue

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

// reader is what lines go to: it takes a piece for each answer that it is given.
type reader struct {
	answers chan answer
	asked   chan struct{}
	got     bytes.Buffer // of the queue's goroutine until it has ended
}

// answer says how a Write goes: n bytes and an error, or all and none.
type answer struct {
	n   int
	err error
}

func newReader() *reader {
	return &reader{answers: make(chan answer), asked: make(chan struct{}, 8)}
}

func (r *reader) Write(b []byte) (int, error) {
	select {
	case r.asked <- struct{}{}:
	default: // nobody waits for it
	}
	a := <-r.answers
	if a.err == nil {
		a.n = len(b)
	}
	r.got.Write(b[:a.n])
	return a.n, a.err
}

// flow takes everything from now on.
func (r *reader) flow() { close(r.answers) }

func write(t *testing.T, q *Queue, line string) {
	t.Helper()
	if n, err := q.Write([]byte(line)); n != len(line) || err != nil {
		t.Fatalf("found %d, %v, wanted all of %q", n, err, line)
	}
}

// What was queued is written at the end, in order.
func TestClose(t *testing.T) {
	r := newReader()
	q := New(Options{To: r})
	r.flow()
	want := ""
	for n := range 10_000 {
		line := fmt.Sprintln("line", n)
		write(t, q, line)
		want += line
	}
	q.Close(patience)
	if r.got.String() != want || q.Lost() != 0 {
		t.Errorf("found %d bytes and %d lines lost, wanted %d and none", r.got.Len(), q.Lost(), len(want))
	}
}

// A reader that stands still costs what finds no room. When it reads again, that
// is told in the place where the gap is.
func TestStandsStill(t *testing.T) {
	r := newReader()
	var q *Queue
	q = New(Options{To: r, Bytes: 10, Lost: func(lines, bytes uint64) { fmt.Fprintf(q, "%d,%d\n", lines, bytes) }})
	write(t, q, "a\n")
	<-r.asked // it stands still with the first
	for _, line := range []string{"b\n", "c\n", "1234567\n", "d\n", "e\nf\n"} {
		write(t, q, line)
	}
	if n := q.Lost(); n != 4 {
		t.Errorf("%d lines are lost, wanted 4", n)
	}
	r.answers <- answer{}
	<-r.asked // all that waited is taken, and there is room
	write(t, q, "g\n")
	r.flow()
	q.Close(patience)
	if want := "a\nb\nc\n4,14\ng\n"; r.got.String() != want {
		t.Errorf("found %q, wanted %q", r.got.String(), want)
	}
}

// A reader that has gone costs nothing if it comes back in time.
func TestComesBack(t *testing.T) {
	r := newReader()
	q := New(Options{To: r})
	gone := errors.New("broken pipe")
	write(t, q, "first\n")
	for _, a := range []answer{{0, gone}, {3, gone}, {0, gone}} {
		r.answers <- a
	}
	write(t, q, "second\n")
	r.flow()
	q.Close(patience)
	if want := "first\nsecond\n"; r.got.String() != want || q.Lost() != 0 {
		t.Errorf("found %q and %d lines lost, wanted %q", r.got.String(), q.Lost(), want)
	}
}

// The end does not wait for a reader that has gone, nor for one that stands still.
func TestEnds(t *testing.T) {
	r := newReader()
	q := New(Options{To: r})
	write(t, q, "first\n")
	<-r.asked
	q.Close(time.Millisecond)
	write(t, q, "never\n")
	r.answers <- answer{0, errors.New("broken pipe")}
	<-r.asked // once more
	r.answers <- answer{0, errors.New("broken pipe")}
	<-q.done
}

// Long texts are written in pieces, of whole lines where that is possible.
func TestPieces(t *testing.T) {
	long := strings.Repeat("x", maxPiece)
	for _, c := range []struct {
		text string
		want int
	}{
		{"a\nb\n", 4}, {long, maxPiece}, {"a\n" + long, 2}, {"a\nb\n" + long + "\n", 4}, {long + "\n", maxPiece},
	} {
		if got := len(piece([]byte(c.text))); got != c.want {
			t.Errorf("a piece of %d bytes of %.10q, wanted %d", got, c.text, c.want)
		}
	}
}

// Whoever writes, every line comes once, or is counted.
func TestManyWriters(t *testing.T) {
	r := newReader()
	told := uint64(0)
	q := New(Options{To: r, Bytes: 1000, Lost: func(lines, _ uint64) { told += lines }})
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for n := range 1000 {
				fmt.Fprintln(q, "writer", w, "line", n)
			}
		})
	}
	r.flow()
	writers.Wait()
	q.Close(patience)
	lines := strings.Split(strings.TrimSuffix(r.got.String(), "\n"), "\n")
	seen := map[string]bool{}
	for _, line := range lines {
		if seen[line] || len(strings.Fields(line)) != 4 {
			t.Fatalf("found %q", line)
		}
		seen[line] = true
	}
	if total := uint64(len(lines)) + q.Lost(); total != 8000 || told != q.Lost() {
		t.Errorf("%d lines came and %d are lost, wanted 8000 together; %d were told of", len(lines), q.Lost(), told)
	}
}

// TestTail: the last lines are kept, whole and bounded, whether they were read or lost.
func TestTail(t *testing.T) {
	q := New(Options{To: io.Discard, Tail: true, Bytes: 1, Lost: func(uint64, uint64) {}})
	defer q.Close(time.Minute)
	if tail := q.Tail(); len(tail) != 0 {
		t.Errorf("found %q", tail)
	}
	for n := range 50_000 {
		fmt.Fprintf(q, "line %d\n", n)
	}
	tail := string(q.Tail())
	if !strings.HasPrefix(tail, "line ") || !strings.HasSuffix(tail, "line 49998\nline 49999\n") ||
		len(tail) > maxTail ||
		len(tail) < maxTail-100 {
		t.Errorf("found %d bytes: %.30q", len(tail), tail)
	}
	fmt.Fprint(q, strings.Repeat("x", 3*maxTail)+"\n")
	if tail := q.Tail(); len(tail) != maxTail {
		t.Errorf("found %d bytes", len(tail))
	}
}
