package reactor

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// everySys calls test with each Sys that listens through package net.
func everySys(t *testing.T, test func(*testing.T, Sys)) {
	if runtime.GOOS == "windows" {
		t.Skip("package net removes the sockets there")
	}
	for _, backend := range []string{"auto", "portable"} {
		t.Run(backend, func(t *testing.T) {
			s := newPortableSys()
			if backend == "auto" {
				r, err := New(Config{Loops: 1})
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				s = r.sys
			} else {
				defer EndSys(context.Background(), s)
			}
			t.Chdir(t.TempDir()) // short paths
			test(t, s)
		})
	}
}

// TestSocketOfAnother: a listener removes its own socket, and not the one that a
// server which was started since has put in its place.
func TestSocketOfAnother(t *testing.T) {
	everySys(t, func(t *testing.T, s Sys) {
		for _, replaced := range []bool{false, true} {
			fd, err := s.Listen("unix", "s", SocketOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if replaced {
				if err := os.Remove("s"); err != nil {
					t.Fatal(err)
				}
				other, err := net.Listen("unix", "s")
				if err != nil {
					t.Fatal(err)
				}
				defer other.Close()
			}
			if err := s.Close(fd); err != nil {
				t.Error(err)
			}
			if _, err := os.Lstat("s"); replaced != (err == nil) {
				t.Errorf("replaced %v: %v", replaced, err)
			}
		}
	})
}

// TestNoSocket: what is no socket is neither removed nor passed over in silence.
func TestNoSocket(t *testing.T) {
	everySys(t, func(t *testing.T, s Sys) {
		if err := errors.Join(os.Mkdir("folder", 0o700), os.WriteFile("file", []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"folder", "file"} {
			_, err := s.Listen("unix", path, SocketOptions{})
			if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "no socket") {
				t.Errorf("%s: %v", path, err)
			}
			if _, err := os.Lstat(path); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestAbstractSocket: Linux's sockets without a file leave files of that name alone.
func TestAbstractSocket(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Linux alone has abstract names")
	}
	everySys(t, func(t *testing.T, s Sys) {
		name := "@wirehost-test-" + strings.ReplaceAll(t.Name(), "/", "-")
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		fd, err := s.Listen("unix", name, SocketOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(fd); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(name); err != nil {
			t.Error(err)
		}
	})
}

// TestLongPath: a path that no socket can have is told of by its length; the system
// would call it an invalid argument.
func TestLongPath(t *testing.T) {
	fits := "unix:///" + strings.Repeat("x", maxUnixPath-1)
	if _, err := ParseEndpoint(fits); err != nil {
		t.Error(err)
	}
	if _, err := ParseEndpoint(fits + "x"); err == nil || !strings.Contains(err.Error(), "found a path of") {
		t.Errorf("found %v", err)
	}
	everySys(t, func(t *testing.T, s Sys) {
		longest := strings.Repeat("x", maxUnixPath)
		fd, err := s.Listen("unix", longest, SocketOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(fd); err != nil {
			t.Error(err)
		}
		if _, err := s.Listen("unix", longest+"x", SocketOptions{}); err == nil {
			t.Error("the system takes more")
		}
	})
}
