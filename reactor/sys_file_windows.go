package reactor

import (
	"os"
	"syscall"
)

// socketFileOf fails: a socket is no file here.
func socketFileOf(syscall.Conn) (*os.File, error) { return nil, ErrNotSupported }

func openSocket(*os.File, socketKind) (int, error) { return -1, ErrNotSupported }
