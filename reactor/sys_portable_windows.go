package reactor

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// systemErrno is e as the loops know it: syscall's POSIX names are numbers of
// Go's own on Windows, and sockets fail with Winsock's.
func systemErrno(e syscall.Errno) syscall.Errno {
	switch e {
	case windows.WSAECONNRESET, windows.WSAENETRESET, windows.ERROR_NETNAME_DELETED:
		return syscall.ECONNRESET
	case windows.WSAECONNABORTED, windows.ERROR_CONNECTION_ABORTED:
		return syscall.ECONNABORTED
	case windows.WSAESHUTDOWN, windows.ERROR_BROKEN_PIPE, windows.ERROR_NO_DATA:
		return syscall.EPIPE
	case windows.WSAECONNREFUSED, windows.ERROR_CONNECTION_REFUSED:
		return syscall.ECONNREFUSED
	case windows.WSAETIMEDOUT, windows.ERROR_SEM_TIMEOUT:
		return syscall.ETIMEDOUT
	case windows.WSAEHOSTUNREACH, windows.WSAEHOSTDOWN:
		return syscall.EHOSTUNREACH
	case windows.WSAENETUNREACH, windows.WSAENETDOWN:
		return syscall.ENETUNREACH
	case windows.WSAEADDRINUSE:
		return syscall.EADDRINUSE
	case windows.WSAEADDRNOTAVAIL:
		return syscall.EADDRNOTAVAIL
	case windows.WSAEACCES, windows.ERROR_ACCESS_DENIED:
		return syscall.EACCES
	case windows.WSAEMFILE, windows.ERROR_TOO_MANY_OPEN_FILES:
		return syscall.EMFILE
	case windows.WSAENOBUFS:
		return syscall.ENOBUFS
	case windows.WSAENOTCONN:
		return syscall.ENOTCONN
	case windows.WSAEINTR:
		return syscall.EINTR
	case windows.WSAEWOULDBLOCK:
		return syscall.EAGAIN
	case windows.ERROR_FILE_NOT_FOUND, windows.ERROR_PATH_NOT_FOUND:
		return syscall.ENOENT
	}
	return e
}
