package reactor

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// wakeToken stands for the eventfd. Connections' tokens never take it: their
// generation has 31 bits.
const wakeToken = math.MaxUint64

type epoll struct {
	fd, wake int
	events   []unix.EpollEvent
	parked   *parked // from the first park to unpark
}

func (s *linuxSys) NewPoller() (Poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	p := &epoll{fd: fd, wake: wake}
	if err := p.control(unix.EPOLL_CTL_ADD, FD(wake), wakeToken, ReadEvent); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *epoll) control(op int, fd FD, token uint64, want Events) error {
	ev := unix.EpollEvent{Fd: int32(uint32(token)), Pad: int32(uint32(token >> 32))}
	if want&ReadEvent != 0 {
		ev.Events |= unix.EPOLLIN
	}
	if want&WriteEvent != 0 {
		ev.Events |= unix.EPOLLOUT
	}
	if want&FinEvent != 0 {
		ev.Events |= unix.EPOLLRDHUP
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(p.fd), uintptr(op), uintptr(fd),
		uintptr(unsafe.Pointer(&ev)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func (p *epoll) Add(fd FD, token uint64, want Events) error {
	return p.control(unix.EPOLL_CTL_ADD, fd, token, want)
}

func (p *epoll) Modify(fd FD, token uint64, want Events) error {
	return p.control(unix.EPOLL_CTL_MOD, fd, token, want)
}

func (p *epoll) Remove(fd FD) error { return p.control(unix.EPOLL_CTL_DEL, fd, 0, 0) }

func (p *epoll) Wait(ready []Ready, timeout time.Duration) (int, error) {
	p.makeRoom(len(ready))
	if timeout == 0 {
		n, err := p.look(len(ready))
		return p.collect(ready, n), err
	}
	ms := -1
	if timeout > 0 {
		ms = int(min(inMillis(timeout), math.MaxInt32))
	}
	n, err := unix.EpollWait(p.fd, p.events[:len(ready)], ms)
	if err != nil && err != unix.EINTR {
		return 0, err
	}
	return p.collect(ready, n), nil
}

// inMillis is rounded up: a timer is never early, and the loop never spins on it.
func inMillis(timeout time.Duration) time.Duration {
	return (timeout + time.Millisecond - 1) / time.Millisecond
}

func (p *epoll) makeRoom(room int) {
	if room > len(p.events) {
		p.events = make([]unix.EpollEvent, room)
	}
}

// look is what is ready now, up to room.
func (p *epoll) look(room int) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])),
		uintptr(room), 0, 0, 8)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EINTR:
		return 0, nil
	}
	return 0, errno
}

// collect turns the first n of events into ready.
func (p *epoll) collect(ready []Ready, n int) int {
	k := 0
	for i := range n {
		ev := &p.events[i]
		token := uint64(uint32(ev.Fd)) | uint64(uint32(ev.Pad))<<32
		if token == wakeToken {
			p.drainWake()
			continue
		}
		ready[k] = Ready{Token: token, Events: fromEpoll(ev.Events)}
		k++
	}
	return k
}

func fromEpoll(e uint32) Events {
	var ev Events
	if e&unix.EPOLLIN != 0 {
		ev |= ReadEvent
	}
	if e&unix.EPOLLOUT != 0 {
		ev |= WriteEvent
	}
	if e&unix.EPOLLRDHUP != 0 {
		ev |= FinEvent
	}
	if e&unix.EPOLLHUP != 0 {
		ev |= HangupEvent
	}
	if e&unix.EPOLLERR != 0 {
		ev |= ErrorEvent
	}
	return ev
}

func (p *epoll) drainWake() {
	var buf [8]byte
	unix.RawSyscall(unix.SYS_READ, uintptr(p.wake), uintptr(unsafe.Pointer(&buf[0])), 8)
}

func (p *epoll) Wake() error {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, err := unix.Write(p.wake, one[:])
	if err == unix.EAGAIN { // the counter is full: it wakes all the same
		err = nil
	}
	return err
}

func (p *epoll) Close() error {
	return errors.Join(p.unpark(), unix.Close(p.wake), unix.Close(p.fd))
}
