package reactor_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wirehost/wirehost/reactor"
)

func TestDatagramBroadcast(t *testing.T) {
	for _, backend := range []string{"epoll", "portable"} {
		r := startedReactor(t, backend, 1)
		all, err := net.ListenPacket("udp4", "0.0.0.0:0")
		if err != nil {
			t.Fatal(err)
		}
		defer all.Close()
		to := netip.AddrPortFrom(netip.MustParseAddr("127.255.255.255"), uint16(all.LocalAddr().(*net.UDPAddr).Port))
		records := reactor.AppendDatagram(nil, reactor.Datagram{Peer: to, Payload: []byte("all")})
		for _, allowed := range []bool{false, true} {
			p := newScripted(echoDatagram)
			listenDatagrams(t, r, "udp://127.0.0.1:0", p, reactor.DatagramOptions{Broadcast: allowed})
			p.want(t, "start")
			done := make(chan error)
			if err := r.Loops()[0].CallFromThread(func() {
				n, err := p.s.Send(records, 1)
				set := p.s.SetOption(reactor.Broadcast, 1)
				if n != 0 || err != nil || allowed != (set == nil) {
					done <- fmt.Errorf("found %d, %w, %w", n, err, set)
					return
				}
				n, err = p.s.Send(records, 1)
				if (n == 1) != allowed {
					err = fmt.Errorf("found %d sent, %w", n, err)
				}
				done <- err
			}); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Errorf("%s, allowed: %t: %v", backend, allowed, err)
			}
		}
	}
}

// The file of a Unix socket has its mode, and goes with the socket.
func TestDatagramUnixFile(t *testing.T) {
	for _, backend := range []string{"epoll", "portable"} {
		path := filepath.Join(socketPath(t))
		p := newScripted(func(*scripted, reactor.Datagram) {})
		var o reactor.DatagramOptions
		o.Socket.Mode = 0o620
		r := startedReactor(t, backend, 1)
		port := listenDatagrams(t, r, "unixgram://"+path, p, o)
		p.want(t, "start")
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o620 {
			t.Errorf("%s: found %v, %v", backend, info, err)
		}
		o.Socket.Mode = 0o600
		if err := port.Configure(o); err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: found %v, %v behind another mode", backend, info, err)
		}
		if _, err := r.ListenDatagrams(port.Endpoint(), nil, o); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("%s: found %v", backend, err)
		}
		port.Close(reactor.Done)
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: found %v: the file is left", backend, err)
		}
	}
}

// What a full socket has no room for is counted.
func TestDatagramOverflow(t *testing.T) {
	r := startedReactor(t, "epoll", 1)
	p := newScripted(func(*scripted, reactor.Datagram) {})
	var o reactor.DatagramOptions
	o.Socket.Buffer = 4 << 10
	port := listenDatagrams(t, r, "udp://127.0.0.1:0", p, o)
	p.want(t, "start")
	pause := make(chan struct{})
	if err := r.Loops()[0].CallFromThread(func() { p.s.PauseProducing(); close(pause) }); err != nil {
		t.Fatal(err)
	}
	<-pause
	c := dialUDP(t, "udp", fmt.Sprintf("127.0.0.1:%d", port.Endpoint().Port))
	sent := uint64(200)
	for range sent {
		if _, err := c.Write(make([]byte, 500)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Loops()[0].CallFromThread(func() { p.s.ResumeProducing() }); err != nil {
		t.Fatal(err)
	}
	var s reactor.DatagramStats
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if _, err := c.Write([]byte("one more")); err != nil { // the system is asked again behind some time
			t.Fatal(err)
		}
		sent++
		time.Sleep(20 * time.Millisecond)
		if s = port.Stats(); s.Received+s.Overflowed == sent && s.Overflowed > 0 {
			return
		}
	}
	t.Errorf("found %+v, wanted %d together", s, sent)
}

// Datagrams that go to one peer may be one to the system: they come as they were, and each
// counts.
func TestDatagramRuns(t *testing.T) { datagramRuns(t) }

// Datagrams that come as one, as from a network card, are as they were sent, and no batch
// has more of them than a protocol may get.
func TestDatagramRunsReceived(t *testing.T) {
	const size, runs = 8, 30
	payload := make([]byte, 64*size-3) // the last one is shorter
	for i := range payload {
		payload[i] = byte(i / size)
	}
	for _, host := range []string{"127.0.0.1", "[::]"} {
		r := startedReactor(t, "epoll", 1)
		got := make(chan reactor.Datagram, runs*64)
		p := newScripted(func(_ *scripted, d reactor.Datagram) {
			d.Payload = bytes.Clone(d.Payload)
			got <- d
		})
		port := listenDatagrams(t, r, "udp://"+host+":0", p, reactor.DatagramOptions{})
		p.want(t, "start")
		ran := make(chan struct{})
		if err := r.Loops()[0].CallFromThread(func() { p.s.PauseProducing(); close(ran) }); err != nil {
			t.Fatal(err)
		}
		<-ran
		c := dialUDP(t, "udp", fmt.Sprintf("127.0.0.1:%d", port.Endpoint().Port))
		if err := setSegment(c, size); err != nil {
			t.Skip("the system has no runs: ", err)
		}
		for range runs {
			if _, err := c.Write(payload); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Loops()[0].CallFromThread(p.s.ResumeProducing); err != nil {
			t.Fatal(err)
		}
		from := c.LocalAddr().(*net.UDPAddr).AddrPort()
		for n := range runs * 64 {
			want := payload[n%64*size:][:min(size, len(payload)-n%64*size)]
			var d reactor.Datagram
			select {
			case d = <-got:
			case <-time.After(time.Minute):
				t.Fatalf("%s: found nothing, wanted datagram %d", host, n)
			}
			if !bytes.Equal(d.Payload, want) || d.Cut || d.Peer != from {
				t.Fatalf("%s: %d: found %x from %s, cut: %t, wanted %x from %s", host, n, d.Payload, d.Peer, d.Cut,
					want, from)
			}
		}
		for len(p.events) > 0 {
			var n int
			what := <-p.events
			if _, err := fmt.Sscanf(what, "batch of %d", &n); err != nil || n > reactor.MaxDatagrams {
				t.Errorf("%s: found %q, wanted %d at most", host, what, reactor.MaxDatagrams)
			}
		}
	}
}

// setSegment has each write be datagrams of so many bytes.
func setSegment(c *net.UDPConn, size int) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, size) })
	return errors.Join(err, failed)
}

