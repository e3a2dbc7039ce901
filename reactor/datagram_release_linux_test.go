package reactor_test

import (
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wirehost/wirehost/reactor"
)

// optionOf is an option of a socket's.
func optionOf(t *testing.T, f *os.File, level, option int) (value int) {
	t.Helper()
	c, err := f.SyscallConn()
	if err == nil {
		controlErr := c.Control(func(fd uintptr) { value, err = unix.GetsockoptInt(int(fd), level, option) })
		if err == nil {
			err = controlErr
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// TestDatagramReleased: a socket that somebody else has as well, such as systemd, is as it was when it was
// given, once it is closed; and Reset gives the hops that the system has been told to send with.
func TestDatagramReleased(t *testing.T) {
	if !namespaced(t) {
		return
	}
	const hops = "/proc/sys/net/ipv4/ip_default_ttl"
	if err := os.WriteFile(hops, []byte("99"), 0); err != nil {
		t.Skipf("the default can't be set: %v", err)
	}
	given, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer given.Close()
	f, err := given.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, backend := range []string{"epoll", "portable"} {
		r := startedReactor(t, backend, 1)
		p := newScripted(func(*scripted, reactor.Datagram) {})
		ep := reactor.Endpoint{Scheme: "udp", Host: "127.0.0.1"}
		port, err := r.ListenDatagramFiles([]*os.File{f}, ep,
			func(*reactor.DatagramSocket) (reactor.DatagramProtocol, error) {
				return p, nil
			}, reactor.DatagramOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := port.Start(); err != nil {
			t.Fatal(err)
		}
		p.want(t, "start")
		if n := optionOf(t, f, unix.SOL_UDP, unix.UDP_GRO); backend == "epoll" && n != 1 {
			t.Skip("the system keeps no datagrams together")
		}
		d := port.Sockets()[0]
		onLoop(t, d.Loop(), func() error {
			err := d.SetOption(reactor.Hops, 64)
			d.Reset()
			return err
		})
		if n := optionOf(t, f, unix.IPPROTO_IP, unix.IP_TTL); n != 99 {
			t.Errorf("%s: found %d hops, wanted the system's 99", backend, n)
		}
		port.Close(reactor.Done)
		if n := optionOf(t, f, unix.SOL_UDP, unix.UDP_GRO); n != 0 {
			t.Errorf("%s: datagrams come as one still", backend)
		}
	}
}
