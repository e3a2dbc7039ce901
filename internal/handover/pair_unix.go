//go:build unix

package handover

import (
	"errors"
	"io"
	"os"
	"runtime"
	"syscall"
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

// writeHeader sends a message's header, with its files beside it.
func (c *Conn) writeHeader(header []byte, files []*os.File) error {
	var rights []byte
	if len(files) > 0 {
		fds, err := descriptors(files)
		if err != nil {
			return err
		}
		rights = syscall.UnixRights(fds...)
		defer runtime.KeepAlive(files)
	}
	n, _, err := c.socket.WriteMsgUnix(header, rights, nil)
	for err == nil && n < len(header) { // the files went with the first byte
		var more int
		more, err = c.socket.Write(header[n:])
		n += more
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

// readHeader receives a message's header and its files; cut says that some of these could
// not be taken.
func (c *Conn) readHeader() (header []byte, files []*os.File, cut bool, err error) {
	header = make([]byte, headerSize)
	room := make([]byte, syscall.CmsgSpace(4*MaxFiles))
	for have := 0; have < headerSize; {
		n, rights, flags, _, err := c.socket.ReadMsgUnix(header[have:], room)
		if err == nil && n == 0 {
			err = io.EOF
		}
		more, parseErr := filesOf(room[:rights])
		files = append(files, more...)
		cut = cut || flags&syscall.MSG_CTRUNC != 0
		if err := errors.Join(err, parseErr); err != nil {
			if errors.Is(err, io.EOF) && have > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, files, cut, err
		}
		have += n
	}
	return header, files, cut, nil
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
