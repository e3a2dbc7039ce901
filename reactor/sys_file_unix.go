//go:build !windows

package reactor

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// duplicate is another descriptor, closed on exec, of what from stands for. (File and
// Fd of packages net and os would make the socket a blocking one, for all of its
// descriptors.)
func duplicate(from syscall.Conn) (fd int, err error) {
	raw, err := from.SyscallConn()
	if err != nil {
		return -1, err
	}
	controlErr := raw.Control(func(orig uintptr) { fd, err = unix.FcntlInt(orig, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(controlErr, err); err != nil {
		return -1, err
	}
	return fd, nil
}

// socketFileOf is duplicate as a file.
func socketFileOf(from syscall.Conn) (*os.File, error) {
	fd, err := duplicate(from)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "socket"), nil
}

// openSocket is a duplicate, which does not block, of the socket f, or an error that says
// what f is instead.
func openSocket(f *os.File, wanted socketKind) (int, error) {
	fd, err := duplicate(f)
	if err != nil {
		return -1, err
	}
	if err = checkSocket(fd, wanted); err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func checkSocket(fd int, wanted socketKind) error {
	of, name := unix.SOCK_STREAM, "stream"
	if wanted == forDatagrams {
		of, name = unix.SOCK_DGRAM, "datagram"
	}
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return fmt.Errorf("found no socket, wanted %s: %w", wanted, err)
	}
	if kind != of {
		return fmt.Errorf("found a socket of type %d, wanted %s, of type %d (%s)", kind, wanted, of, name)
	}
	is, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	switch {
	case err != nil, wanted == forDatagrams: // a system that does not tell, or a socket that can't listen
	case is != 0 && wanted != listening:
		return fmt.Errorf("found a socket that listens, wanted %s", wanted)
	case is == 0 && wanted == listening:
		return fmt.Errorf("found a socket that does not listen, wanted %s", wanted)
	}
	return nil
}
