//go:build !unix

package handover

import (
	"errors"
	"fmt"
	"os"
)

var errUnsupported = fmt.Errorf("files can't be handed to another process here: %w", errors.ErrUnsupported)

// Pair is an error: this system passes no descriptors.
func Pair() (ours *Conn, theirs *os.File, err error) { return nil, nil, errUnsupported }

// Sockets is an error, as Pair is.
func Sockets() (one, two *os.File, err error) { return nil, nil, errUnsupported }

func (c *Conn) writeHeader([]byte, []*os.File) error { return errUnsupported }

func (c *Conn) readHeader() ([]byte, []*os.File, bool, error) { return nil, nil, false, errUnsupported }
