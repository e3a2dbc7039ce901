//go:build unix

package operate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

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

// handOver says what is said of a process that has no connections.
func (e *elder) handOver() error {
	_, err := e.conn.Receive() // that it is ready
	err = errors.Join(err, e.conn.Send(sayBegin, map[string]host.Handles{}),
		e.conn.Send(sayCommit, commit{Accept: true}))
	_, takenErr := e.conn.Receive()
	err = errors.Join(err, takenErr, e.conn.Send(sayDone, nil))
	m, overErr := e.conn.Receive()
	if err = errors.Join(err, overErr); err == nil && m.Kind != sayOver {
		err = fmt.Errorf("found a message %q, wanted %q", m.Kind, sayOver)
	}
	return err
}

// TestUpgradeOnceMore: a process that has said that it has all can be upgraded at that moment.
func TestUpgradeOnceMore(t *testing.T) {
	e := newElder(t)
	var endpoints []string
	var sockets []*os.File
	for range 50 { // ending takes some time
		socket, _ := given(t, "tcp", "127.0.0.1:0")
		endpoints, sockets = append(endpoints, "tcp://127.0.0.1:0"), append(sockets, socket)
	}
	cfg := echoes(endpoints...)
	cfg.Cache.Dir, cfg.State.Dir, cfg.Admin.Listen = "off", "off", "off"
	s, err := New(cfg, Options{Host: host.Options{Builtin: builtin}})
	do(t, err)
	e.greet(endpoints, sockets...)
	over := make(chan error, 1)
	go func() {
		if err := e.handOver(); err != nil {
			over <- err
			return
		}
		o, err := s.BeginHandover()
		if err == nil {
			err = o.Abandon()
		}
		over <- err
	}()
	do(t, s.Start(context.Background()))
	defer func() { do(t, s.Shutdown(context.Background())) }()
	if err := errors.Join(<-over, e.end()); err != nil {
		t.Error(err)
	}
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

// TestElderEndsBeforeOffer: sockets that came ahead of an offer that never did are let go of.
func TestElderEndsBeforeOffer(t *testing.T) {
	e := newElder(t)
	socket, at := given(t, "tcp", "127.0.0.1:0")
	cfg := echoes("tcp://" + at)
	e.greet([]string{cfg.Listeners[0].Endpoint}, socket)
	r, w, err := os.Pipe()
	do(t, err)
	defer r.Close()
	log := e.takenOver(cfg, func() error {
		_, err := e.conn.Receive() // that it is ready
		return errors.Join(err, e.conn.Send(sayBegin, map[string]host.Handles{}), e.conn.Send(saySockets, nil, w),
			w.Close(), e.end())
	})
	log.await("has ended; going on alone")
	do(t, r.SetReadDeadline(time.Now().Add(patience)))
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("found %v, wanted the end of what nobody has", err)
	}
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
		return errors.Join(e.handOver(), e.end())
	})
	do(t, answers("tcp", oneAt))
	do(t, answers("tcp", twoAt))
}

// TestElderHasTheAddress: a process that can't have an address which the other one may have says
// what to do about that.
func TestElderHasTheAddress(t *testing.T) {
	e := newElder(t)
	e.greet(nil)
	taken, at := given(t, "tcp", "127.0.0.1:0")
	defer taken.Close()
	cfg := echoes()
	cfg.State.Dir, cfg.Admin.Listen, cfg.Monitor.Listen = "off", "off", "tcp://"+at
	s, err := New(cfg, Options{Host: host.Options{Builtin: builtin}})
	do(t, err)
	if err := s.Start(context.Background()); err == nil || !strings.Contains(err.Error(), addressTaken) {
		t.Errorf("found %v, wanted %q", err, addressTaken)
	}
	do(t, e.end())
}

// TestElderStandsStill: a process that has taken nothing ends where the other one says nothing; with
// something that is its own, it goes on, and says so.
func TestElderStandsStill(t *testing.T) {
	for _, taken := range []bool{false, true} {
		ours, theirs, err := handover.Pair()
		do(t, err)
		conn, err := handover.FromFile(theirs)
		do(t, err)
		in := &inheritance{s: &Server{log: hclog.NewNullLogger()}, conn: conn, over: &host.Takeover{},
			wait: elderWait, taken: taken}
		err = in.orAlone(fmt.Errorf("receiving: %w", os.ErrDeadlineExceeded))
		if (err == nil) != taken || in.alone != taken {
			t.Errorf("taken %t: found %v", taken, err)
		}
		do(t, conn.Close())
		m, err := ours.Receive()
		if said := err == nil && m.Kind == sayOver; said != taken {
			t.Errorf("taken %t: found %+v, %v", taken, m, err)
		}
		do(t, ours.Close())
	}
}
