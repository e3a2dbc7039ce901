package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

var errTooLong = errors.New("found a file of more")

// readFile reads a file that the configuration names: at most limit bytes, 0 for
// any number: more is errTooLong. It must be a regular file. To open a pipe is to wait for its writer,
// and a start or a change that waits can't be ended.
func readFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("found " + kindOf(info.Mode()) + ", wanted a file")}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if limit <= 0 {
		return io.ReadAll(f)
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%w than %d bytes", errTooLong, limit)
	}
	return b, err
}

func kindOf(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a folder"
	case m&fs.ModeNamedPipe != 0:
		return "a pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	}
	return "a device"
}
