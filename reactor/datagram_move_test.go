package reactor_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/reactor"
)

// freeze gives a socket as it is, as something that can be adopted.
func freeze(t *testing.T, s *reactor.DatagramSocket) (value reactor.FrozenDatagram, f *os.File) {
	t.Helper()
	onLoop(t, s.Loop(), func() (err error) {
		if value, err = s.Freeze(); err == nil {
			f, err = s.File()
		}
		return err
	})
	t.Cleanup(func() { _ = f.Close() }) // it has done its work
	return value, f
}

// A port's sockets go to another reactor, of fewer loops: what is sent meanwhile comes there.
func TestDatagramPortMoves(t *testing.T) {
	from, to := startedReactor(t, "", 3), startedReactor(t, "", 1)
	ep := reactor.Endpoint{Scheme: "udp", Host: "127.0.0.1"}
	build := func(*reactor.DatagramSocket) (reactor.DatagramProtocol, error) { return newScripted(echoDatagram), nil }
	old, err := from.ListenDatagrams(ep, build, reactor.DatagramOptions{Loop: -1})
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Start(); err != nil {
		t.Fatal(err)
	}
	port, err := to.ListenDatagramFiles(nil, old.Endpoint(), build, reactor.DatagramOptions{Loop: -1})
	if err != nil {
		t.Fatal(err)
	}
	sockets := old.Sockets()
	values, files := make([]reactor.FrozenDatagram, len(sockets)), make([]*os.File, len(sockets))
	for i, s := range sockets {
		values[i], files[i] = freeze(t, s)
	}
	var clients []func(string)
	for i := range 40 {
		c := dialUDP(t, "udp", old.Endpoint().String()[len("udp://"):])
		if _, err := fmt.Fprint(c, i); err != nil {
			t.Fatal(err)
		}
		clients = append(clients, func(want string) {
			t.Helper()
			buf := make([]byte, 100)
			if n, err := c.Read(buf); err != nil || string(buf[:n]) != want {
				t.Errorf("found %q, %v, wanted %s", buf[:max(0, n)], err, want)
			}
		})
	}
	l := to.Loops()[0]
	for i := range sockets {
		onLoop(t, l, func() error {
			p := newScripted(echoDatagram)
			s, err := l.AdoptDatagram(files[i], values[i], p, port, reactor.DatagramOptions{})
			if err == nil {
				p.s = s
				s.Thaw()
			}
			return err
		})
	}
	old.Close(reactor.Replaced)
	for i, receive := range clients {
		receive(fmt.Sprint(i))
	}
	if n := len(port.Sockets()); n != len(sockets) {
		t.Errorf("found %d sockets, wanted %d", n, len(sockets))
	}
}

// A socket that has moved answers from the address that a peer has sent to before.
func TestDatagramMovedAnswersFromItsAddress(t *testing.T) {
	for _, backend := range []string{"", "portable"} {
		from, to := startedReactor(t, backend, 1), startedReactor(t, backend, 1)
		var peers []netip.AddrPort
		p := newScripted(func(_ *scripted, d reactor.Datagram) { peers = append(peers, d.Peer) })
		old := listenDatagrams(t, from, "udp://:0", p, reactor.DatagramOptions{})
		p.want(t, "start")
		hosts := []string{"127.0.0.1", "127.0.0.2", "127.1.2.3", "[::1]"}
		var clients []net.Conn
		for _, host := range hosts {
			c := dialUDP(t, "udp", fmt.Sprintf("%s:%d", host, old.Endpoint().Port))
			if _, err := c.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			p.want(t, "batch of 1")
			clients = append(clients, c)
		}
		port, err := to.ListenDatagramFiles(nil, old.Endpoint(), nil, reactor.DatagramOptions{})
		if err != nil {
			t.Fatal(err)
		}
		value, f := freeze(t, p.s)
		text, err := json.Marshal(value) // as between processes
		if err != nil {
			t.Fatal(err)
		}
		value = reactor.FrozenDatagram{}
		if err := json.Unmarshal(text, &value); err != nil {
			t.Fatal(err)
		}
		l, moved := to.Loops()[0], newScripted(echoDatagram)
		onLoop(t, l, func() error {
			bad := value
			bad.Ours = bad.Ours[1:]
			if _, err := l.AdoptDatagram(f, bad, moved, port, reactor.DatagramOptions{}); err == nil {
				t.Error("a peer of an address that is not there was taken")
			}
			s, err := l.AdoptDatagram(f, value, moved, port, reactor.DatagramOptions{})
			if err != nil {
				return err
			}
			s.Thaw()
			for i, peer := range peers {
				one := reactor.AppendDatagram(nil, reactor.Datagram{Peer: peer, Payload: []byte(hosts[i])})
				if n, err := s.Send(one, 1); n != 1 || err != nil {
					t.Errorf("found %d, %v", n, err)
				}
			}
			return nil
		})
		old.Close(reactor.Replaced)
		for i, c := range clients {
			buf := make([]byte, 100)
			if n, err := c.Read(buf); err != nil || string(buf[:n]) != hosts[i] {
				t.Errorf("%q: found %q, %v, wanted %s", backend, buf[:max(0, n)], err, hosts[i])
			}
		}
	}
}

