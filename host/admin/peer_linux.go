package admin

import (
	"net"

	"golang.org/x/sys/unix"
)

// peerOf is the process at the other end of a Unix socket, as it was when it connected.
func peerOf(c net.Conn) (uid, pid int, known bool) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0, 0, false
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, 0, false
	}
	var cred *unix.Ucred
	controlErr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err != nil || controlErr != nil {
		return 0, 0, false
	}
	return int(cred.Uid), int(cred.Pid), true
}
