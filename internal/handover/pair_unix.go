//go:build unix

package handover

import (
	"errors"
	"io"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Pair makes a connection: one end for this process, and a file for another one, which
// is inherited as exec.Cmd's ExtraFiles are.
func Pair() (ours *Conn, theirs *os.File, err error) {
	one, two, err := Sockets()
	if err != nil {
		return nil, nil, err
	}
	if ours, err = FromFile(one); err != nil {
		return nil, nil, errors.Join(err, two.Close())
	}
	return ours, two, nil
}

// Sockets makes the two ends of a connection, as files.
func Sockets() (one, two *os.File, err error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(fds[0]), "handover"), os.NewFile(uintptr(fds[1]), "handover"), nil
}

// write sends a message, with its files beside it.
func (c *Conn) write(message []byte, files []*os.File) error {
	var rights []byte
	if len(files) > 0 {
		fds, err := descriptors(files)
		if err != nil {
			return err
		}
		rights = syscall.UnixRights(fds...)
		defer runtime.KeepAlive(files)
	}
	n, _, err := c.socket.WriteMsgUnix(message, rights, nil)
	if err == nil && n < len(message) { // the files went with the first byte
		_, err = c.socket.Write(message[n:])
	}
	return err
}

// descriptors are those of files. os.File.Fd may set the mode in which a socket blocks,
// which is the other process's too.
func descriptors(files []*os.File) (fds []int, err error) {
	for _, f := range files {
		c, err := f.SyscallConn()
		if err == nil {
			err = c.Control(func(fd uintptr) { fds = append(fds, int(fd)) })
		}
		if err != nil {
			return nil, err
		}
	}
	return fds, nil
}

// read receives some bytes and the files that came with them; cut says that some of these
// could not be taken.
func (c *Conn) read(to []byte) (n int, files []*os.File, cut bool, err error) {
	room := make([]byte, syscall.CmsgSpace(4*MaxFiles))
	n, rights, flags, _, err := c.socket.ReadMsgUnix(to, room)
	if err == nil && n == 0 {
		err = io.EOF
	}
	files, parseErr := filesOf(room[:rights])
	return max(0, n), files, flags&syscall.MSG_CTRUNC != 0, errors.Join(err, parseErr)
}

// filesOf are the files of a control message.
func filesOf(control []byte) (files []*os.File, err error) {
	if len(control) == 0 {
		return nil, nil
	}
	list, err := syscall.ParseSocketControlMessage(control)
	if err != nil {
		return nil, os.NewSyscallError("recvmsg", err)
	}
	for n := range list {
		fds, err := syscall.ParseUnixRights(&list[n])
		if err != nil {
			return files, os.NewSyscallError("recvmsg", err)
		}
		for _, fd := range fds {
			syscall.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "handed over"))
		}
	}
	return files, nil
}

// Ended tells whether the other end of a socket is closed, with nothing left to read.
func Ended(socket syscall.Conn) bool {
	c, err := socket.SyscallConn()
	if err != nil {
		return true
	}
	ended := false
	err = c.Control(func(fd uintptr) {
		n, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		ended = n == 0 && err == nil || errors.Is(err, unix.ECONNRESET)
	})
	return ended || err != nil
}

// EndedBySignal tells whether a process was ended by SIGHUP or SIGUSR2, by which the program is
// asked for something once it runs.
func EndedBySignal(state *os.ProcessState) bool {
	status, is := state.Sys().(syscall.WaitStatus)
	return is && status.Signaled() && (status.Signal() == syscall.SIGHUP || status.Signal() == syscall.SIGUSR2)
}