// A socket does not go to a port that was closed meanwhile.
func TestAdoptDatagramClosedPort(t *testing.T) {
	from, to := startedReactor(t, "", 1), startedReactor(t, "", 1)
	p := newScripted(echoDatagram)
	old := listenDatagrams(t, from, "udp://127.0.0.1:0", p, reactor.DatagramOptions{})
	p.want(t, "start")
	port, err := to.ListenDatagramFiles(nil, old.Endpoint(), nil, reactor.DatagramOptions{})
	if err != nil {
		t.Fatal(err)
	}
	port.Close(reactor.Done)
	value, f := freeze(t, p.s)
	l := to.Loops()[0]
	onLoop(t, l, func() error {
		_, err := l.AdoptDatagram(f, value, newScripted(echoDatagram), port, reactor.DatagramOptions{})
		if err == nil || !strings.Contains(err.Error(), "is closed") {
			t.Errorf("found %v, wanted that the port is closed", err)
		}
		return nil
	})
	if n := len(port.Sockets()); n != 0 {
		t.Errorf("found %d sockets, wanted none", n)
	}
	onLoop(t, p.s.Loop(), func() error { p.s.Thaw(); return nil })
	if text := exchange(t, dialUDP(t, "udp", old.Endpoint().String()[len("udp://"):]), "here"); text != "here" {
		t.Errorf("found %q", text)
	}
}

// Sockets without their protocols are served by new ones; those of elsewhere are refused.
func TestListenDatagramFiles(t *testing.T) {
	r := startedReactor(t, "", 1)
	p := newScripted(echoDatagram)
	old := listenDatagrams(t, r, "udp://127.0.0.1:0", p, reactor.DatagramOptions{})
	p.want(t, "start")
	var f *os.File
	onLoop(t, r.Loops()[0], func() (err error) {
		f, err = p.s.File()
		return err
	})
	defer f.Close()
	old.Close(reactor.Replaced)
	for _, c := range []struct {
		host, want string
	}{
		{"127.0.0.1", ""}, {"localhost", ""}, {"127.0.0.2", "found a socket that is bound to"},
	} {
		ep := reactor.Endpoint{Scheme: "udp", Host: c.host, Port: old.Endpoint().Port}
		again := newScripted(echoDatagram)
		port, err := r.ListenDatagramFiles([]*os.File{f}, ep,
			func(*reactor.DatagramSocket) (reactor.DatagramProtocol, error) { return again, nil },
			reactor.DatagramOptions{})
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: found %v, wanted %q", c.host, err, c.want)
			}
			continue
		}
		if err == nil {
			err = port.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		again.want(t, "start")
		if text := exchange(t, dialUDP(t, "udp", old.Endpoint().String()[len("udp://"):]), c.host); text != c.host {
			t.Errorf("found %q", text)
		}
		port.Close(reactor.Done)
	}
}
