// Package boundedtest has files whose reads do not return.
package boundedtest

import (
	"errors"
	"io/fs"
	"sync/atomic"
	"testing"

	"github.com/wirehost/wirehost/internal/bounded"
)

// Stick has r open files with open, and the reads of those that stuck tells wait
// until the test ends. begun gets something as each of them begins. What is opened
// after free is read like any other.
func Stick(
	t testing.TB, r *bounded.Reader, open func(path string) (fs.File, error), stuck func(path string) bool,
) (begun <-chan struct{}, free func()) {
	reading, release := make(chan struct{}, 100), make(chan struct{})
	t.Cleanup(func() { close(release) })
	var freed atomic.Bool
	r.Open = func(path string) (fs.File, error) {
		f, err := open(path)
		if err == nil && stuck(path) && !freed.Load() {
			return file{f, reading, release}, nil
		}
		return f, err
	}
	return reading, func() { freed.Store(true) }
}

type file struct {
	fs.File
	begun   chan<- struct{}
	release <-chan struct{}
}

// Read waits.
func (f file) Read([]byte) (int, error) {
	f.begun <- struct{}{}
	<-f.release
	return 0, errors.New("released")
}
