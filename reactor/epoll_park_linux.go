package reactor

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// parked waits for an epoll instance as package net does for a socket: Go's own poller has
// it, so that no thread is in a system call meanwhile (RATIONALE.md).
type parked struct {
	file    *os.File // has the descriptor from now on
	conn    syscall.RawConn
	look    func(uintptr) bool // made once
	room, n int                // of the look, and its result
	err     error
	limited bool // file has a deadline
}

// newParked gives the instance to Go's poller. Where that takes none, park has an error.
func (p *epoll) newParked() (*parked, error) {
	if err := unix.SetNonblock(p.fd, true); err != nil { // else NewFile does not give it to the poller
		return nil, err
	}
	k := &parked{file: os.NewFile(uintptr(p.fd), "epoll")}
	p.parked = k
	conn, err := k.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	k.conn = conn
	k.look = func(uintptr) bool {
		k.n, k.err = p.look(k.room)
		return k.n > 0 || k.err != nil
	}
	return k, nil
}

// park is Wait with a timeout that is not 0, by a goroutine that is parked.
func (p *epoll) park(ready []Ready, timeout time.Duration) (int, error) {
	k := p.parked
	if k == nil {
		var err error
		if k, err = p.newParked(); err != nil {
			return 0, err
		}
	}
	p.makeRoom(len(ready))
	if err := k.setLimit(timeout); err != nil {
		return 0, err
	}
	k.room, k.n, k.err = len(ready), 0, nil
	err := k.conn.Read(k.look)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, err
	}
	return p.collect(ready, k.n), k.err
}

// setLimit bounds the next wait; a negative timeout is no bound.
func (k *parked) setLimit(timeout time.Duration) error {
	switch {
	case timeout > 0:
		k.limited = true
		return k.file.SetReadDeadline(time.Now().Add(inMillis(timeout) * time.Millisecond))
	case k.limited:
		k.limited = false
		return k.file.SetReadDeadline(time.Time{})
	}
	return nil
}
