package reactor

import (
	"syscall"
	"testing"

	"golang.org/x/sys/windows"
)

func TestSystemErrno(t *testing.T) {
	for in, want := range map[syscall.Errno]syscall.Errno{
		windows.WSAECONNRESET:   syscall.ECONNRESET,
		windows.WSAECONNREFUSED: syscall.ECONNREFUSED,
		windows.WSAESHUTDOWN:    syscall.EPIPE,
		windows.WSAEMFILE:       syscall.EMFILE,
		windows.WSAEADDRINUSE:   syscall.EADDRINUSE,
		syscall.EINVAL:          syscall.EINVAL,
	} {
		if got := systemErrno(in); got != want {
			t.Errorf("%d: found %v, wanted %v", in, got, want)
		}
	}
}
