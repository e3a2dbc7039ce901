package reactor

import (
	"net"
	"syscall"
)

// systemUnsent is what the system holds of conn's output: see Sys.Unsent.
func systemUnsent(conn net.Conn) (n int) {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0
	}
	if raw.Control(func(fd uintptr) { n = unsent(fd) }) != nil { // closed
		return 0
	}
	return n
}
