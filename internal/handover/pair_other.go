//go:build !unix

package handover

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

var errUnsupported = fmt.Errorf("files can't be handed to another process here: %w", errors.ErrUnsupported)

// Pair is an error: this system passes no descriptors.
func Pair() (ours *Conn, theirs *os.File, err error) { return nil, nil, errUnsupported }

// Sockets is an error, as Pair is.
func Sockets() (one, two *os.File, err error) { return nil, nil, errUnsupported }

func (c *Conn) write([]byte, []*os.File) error { return errUnsupported }

func (c *Conn) read([]byte) (int, []*os.File, bool, error) { return 0, nil, false, errUnsupported }

// Ended is true: there is no such socket.
func Ended(syscall.Conn) bool { return true }

// EndedBySignal is false: no such signals are sent on this system.
func EndedBySignal(*os.ProcessState) bool { return false }
