//go:build unix

package reactor

import (
	"errors"
	"net"
	"os"
	"os/user"
	"strings"
	"syscall"
	"testing"
)

// TestSocketMode: a Unix socket's file has the mode that was asked for, whatever the
// umask is, and another one when its listener is configured anew.
func TestSocketMode(t *testing.T) {
	everySys(t, func(t *testing.T, s Sys) {
		for _, umask := range []int{0, 0o077} {
			old := syscall.Umask(umask)
			fd, err := s.Listen("unix", "s", SocketOptions{Mode: 0o660})
			syscall.Umask(old)
			if err != nil {
				t.Fatal(err)
			}
			for _, mode := range []os.FileMode{0o660, 0o606} {
				if err := s.SetListener(fd, SocketOptions{Mode: mode}); err != nil {
					t.Error(err)
				}
				if st, err := os.Lstat("s"); err != nil || st.Mode().Perm() != mode {
					t.Errorf("umask %o: found %v, %v, wanted mode %o", umask, st.Mode(), err, mode)
				}
			}
			if err := s.Close(fd); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestSocketIsClosedUntilItHasItsMode: what is bound is closed to all, and stays so where
// it can't have its owner; then nothing is left of it.
func TestSocketIsClosedUntilItHasItsMode(t *testing.T) {
	t.Chdir(t.TempDir())
	ln, err := listenNet("unix", "s", SocketOptions{Mode: 0o666})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := beforeBindMode(t); err != nil {
		t.Error(err)
	}
	_, err = listenNet("unix", "other", SocketOptions{Mode: 0o666, Owner: "nobody-of-this-name"})
	var unknown user.UnknownUserError
	if !errors.As(err, &unknown) || !strings.HasPrefix(err.Error(), "owner: ") {
		t.Errorf("found %v, wanted an unknown owner", err)
	}
	if _, err := os.Lstat("other"); err == nil {
		t.Error("its file is there")
	}
}

// beforeBindMode binds a socket as listenNet does, but gives its file no mode.
func beforeBindMode(t *testing.T) error {
	o := SocketOptions{Mode: 0o666}
	lc := net.ListenConfig{Control: func(network, _ string, c syscall.RawConn) error {
		var err error
		return errors.Join(c.Control(func(fd uintptr) { err = beforeBind(network, fd, o) }), err)
	}}
	done := closedFiles("unix", o)
	ln, err := lc.Listen(t.Context(), "unix", "bound")
	done()
	if err != nil {
		return err
	}
	defer ln.Close()
	st, err := os.Lstat("bound")
	if err == nil && st.Mode().Perm()&0o077 != 0 {
		err = errors.New("others may connect: " + st.Mode().String())
	}
	return err
}

// TestSocketOwner: numbers and names are both good, and what the process must not give
// away is an error.
func TestSocketOwner(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Skip(err)
	}
	everySys(t, func(t *testing.T, s Sys) {
		for _, o := range []SocketOptions{{Owner: me.Uid, Group: me.Gid}, {Owner: me.Username}} {
			fd, err := s.Listen("unix", "s", o)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(fd); err != nil {
				t.Error(err)
			}
		}
		if os.Getuid() == 0 {
			return
		}
		if _, err := s.Listen("unix", "s", SocketOptions{Owner: "1"}); !errors.Is(err, os.ErrPermission) {
			t.Errorf("found %v, wanted no permission", err)
		}
	})
}

// TestReusePort: others may have the port where both want it, and a socket that is bound
// may change its mind.
func TestReusePort(t *testing.T) {
	everySys(t, func(t *testing.T, s Sys) {
		first, err := s.Listen("tcp", "127.0.0.1:0", SocketOptions{})
		if err != nil {
			t.Fatal(err)
		}
		address := s.LocalAddr(first).String()
		shared := SocketOptions{ReusePort: true}
		if _, err := s.Listen("tcp", address, shared); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("found %v, wanted that the address is in use", err)
		}
		if err := s.SetListener(first, shared); err != nil {
			t.Fatal(err)
		}
		second, err := s.Listen("tcp", address, shared)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Close(first), s.Close(second)); err != nil {
			t.Error(err)
		}
	})
}
