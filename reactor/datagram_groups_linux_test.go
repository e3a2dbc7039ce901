package reactor_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"github.com/wirehost/wirehost/internal/reactortest"
	"github.com/wirehost/wirehost/internal/tooltest"
	"github.com/wirehost/wirehost/reactor"
)

const inNamespace = "REACTOR_TEST_NAMESPACE"

// namespaced runs a test again, in a network namespace of its own that has lo alone, and
// reports whether this is that run.
func namespaced(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inNamespace) != "" {
		loUp(t)
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	var failed *exec.ExitError
	switch {
	case errors.As(err, &failed):
		t.Errorf("%v\n%s", err, out)
	case err != nil:
		tooltest.Missing(t, fmt.Sprintf("a network namespace can't be made here: %v", err))
	}
	return false
}

func loUp(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING | unix.IFF_MULTICAST)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		t.Fatal(err)
	}
}

// TestDatagramGroups runs the promises where there is a network for groups.
func TestDatagramGroups(t *testing.T) {
	if !namespaced(t) {
		return
	}
	for _, backend := range []string{"epoll", "portable"} {
		t.Run(backend, func(t *testing.T) {
			reactortest.DatagramSuite(t, reactortest.DatagramBackend{
				New: func(t *testing.T) *reactor.Reactor {
					return datagramReactor(t, reactor.Config{Loops: 1, Backend: backend})
				},
				Dial: dialDatagrams, Ahead: backend == "portable", Zone: "%lo",
				Group: func(t *testing.T, group string, port uint16, payload []byte) error {
					c, err := net.ListenPacket("udp", "127.0.0.1:0") // from lo
					if err != nil {
						return err
					}
					defer c.Close()
					_, err = c.WriteTo(payload, &net.UDPAddr{IP: net.ParseIP(group), Port: int(port)})
					return err
				},
			})
		})
	}
}

// member is a socket of another program that is in a group, on one interface.
func member(t *testing.T, group, zone string, port uint16) (net.PacketConn, *ipv6.PacketConn) {
	t.Helper()
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		controlErr := c.Control(func(fd uintptr) {
			err = unix.BindToDevice(int(fd), zone)
		})
		return errors.Join(controlErr, err)
	}}
	c, err := lc.ListenPacket(t.Context(), "udp6", fmt.Sprintf("[::]:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	ifi, err := net.InterfaceByName(zone)
	if err != nil {
		t.Fatal(err)
	}
	p := ipv6.NewPacketConn(c)
	if err = errors.Join(p.JoinGroup(ifi, &net.UDPAddr{IP: net.ParseIP(group)}),
		p.SetMulticastLoopback(false), p.SetControlMessage(ipv6.FlagHopLimit, true),
		p.SetDeadline(time.Now().Add(time.Minute))); err != nil {
		t.Fatal(err)
	}
	return c, p
}

// TestDatagramMulticastOverLink sends to groups over a link, and has datagrams come from it:
// an interface of the host's at one end, another machine's at the other.
func TestDatagramMulticastOverLink(t *testing.T) {
	if !namespaced(t) {
		return
	}
	ip := tooltest.Find(t, "ip", "apt-get install iproute2")
	for _, line := range []string{"link add here type veth peer name there", "addr add fe80::1/64 dev here nodad",
		"addr add fe80::2/64 dev there nodad", "link set here up", "link set there up"} {
		if out, err := exec.Command(ip, strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", line, err, out)
		}
	}
	for _, name := range []string{"here", "there"} {
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			ifi, err := net.InterfaceByName(name)
			if err == nil && ifi.Flags&net.FlagRunning != 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("found %+v, %v, wanted an interface that runs", ifi, err)
			}
		}
	}
	for _, backend := range []string{"epoll", "portable"} {
		t.Run(backend, func(t *testing.T) { multicastOverLink(t, backend) })
	}
}

func multicastOverLink(t *testing.T, backend string) {
	const group = "ff02::42"
	here, err := net.InterfaceByName("here")
	if err != nil {
		t.Fatal(err)
	}
	p := newScripted(func(p *scripted, d reactor.Datagram) {
		p.events <- fmt.Sprintf("%s from port %d in zone %d", d.Payload, d.Peer.Port(), d.Zone)
	})
	port := listenDatagrams(t, startedReactor(t, backend, 2), "udp://[::]:0", p, reactor.DatagramOptions{Loop: -1,
		Multicast: []netip.Prefix{netip.MustParsePrefix(group + "/128")}})
	p.want(t, "start")
	if n := len(port.Sockets()); n != 1 {
		t.Errorf("found %d sockets: each would get its own copy", n)
	}
	const to = 7373 // in this namespace nobody else has it
	near, _ := member(t, group, "here", to)
	far, hops := member(t, group, "there", to)

	// What comes from the link, while it has joined.
	onLoop(t, p.s.Loop(), func() error { return p.s.Join(group + "%here") })
	at := &net.UDPAddr{IP: net.ParseIP(group), Zone: "there", Port: int(port.Endpoint().Port)}
	if _, err := far.WriteTo([]byte("hello"), at); err != nil {
		t.Fatal(err)
	}
	p.want(t, "batch of 1", fmt.Sprintf("hello from port %d in zone %d", to, here.Index))

	// What goes there: with hops, to this machine's members too or to others alone.
	send := func(text string, hops, loop int) {
		t.Helper()
		onLoop(t, p.s.Loop(), func() error {
			one := reactor.AppendDatagram(nil, reactor.Datagram{Payload: []byte(text), Zone: uint32(here.Index),
				Peer: netip.AddrPortFrom(netip.MustParseAddr(group), to)})
			err := errors.Join(p.s.SetOption(reactor.MulticastHops, hops), p.s.SetOption(reactor.MulticastLoop, loop))
			if err != nil {
				return err
			}
			if n, err := p.s.Send(one, 1); n != 1 || err != nil {
				return fmt.Errorf("sent %d, %w", n, err)
			}
			return nil
		})
	}
	send("to others", 3, 0)
	send("to all", 9, 1)
	buf := make([]byte, 100)
	if n, _, err := near.ReadFrom(buf); err != nil || string(buf[:n]) != "to all" {
		t.Errorf("found %q, %v, wanted what goes to this machine's members, too", buf[:max(0, n)], err)
	}
	var found []string
	for range 2 {
		n, cm, _, err := hops.ReadFrom(buf)
		if err != nil || cm == nil {
			t.Fatalf("found %v, %v", cm, err)
		}
		found = append(found, string(buf[:n])+" "+strconv.Itoa(cm.HopLimit))
	}
	slices.Sort(found) // one that came by another processor may be before it
	if text := strings.Join(found, ", "); text != "to all 9, to others 3" {
		t.Errorf("found %q", text)
	}
	port.Close(reactor.Done)
	p.want(t, "stop connection done")
}