// A socket that goes to another reactor may send broadcasts there if it might before.
func TestDatagramMovesWithBroadcast(t *testing.T) {
	for _, backend := range []string{"", "portable"} {
		from, to := startedReactor(t, backend, 1), startedReactor(t, backend, 1)
		o := reactor.DatagramOptions{Broadcast: true}
		p := newScripted(echoDatagram)
		old := listenDatagrams(t, from, "udp://127.0.0.1:0", p, o)
		p.want(t, "start")
		port, err := to.ListenDatagramFiles(nil, old.Endpoint(), nil, o)
		if err != nil {
			t.Fatal(err)
		}
		for value := range 2 {
			onLoop(t, p.s.Loop(), func() error { return p.s.SetOption(reactor.Broadcast, value) })
			s, f := freeze(t, p.s)
			l := to.Loops()[0]
			onLoop(t, l, func() error {
				d, err := l.AdoptDatagram(f, s, newScripted(echoDatagram), port, o)
				if err == nil {
					d.Thaw()
				}
				return err
			})
			found, err := unix.GetsockoptInt(int(f.Fd()), unix.SOL_SOCKET, unix.SO_BROADCAST)
			if err != nil || found != value {
				t.Errorf("%q: found %d, %v, wanted %d", backend, found, err, value)
			}
			onLoop(t, p.s.Loop(), func() error { p.s.Thaw(); return nil })
		}
	}
}

// They also come where they are too long for the path, and go one by one.
func TestDatagramRunsTooLong(t *testing.T) {
	if !namespaced(t) {
		return
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	req.SetUint32(1280)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFMTU, req); err != nil {
		t.Fatal(err)
	}
	datagramRuns(t)
}

func datagramRuns(t *testing.T) {
	r := startedReactor(t, "epoll", 1)
	for _, host := range []string{"127.0.0.1", "[::]"} {
		t.Run(host, func(t *testing.T) {
			p := newScripted(func(*scripted, reactor.Datagram) {})
			port := listenDatagrams(t, r, "udp://"+host+":0", p, reactor.DatagramOptions{})
			p.want(t, "start")
			var clients []*net.UDPConn
			for range 3 {
				clients = append(clients, dialUDP(t, "udp", fmt.Sprintf("127.0.0.1:%d", port.Endpoint().Port)))
			}
			chance := rand.New(rand.NewPCG(1, 2))
			for range 50 {
				sendRuns(t, p, clients, chance)
			}
		})
	}
}

// sendRuns has p send some datagrams to each client, in runs of random lengths.
func sendRuns(t *testing.T, p *scripted, clients []*net.UDPConn, chance *rand.Rand) {
	t.Helper()
	var records []byte
	wanted := make([][]string, len(clients))
	n := 0
	for n < 60 {
		to, size := chance.IntN(len(clients)), []int{0, 1, 64, 1452, 1453}[chance.IntN(5)]
		for range 1 + chance.IntN(20) {
			payload := bytes.Repeat([]byte{byte(n)}, max(0, size-chance.IntN(2)*chance.IntN(2)))
			records = reactor.AppendDatagram(records, reactor.Datagram{Payload: payload,
				Peer: clients[to].LocalAddr().(*net.UDPAddr).AddrPort()})
			wanted[to] = append(wanted[to], string(payload))
			n++
		}
	}
	taken := make(chan int)
	if err := p.s.Loop().CallFromThread(func() {
		k, err := p.s.Send(records, n)
		if err != nil {
			t.Error(err)
		}
		taken <- k
	}); err != nil {
		t.Fatal(err)
	}
	if k := <-taken; k != n {
		t.Fatalf("found %d taken, wanted %d", k, n)
	}
	buf := make([]byte, 64<<10)
	for i, c := range clients {
		for _, want := range wanted[i] {
			k, err := c.Read(buf)
			if err != nil || string(buf[:k]) != want {
				t.Fatalf("found %d bytes, %v, wanted %d", k, err, len(want))
			}
		}
	}
}
