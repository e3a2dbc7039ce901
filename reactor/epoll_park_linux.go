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
	file    *os.File // a descriptor of its own, which ends with it
	conn    syscall.RawConn
	look    func(uintptr) bool // made once
	room, n int                // of the look, and its result
	err     error
	limited bool // file has a deadline
}

// newParked gives the instance to Go's poller. Where that takes none, park has an error.
func (p *epoll) newParked() (*parked, error) {
	fd, err := unix.FcntlInt(uintptr(p.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	err = unix.SetNonblock(fd, true) // else NewFile does not give it to the poller
	k := &parked{file: os.NewFile(uintptr(fd), "epoll")}
	p.parked = k
	if err != nil {
		return nil, err
	}
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

// unpark takes the instance from Go's poller, which has work with each event while it is there.
func (p *epoll) unpark() error {
	if p.parked == nil {
		return nil
	}
	file := p.parked.file
	p.parked = nil
	return file.Close()
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
