package main

import (
	"fmt"
	"io"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// serveEpoll is the floor: an epoll loop on one goroutine, with raw system calls
// and one buffer for all. It keeps no state of a connection, and where the
// socket does not take an answer whole, it closes: enough for these cases.
func serveEpoll(_ serveOptions, stdout io.Writer) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	file, err := ln.(*net.TCPListener).File()
	if err != nil {
		return err
	}
	lfd := int(file.Fd())
	if err := unix.SetNonblock(lfd, true); err != nil {
		return err
	}
	fmt.Fprintln(stdout, "listening", ln.Addr())
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, lfd,
		&unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(lfd)}); err != nil {
		return err
	}
	var events [256]unix.EpollEvent
	buf := make([]byte, 64<<10)
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(&events[0])),
			uintptr(len(events)), ^uintptr(0), 0, 8)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return errno
		}
		for i := range int(n) {
			fd := int(events[i].Fd)
			if fd == lfd {
				epollAccept(ep, lfd)
			} else if !epollEcho(fd, buf) {
				unix.Close(fd) // leaves the epoll set by itself
			}
		}
	}
}

func epollAccept(ep, lfd int) {
	for {
		fd, _, err := unix.Accept4(lfd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd,
			&unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
			unix.Close(fd)
		}
	}
}

// epollEcho answers what has come, and reports whether the connection goes on.
func epollEcho(fd int, buf []byte) bool {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
	if errno == unix.EAGAIN || errno == unix.EINTR {
		return true
	}
	if errno != 0 || n == 0 {
		return false
	}
	w, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), n,
		unix.MSG_NOSIGNAL, 0, 0)
	return errno == 0 && w == n
}
