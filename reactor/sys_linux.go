package reactor

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxPieces is how many pieces one writev takes.
const maxPieces = 64

// linuxSys is the system's own sockets. Calls on non-blocking sockets go
// through RawSyscall: they can't block, and telling Go's scheduler of each one
// costs more than many of them take (RATIONALE.md has the figures).
type linuxSys struct {
	start time.Time
	kept  kept

	mu    sync.Mutex
	spare int               // a descriptor kept in reserve, -1 when it is lent out or could not be had
	files map[FD]socketFile // of the Unix sockets that are listened on
}

func newLinuxSys() (Sys, error) {
	s := &linuxSys{start: time.Now(), files: map[FD]socketFile{}}
	s.spare = openSpare()
	return s, nil
}

func openSpare() int {
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
}

// finish gives the spare descriptor back. What closed sockets have taken is the
// system's to send.
func (s *linuxSys) finish(context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spare >= 0 {
		unix.Close(s.spare)
		s.spare = -1
	}
}

func (s *linuxSys) Now() time.Duration { return time.Since(s.start) }

// Listen lets package net do the naming, the options (SO_REUSEADDR, the
// system's backlog) and the IPv4 and IPv6 wildcard, and keeps the socket.
func (s *linuxSys) Listen(network, address string, o SocketOptions) (FD, error) {
	ln, err := listenNet(network, address, o)
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	fd, err := own(ln.(syscall.Conn))
	switch {
	case err != nil:
	case o.LeaveKept && s.kept.has(int(fd)):
		return 0, errors.Join(syscall.EMFILE, unix.Close(int(fd)))
	default:
		s.setFile(fd, takeFile(ln))
	}
	return fd, err
}

// own is a descriptor of the Sys's, which does not block, for what from stands for.
func own(from syscall.Conn) (FD, error) {
	fd, err := duplicate(from)
	if err != nil {
		return 0, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	return FD(fd), nil
}

func (s *linuxSys) RemoveAtClose(fd FD, on bool) {
	var file socketFile
	if on {
		file = fileAt(s.LocalAddr(fd))
	}
	s.setFile(fd, file)
}

func (s *linuxSys) setFile(fd FD, file socketFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, fd)
	if file.info != nil {
		s.files[fd] = file
	}
}

func (s *linuxSys) File(fd FD) (*os.File, error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(dup), "socket"), nil
}

func (s *linuxSys) Open(f *os.File, listening bool) (FD, error) {
	fd, err := openSocket(f, streamSocket(listening))
	if err == nil && !listening && s.kept.has(fd) {
		err = errors.Join(syscall.EMFILE, unix.Close(fd))
		fd = 0
	}
	return FD(max(0, fd)), err
}

// fileOf is the file of a Unix socket, where it is ours.
func (s *linuxSys) fileOf(fd FD) socketFile {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files[fd]
}

func (s *linuxSys) SetListener(l FD, o SocketOptions) error {
	if file := s.fileOf(l); file.info != nil {
		return file.set(o)
	}
	if a, ok := s.LocalAddr(l).(*net.TCPAddr); !ok || a == nil {
		return nil
	}
	return setReusePort(uintptr(l), o.ReusePort)
}

func (s *linuxSys) Accept(l FD) (FD, error) {
	fd, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(l), 0, 0, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	if s.kept.has(int(fd)) {
		return FD(fd), syscall.EMFILE
	}
	return FD(fd), nil
}

func (s *linuxSys) AcceptAndClose(l FD) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spare >= 0 {
		unix.Close(s.spare)
		s.spare = -1
	}
	fd, err := s.Accept(l)
	if fd > 0 {
		err = unix.Close(int(fd))
	}
	s.spare = openSpare()
	return err
}

func (s *linuxSys) Connect(network, address string) (FD, error) {
	return s.connect(unix.SOCK_STREAM, network, address)
}

