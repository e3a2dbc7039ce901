//go:build unix

package command

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// ownerOf is who owns the socket of an endpoint, as NAME or the number, and whether that
// is another than who asks. known is false where it can't be told.
func ownerOf(endpoint string) (name string, mode fs.FileMode, other, known bool) {
	path, isUnix := strings.CutPrefix(endpoint, "unix://")
	if !isUnix {
		return "", 0, false, false
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", 0, false, false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", 0, false, false
	}
	name = strconv.Itoa(int(s.Uid))
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	return name, info.Mode().Perm(), int(s.Uid) != os.Getuid(), true
}

// ownerText says who may open an endpoint's socket, where that can be told.
func ownerText(endpoint string) string {
	name, mode, _, known := ownerOf(endpoint)
	if !known {
		return ""
	}
	return fmt.Sprintf(", which is user %s's (mode %04o)", name, mode)
}
