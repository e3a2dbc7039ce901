package reactor

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// silentAt listens at 127.0.0.2 and takes nobody, and gives the port: whoever comes now gets no
// answer.
func silentAt(t *testing.T) uint16 {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 2}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	kind := unix.SOCK_STREAM | unix.SOCK_CLOEXEC
	for range 4 { // its queue is full then, once the first one, for which this waits, is there
		c, err := unix.Socket(unix.AF_INET, kind, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(c) })
		_ = unix.Connect(c, at) // it goes on
		kind |= unix.SOCK_NONBLOCK
	}
	return uint16(at.(*unix.SockaddrInet4).Port)
}

// TestConnectRaceSockets: over sockets of the system, where the first address does not answer.
func TestConnectRaceSockets(t *testing.T) {
	for _, backend := range []string{"epoll", "portable"} {
		t.Run(backend, func(t *testing.T) {
			port := silentAt(t)
			ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
			if err != nil {
				t.Skip("another has the port: ", err)
			}
			defer ln.Close()
			r, err := New(Config{Loops: 1, Backend: backend})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			r.lookup = func(_ context.Context, network, _ string) ([]netip.Addr, error) {
				if network == "ip6" {
					return nil, &net.DNSError{IsNotFound: true}
				}
				return []netip.Addr{netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.1")}, nil
			}
			if err := r.Start(); err != nil {
				t.Fatal(err)
			}
			peer := make(chan string, 1)
			p := &client{failed: make(chan Reason, 1)}
			p.made = func(tr Transport) {
				peer <- tr.Peer()
				tr.LoseConnection()
			}
			l := r.Loops()[0]
			if err := l.CallFromThread(func() {
				l.Connect(Endpoint{Scheme: "tcp", Host: "a.example", Port: port}, p, ConnectOptions{})
			}); err != nil {
				t.Fatal(err)
			}
			select {
			case found := <-peer:
				if want := "tcp://" + ln.Addr().String(); found != want {
					t.Errorf("found %s, wanted %s", found, want)
				}
			case reason := <-p.failed:
				t.Errorf("found %v", reason)
			}
			if c, err := ln.Accept(); err != nil {
				t.Error(err)
			} else {
				c.Close()
			}
		})
	}
}