// connect makes a socket of a kind, which does not block, and connects it, or begins to.
func (s *linuxSys) connect(kind int, network, address string) (FD, error) {
	family, sa := unix.AF_UNIX, unix.Sockaddr(&unix.SockaddrUnix{Name: address})
	if !isPath(network) {
		var err error
		if family, sa, err = sockaddr(address); err != nil {
			return 0, err
		}
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	if s.kept.has(fd) {
		unix.Close(fd)
		return 0, syscall.EMFILE
	}
	if err := unix.Connect(fd, sa); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		unix.Close(fd)
		return 0, err
	}
	return FD(fd), nil
}

func (s *linuxSys) ConnectResult(fd FD) error { return s.SocketError(fd) }

func (s *linuxSys) SocketError(fd FD) error {
	n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if n != 0 {
		return syscall.Errno(n)
	}
	return nil
}

func (s *linuxSys) Read(fd FD, p []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))),
		uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// Write is a send with MSG_NOSIGNAL: a peer that has gone is EPIPE, not a
// signal.
func (s *linuxSys) Write(fd FD, p []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))),
		uintptr(len(p)), unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func (s *linuxSys) Writev(fd FD, pieces [][]byte) (int, error) {
	var iov [maxPieces]unix.Iovec
	k := 0
	for _, p := range pieces {
		if len(p) == 0 {
			continue
		}
		if k == maxPieces {
			break
		}
		iov[k].Base = unsafe.SliceData(p)
		iov[k].SetLen(len(p))
		k++
	}
	var msg unix.Msghdr
	msg.Iov = &iov[0]
	msg.SetIovlen(k)
	n, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&msg)), unix.MSG_NOSIGNAL)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func (s *linuxSys) Unsent(fd FD) int { return unsent(uintptr(fd)) }

// unsent is the bytes of a TCP socket that were not acknowledged, and the memory
// of a Unix socket's that were not read.
func unsent(fd uintptr) int {
	n, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
	if err != nil { // a socket that has ended
		return 0
	}
	return n
}

func (s *linuxSys) ShutdownWrite(fd FD) error { return unix.Shutdown(int(fd), unix.SHUT_WR) }

func (s *linuxSys) Close(fd FD) error {
	s.mu.Lock()
	file := s.files[fd]
	delete(s.files, fd)
	s.mu.Unlock()
	file.remove()
	return unix.Close(int(fd))
}

// Reset makes close send RST (SO_LINGER of 0); Unix sockets have no such thing.
func (s *linuxSys) Reset(fd FD) error {
	unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	return unix.Close(int(fd))
}

func (s *linuxSys) LocalAddr(fd FD) net.Addr {
	sa, err := syscall.Getsockname(int(fd))
	if err != nil {
		return nil
	}
	return netAddr(sa)
}

func (s *linuxSys) RemoteAddr(fd FD) net.Addr {
	sa, err := syscall.Getpeername(int(fd)) // x/sys asks for the protocol as well
	if err != nil {
		return nil
	}
	return netAddr(sa)
}

func netAddr(sa syscall.Sockaddr) net.Addr {
	switch sa := sa.(type) {
	case *syscall.SockaddrInet4:
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)))
	case *syscall.SockaddrInet6:
		a := netip.AddrFrom16(sa.Addr).Unmap()
		if sa.ZoneId != 0 && a.Is6() {
			if ifi, err := net.InterfaceByIndex(int(sa.ZoneId)); err == nil {
				a = a.WithZone(ifi.Name)
			}
		}
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, uint16(sa.Port)))
	case *syscall.SockaddrUnix:
		return &net.UnixAddr{Name: sa.Name, Net: "unix"}
	}
	return nil
}

func (s *linuxSys) SetNoDelay(fd FD, on bool) error {
	return unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, boolInt(on))
}

func (s *linuxSys) SetKeepAlive(fd FD, on bool) error {
	return unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE, boolInt(on))
}
