//go:build unix

package credentials

import (
	"io/fs"
	"os"
	"syscall"
)

// isOwn tells whether a file is the process's user's own.
func isOwn(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == os.Getuid()
}
