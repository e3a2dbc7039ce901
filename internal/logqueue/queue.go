// Package logqueue puts a bounded queue and one writer between a logger and what
// its lines go to. A logger writes under a lock, so a reader that stands still,
// of a pipe say, would stop whoever logs, event loops among them. Through a Queue
// it costs lines, which are counted and told of when it reads again.
//
// A process whose standard error is a pipe must take SIGPIPE as well
// (signal.Notify): otherwise Go ends it when the pipe's reader has gone.
package logqueue

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"
)

// DefaultBytes is how much waits at most where Options say nothing.
const DefaultBytes = 1 << 20

const (
	// maxPiece is how much is written at once, in whole lines: a socket may refuse
	// what is very long, for ever.
	maxPiece = 32 << 10
	// maxTail is how much of what was last written is kept to be read again, in bytes.
	maxTail = 64 << 10
	// maxSpare is the largest buffer that is kept for later.
	maxSpare = 64 << 10
	// After a failed write comes a rest, and after each a longer one.
	minRest = 10 * time.Millisecond
	maxRest = time.Second
)

// Options are what a Queue is given.
type Options struct {
	To    io.Writer // used by the queue's goroutine alone
	Bytes int       // how much may wait; 0 = DefaultBytes
	Tail  bool      // what was written last is kept for Tail
	// Lost is called when it flows again, with what was lost since the last call,
	// to log that: what it writes to the queue comes where the gap is. It runs on the
	// queue's goroutine. nil = a line of plain text.
	Lost func(lines, bytes uint64)
}

// Queue is an io.Writer that never waits. Its methods may be called from any
// goroutine.
type Queue struct {
	o      Options
	wake   chan struct{} // something waits
	ending chan struct{} // closed by Close
	done   chan struct{} // closed when the writer has ended

	mu      sync.Mutex
	waiting []byte
	gap     loss // since the writer took what waits: nothing is added behind a gap
	lost    uint64
	tail    []byte // what was written last, up to twice maxTail
}

// loss is what found no room.
type loss struct{ lines, bytes uint64 }

// New returns a queue that writes until it is closed.
func New(o Options) *Queue {
	if o.Bytes <= 0 {
		o.Bytes = DefaultBytes
	}
	q := &Queue{o: o, wake: make(chan struct{}, 1), ending: make(chan struct{}), done: make(chan struct{})}
	if q.o.Lost == nil {
		q.o.Lost = func(lines, bytes uint64) {
			fmt.Fprintf(q, "%d log lines were lost (%d bytes): nobody read them\n", lines, bytes) // never fails
		}
	}
	go q.run()
	return q
}

// Write queues a copy of line, one or more whole lines. What finds no room is
// lost and counted; it is never an error.
func (q *Queue) Write(line []byte) (int, error) {
	if len(line) == 0 {
		return 0, nil
	}
	q.mu.Lock()
	q.keep(line)
	switch {
	case q.gap.lines == 0 && len(q.waiting)+len(line) <= q.o.Bytes:
		q.waiting = append(q.waiting, line...)
	default:
		n := uint64(max(1, bytes.Count(line, []byte("\n"))))
		q.lost += n
		q.gap.lines += n
		q.gap.bytes += uint64(len(line))
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return len(line), nil
}

// keep adds to the tail. The lock is held.
func (q *Queue) keep(line []byte) {
	if !q.o.Tail {
		return
	}
	if q.tail = append(q.tail, line[max(0, len(line)-maxTail):]...); len(q.tail) > 2*maxTail {
		q.tail = append(q.tail[:0], last(q.tail)...)
	}
}

// last is the end of text, from the beginning of a line where there is one.
func last(text []byte) []byte {
	if len(text) <= maxTail {
		return text
	}
	text = text[len(text)-maxTail:]
	if n := bytes.IndexByte(text, '\n'); n >= 0 && n+1 < len(text) {
		text = text[n+1:]
	}
	return text
}

// Tail is a copy of the last lines that were written, at most 64 KiB, with those that were
// lost; none where Options do not want it.
func (q *Queue) Tail() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	return bytes.Clone(last(q.tail))
}

// Lost is how many lines have been lost, ever.
func (q *Queue) Lost() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lost
}

// Close waits until what is queued has been written, but no longer than patience.
// What is written later goes nowhere, and what could not be written is lost, and counted.
// Where a Write of To does not return, the
// queue's goroutine stays. It is called once.
func (q *Queue) Close(patience time.Duration) {
	close(q.ending)
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-q.done:
	case <-late.C:
	}
}

// run is the writer.
func (q *Queue) run() {
	defer close(q.done)
	var spare []byte
	for {
		last := q.ends() // before the look: what came before the end is taken
		text := q.take(spare)
		if left := q.put(text); len(left) > 0 {
			q.lose(left)
			return
		}
		if spare = text[:0]; cap(spare) > maxSpare {
			spare = nil
		}
		if len(text) > 0 {
			continue
		}
		if last {
			return
		}
		select {
		case <-q.wake:
		case <-q.ending:
		}
	}
}

// take is what waits; spare takes what comes next.
func (q *Queue) take(spare []byte) []byte {
	q.mu.Lock()
	text, gap := q.waiting, q.gap
	q.waiting, q.gap = spare, loss{}
	q.mu.Unlock()
	if gap.lines > 0 {
		q.o.Lost(gap.lines, gap.bytes)
	}
	return text
}

// lose counts what is left at the end, and what waits behind it.
func (q *Queue) lose(left []byte) {
	q.mu.Lock()
	gap := q.gap
	for _, text := range [][]byte{left, q.waiting} {
		n := uint64(bytes.Count(text, []byte("\n")))
		q.lost += n
		gap.lines += n
		gap.bytes += uint64(len(text))
	}
	q.waiting, q.gap = nil, loss{}
	q.mu.Unlock()
	q.o.Lost(gap.lines, gap.bytes)
}

// put writes text, however often that fails; at the end it tries once, and gives what is left.
func (q *Queue) put(text []byte) (left []byte) {
	rest := minRest
	for len(text) > 0 {
		last := q.ends()
		n, err := q.o.To.Write(piece(text))
		text = text[n:]
		switch {
		case err == nil:
			rest = minRest
		case last:
			return text
		default:
			q.pause(rest)
			rest = min(2*rest, maxRest)
		}
	}
	return nil
}

func (q *Queue) ends() bool {
	select {
	case <-q.ending:
		return true
	default:
		return false
	}
}

// pause waits, but not past the end.
func (q *Queue) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-q.ending:
	}
}

// piece is the beginning of text, in whole lines where one is not too long.
func piece(text []byte) []byte {
	if len(text) <= maxPiece {
		return text
	}
	if n := bytes.LastIndexByte(text[:maxPiece], '\n'); n >= 0 {
		return text[:n+1]
	}
	return text[:maxPiece]
}
