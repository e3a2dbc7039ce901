//go:build unix

package reactor

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// beforeBind sets what can't wait until a socket is bound. Nobody may connect to the file
// of a Unix socket until it has its owner and its mode: on Linux a socket's own mode is
// its file's at most.
func beforeBind(network string, fd uintptr, o SocketOptions) error {
	switch {
	case isPath(network) && o.Mode != 0 && runtime.GOOS == "linux":
		return unix.Fchmod(int(fd), 0)
	case !isPath(network) && o.ReusePort:
		return setReusePort(fd, true)
	}
	return nil
}

// closedFiles has files that are made from now on be closed to others until the function
// that it returns is called. Elsewhere than on Linux there is no better way than the
// process's umask, which other goroutines have as well.
func closedFiles(network string, o SocketOptions) (done func()) {
	if !isPath(network) || o.Mode == 0 || runtime.GOOS == "linux" {
		return func() {}
	}
	old := syscall.Umask(0o177)
	return func() { syscall.Umask(old) }
}

// setReusePort works on a socket that is bound, too: it is others that want the port
// whom the system then lets in.
func setReusePort(fd uintptr, on bool) error {
	return unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, boolInt(on))
}

func setBroadcast(fd uintptr, on bool) error {
	return unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, boolInt(on))
}

func boolInt(on bool) int {
	if on {
		return 1
	}
	return 0
}

// Check says what is wrong with the options on this machine, such as a user that it does not
// know.
func (o SocketOptions) Check() error {
	_, _, err := o.owners()
	return err
}

// owners are the numbers of a socket's owner and group; -1 where they are not given.
func (o SocketOptions) owners() (uid, gid int, err error) {
	uid, err = numberOf(o.Owner, func(name string) (string, error) {
		u, err := user.Lookup(name)
		if err != nil {
			return "", err
		}
		return u.Uid, nil
	})
	if err != nil {
		return 0, 0, fmt.Errorf("owner: %w", err)
	}
	gid, err = numberOf(o.Group, func(name string) (string, error) {
		g, err := user.LookupGroup(name)
		if err != nil {
			return "", err
		}
		return g.Gid, nil
	})
	if err != nil {
		if errors.As(err, new(user.UnknownGroupError)) { // which says that it is a group's
			return 0, 0, err
		}
		return 0, 0, fmt.Errorf("group: %w", err)
	}
	return uid, gid, nil
}

// setFile gives a socket's file its owner, its group and its mode.
func setFile(path string, o SocketOptions) error {
	uid, gid, err := o.owners()
	if err != nil {
		return err
	}
	if uid >= 0 || gid >= 0 {
		if err := os.Lchown(path, uid, gid); err != nil {
			return err
		}
	}
	if o.Mode == 0 {
		return nil
	}
	return os.Chmod(path, o.Mode.Perm())
}

// numberOf is the number of a user or a group, -1 for "".
func numberOf(name string, lookup func(string) (string, error)) (int, error) {
	if name == "" {
		return -1, nil
	}
	if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(n), nil
	}
	text, err := lookup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(text)
}
