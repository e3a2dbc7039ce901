//go:build unix

package operate

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/handover"
)

// elder plays the process that hands over.
type elder struct {
	*testing.T
	conn *handover.Conn
	raw  *os.File // of conn
	fd   int      // of the other end, for the process that takes over
}

// goneProcess is the number of no process.
const goneProcess = 1<<31 - 1

func newElder(t *testing.T) *elder {
	t.Helper()
	ours, theirs, err := handover.Sockets()
	do(t, err)
	defer theirs.Close()
	e := &elder{T: t, raw: ours}
	e.fd, err = syscall.Dup(int(theirs.Fd()))
	do(t, err)
	syscall.CloseOnExec(e.fd)
	t.Setenv(handoverVariable, fmt.Sprintf("%d,%d", e.fd, goneProcess))
	twin, err := syscall.Dup(int(ours.Fd()))
	do(t, err)
	e.conn, err = handover.FromFile(os.NewFile(uintptr(twin), "handover"))
	do(t, err)
	return e
}

// end is as if the process had ended.
func (e *elder) end() error { return errors.Join(e.conn.Close(), e.raw.Close()) }

// greet sends sockets, and what they are called.
func (e *elder) greet(endpoints []string, files ...*os.File) {
	e.Helper()
	e.sockets(files...)
	do(e.T, e.conn.Send(sayHello, hello{Format: handoverFormat, PID: 1, Endpoints: endpoints}))
}

func (e *elder) sockets(files ...*os.File) {
	e.Helper()
	do(e.T, e.conn.Send(saySockets, nil, files...))
	for _, f := range files {
		do(e.T, f.Close())
	}
}

// takenOver starts the process that takes over. Meanwhile the other does its part.
func (e *elder) takenOver(cfg config.Config, meanwhile func() error) *journal {
	e.Helper()
	log := newJournal(e.T)
	over := make(chan error, 1)
	go func() { over <- meanwhile() }()
	cfg.State.Dir = "off"
	begin(e.T, cfg, Options{Log: log})
	do(e.T, <-over)
	return log
}

// TestElderEndsEarly: where the process to take over from is killed before it has said
// what the sockets are, the new one starts as any other: nothing of it still listens there.
func TestElderEndsEarly(t *testing.T) {
	e := newElder(t)
	socket, at := given(t, "tcp", "127.0.0.1:0")
	e.sockets(socket)
	do(t, e.end())
	log := e.takenOver(echoes("tcp://"+at), func() error { return nil })
	log.await("has ended; starting as any other")
	do(t, answers("tcp", at))
}

// TestElderEndsAmidst: where it is killed while it writes, the new one goes on alone.
func TestElderEndsAmidst(t *testing.T) {
	e := newElder(t)
	socket, at := given(t, "tcp", "127.0.0.1:0")
	cfg := echoes("tcp://" + at)
	e.greet([]string{cfg.Listeners[0].Endpoint}, socket)
	log := e.takenOver(cfg, func() error {
		_, err := e.conn.Receive()                                             // that it is ready
		_, writeErr := e.raw.WriteString("\x09\x00\x00\x00\x00\x00\x00\x00{}") // of 9 bytes
		return errors.Join(err, writeErr, e.end())
	})
	log.await("has ended; going on alone")
	do(t, answers("tcp", at))
}

// TestSocketsOfOneName: listeners whose endpoints are alike, since the system finds their
// ports, have a socket each.
func TestSocketsOfOneName(t *testing.T) {
	e := newElder(t)
	one, oneAt := given(t, "tcp", "127.0.0.1:0")
	two, twoAt := given(t, "tcp", "127.0.0.1:0")
	cfg := echoes("tcp://127.0.0.1:0", "tcp://127.0.0.1:0")
	e.greet([]string{cfg.Listeners[0].Endpoint, cfg.Listeners[1].Endpoint}, one, two)
	e.takenOver(cfg, func() error {
		_, err := e.conn.Receive() // that it is ready
		err = errors.Join(err, e.conn.Send(sayBegin, map[string]host.Handles{}), e.conn.Send(sayAccept, nil),
			e.conn.Send(sayDone, nil))
		_, overErr := e.conn.Receive()
		return errors.Join(err, overErr, e.end())
	})
	do(t, answers("tcp", oneAt))
	do(t, answers("tcp", twoAt))
}
