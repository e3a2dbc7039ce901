//go:build unix

package handover

import (
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func pair(t *testing.T) (a, b *Conn) {
	a, f, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	if b, err = FromFile(f); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	return a, b
}

// A message comes as it was sent, with files that are open in both processes.
func TestMessage(t *testing.T) {
	a, b := pair(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	body := strings.Repeat("x", 1<<20)
	sent := make(chan error, 1)
	go func() {
		err := errors.Join(a.Send("first", body, w, w), a.Send("second", 2), w.Close(), a.Close())
		sent <- err
	}()
	m, err := b.Receive()
	if err != nil {
		t.Fatal(err)
	}
	var got string
	if err := m.Decode(&got); err != nil || m.Kind != "first" || got != body || len(m.Files) != 2 {
		t.Fatalf("found %q with %d bytes and %d files, %v", m.Kind, len(got), len(m.Files), err)
	}
	if m, err := b.Receive(); err != nil || m.Kind != "second" || string(m.Body) != "2" || len(m.Files) != 0 {
		t.Fatalf("found %v, %v", m, err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if _, err := m.Files[1].WriteString("through"); err != nil {
		t.Fatal(err)
	}
	m.CloseFiles()
	if text, err := io.ReadAll(r); err != nil || string(text) != "through" {
		t.Fatalf("found %q, %v", text, err)
	}
	if _, err := b.Receive(); !errors.Is(err, io.EOF) {
		t.Fatalf("found %v, wanted EOF", err)
	}
}

// What is no message, or half of one, is an error that leaves no file open.
func TestBadMessage(t *testing.T) {
	for what, bytes := range map[string]string{
		"half a header":  "\x02\x00",
		"too long":       "\xff\xff\xff\xff\x00\x00\x00\x00",
		"missing files":  "\x02\x00\x00\x00\x01\x00\x00\x00{}",
		"half a message": "\x09\x00\x00\x00\x00\x00\x00\x00{}",
		"no JSON":        "\x02\x00\x00\x00\x00\x00\x00\x00{]",
	} {
		a, b := pair(t)
		if _, err := a.socket.Write([]byte(bytes)); err != nil {
			t.Fatal(err)
		}
		_ = a.Close()
		if _, err := b.Receive(); err == nil || errors.Is(err, io.EOF) && what == "half a header" {
			t.Errorf("%s: found %v, wanted an error that is not the end", what, err)
		}
	}
	a, _ := pair(t)
	if err := a.Send("many", nil, make([]*os.File, MaxFiles+1)...); err == nil {
		t.Error("too many files: found no error")
	}
}

// Files that find no descriptor here are missing, and nothing else is.
func TestOutOfDescriptors(t *testing.T) {
	a, b := pair(t)
	if err := errors.Join(a.Send("files", "body", os.Stdin, os.Stdin, os.Stdin), a.Send("next", nil)); err != nil {
		t.Fatal(err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	free, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	few := syscall.Rlimit{Cur: uint64(free.Fd()) + 1, Max: limit.Max} // the lowest that is free, and no more
	free.Close()
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	m, err := b.Receive()
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Files) != 1 || m.Missing != 2 || string(m.Body) != `"body"` {
		t.Errorf("found %d files and %d missing, with %s, wanted 1 and 2", len(m.Files), m.Missing, m.Body)
	}
	m.CloseFiles()
	if m, err := b.Receive(); err != nil || m.Kind != "next" {
		t.Errorf("found %+v, %v", m, err)
	}
}

// An end that was shut down receives what was sent, and then the end, whoever else has
// the other one.
func TestShutdown(t *testing.T) {
	a, b := pair(t)
	if err := errors.Join(b.Send("last", nil), a.Shutdown()); err != nil {
		t.Fatal(err)
	}
	if m, err := a.Receive(); err != nil || m.Kind != "last" {
		t.Errorf("found %+v, %v", m, err)
	}
	if _, err := a.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("found %v, wanted EOF", err)
	}
}

// A message that comes in pieces, with a deadline between them, is received whole.
func TestDeadlineAmidst(t *testing.T) {
	a, b := pair(t)
	const message = "\x02\x00\x00\x00\x00\x00\x00\x00{}"
	for at := 1; at < len(message); at++ {
		if _, err := a.socket.Write([]byte(message[:at])); err != nil {
			t.Fatal(err)
		}
		if err := b.SetDeadline(time.Now().Add(time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Receive(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%d: found %v, wanted a deadline", at, err)
		}
		_, err := a.socket.Write([]byte(message[at:]))
		if err = errors.Join(err, b.SetDeadline(time.Time{})); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Receive(); err != nil {
			t.Fatalf("%d: %v", at, err)
		}
	}
}

// An end is known once nothing is left to read.
func TestEnded(t *testing.T) {
	a, b := pair(t)
	if Ended(b.socket) {
		t.Error("found an end of what is open")
	}
	if err := errors.Join(a.Send("last", nil), a.Close()); err != nil {
		t.Fatal(err)
	}
	if Ended(b.socket) {
		t.Error("found an end before the last message")
	}
	if m, err := b.Receive(); err != nil || m.Kind != "last" {
		t.Errorf("found %+v, %v", m, err)
	}
	if !Ended(b.socket) {
		t.Error("found no end")
	}
}
