package reactor_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/reactor"
)

// scripted is a DatagramProtocol that does what a test says, and tells it what came.
type scripted struct {
	s      *reactor.DatagramSocket
	buf    []byte
	events chan string
	got    func(p *scripted, d reactor.Datagram) // each datagram
}

func newScripted(got func(*scripted, reactor.Datagram)) *scripted {
	return &scripted{buf: make([]byte, 64<<10), events: make(chan string, 1000), got: got}
}

func (p *scripted) StartProtocol(s *reactor.DatagramSocket) { p.s = s; p.events <- "start" }

func (p *scripted) StopProtocol(reason reactor.Reason, err error) {
	p.events <- fmt.Sprintf("stop %v", reason)
}
func (p *scripted) ReceiveBuffer() []byte { return p.buf }
func (p *scripted) ConnectionRefused()    { p.events <- "refused" }

func (p *scripted) DatagramsReceived(records []byte, n int) {
	p.events <- fmt.Sprintf("batch of %d", n)
	for range n {
		d, rest, err := reactor.NextDatagram(records)
		if err != nil {
			p.events <- err.Error()
			return
		}
		records = rest
		p.got(p, d)
	}
	if len(records) > 0 {
		p.events <- fmt.Sprintf("%d bytes behind the records", len(records))
	}
}

// echoDatagram answers.
func echoDatagram(p *scripted, d reactor.Datagram) {
	n, err := p.s.Send(reactor.AppendDatagram(nil, d), 1)
	if n != 1 || err != nil {
		p.events <- fmt.Sprint("sent ", n, err)
	}
}

func (p *scripted) want(t *testing.T, events ...string) {
	t.Helper()
	for _, want := range events {
		select {
		case found := <-p.events:
			if found != want {
				t.Fatalf("found %q, wanted %q", found, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("found nothing, wanted %q", want)
		}
	}
}

func startedReactor(t *testing.T, backend string, loops int) *reactor.Reactor {
	t.Helper()
	cfg := reactor.Config{Loops: loops, Backend: backend}
	if backend == "memory" {
		cfg.Backend, cfg.Sys = "", memnet.New(memnet.Options{})
	}
	return startedWith(t, cfg)
}

func startedWith(t *testing.T, cfg reactor.Config) *reactor.Reactor {
	t.Helper()
	r, err := reactor.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	return r
}

func listenDatagrams(t *testing.T, r *reactor.Reactor, text string, p reactor.DatagramProtocol,
	o reactor.DatagramOptions) *reactor.DatagramPort {
	t.Helper()
	ep, err := reactor.ParseDatagramEndpoint(text)
	if err != nil {
		t.Fatal(err)
	}
	port, err := r.ListenDatagrams(ep, func(*reactor.DatagramSocket) (reactor.DatagramProtocol, error) {
		return p, nil
	}, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := port.Start(); err != nil {
		t.Fatal(err)
	}
	return port
}

func dialUDP(t *testing.T, network, address string) *net.UDPConn {
	t.Helper()
	a, err := net.ResolveUDPAddr(network, address)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.DialUDP(network, nil, a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

func exchange(t *testing.T, c net.Conn, text string) string {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 70_000)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

// An answer leaves from the address that its peer has sent to: a connected client takes no
// other.
func TestDatagramAnswersFromItsAddress(t *testing.T) {
	var found []netip.AddrPort
	p := newScripted(func(p *scripted, d reactor.Datagram) {
		found = append(found, d.Peer)
		echoDatagram(p, d)
	})
	port := listenDatagrams(t, startedReactor(t, "", 1), "udp://:0", p, reactor.DatagramOptions{})
	at := port.Endpoint().Port
	p.want(t, "start")
	for _, host := range []string{"127.0.0.1", "127.0.0.2", "127.1.2.3", "[::1]"} {
		c := dialUDP(t, "udp", fmt.Sprintf("%s:%d", host, at))
		if text := exchange(t, c, host); text != host {
			t.Errorf("found %q, wanted %q", text, host)
		}
		p.want(t, "batch of 1")
	}
	port.Close(reactor.Replaced)
	p.want(t, "stop replaced")
	if len(found) != 4 || !found[0].Addr().Is4() || !found[3].Addr().Is6() {
		t.Errorf("found peers %v", found)
	}
	if s := port.Stats(); s.Received != 4 || s.Sent != 4 || s.Unsent != 0 {
		t.Errorf("found %+v", s)
	}
}

func TestDatagramLarge(t *testing.T) {
	p := newScripted(echoDatagram)
	p.buf = make([]byte, 32+65_504)
	port := listenDatagrams(t, startedReactor(t, "", 1), "udp://127.0.0.1:0", p, reactor.DatagramOptions{})
	c := dialUDP(t, "udp", fmt.Sprintf("127.0.0.1:%d", port.Endpoint().Port))
	for _, n := range []int{0, 1, 7, 8, 1472, 65_504, 65_507} {
		text := string(make([]byte, n))
		if found := exchange(t, c, text); len(found) != min(n, 65_504) {
			t.Errorf("found %d bytes, wanted %d", len(found), n)
		}
	}
}

// A source's key is a hash: what is known of one is never told of another.
func TestDatagramSourcesAreTold(t *testing.T) {
	var got []string
	p := newScripted(func(_ *scripted, d reactor.Datagram) { got = append(got, string(d.Payload)) })
	mem := memnet.New(memnet.Options{}) // its clock stands still
	r := startedWith(t, reactor.Config{Loops: 2, Sys: mem})
	port := listenDatagrams(t, r, "udp://127.0.0.1:0", p, reactor.DatagramOptions{
		Loop: 1, PerPeer: reactor.PeerLimits{DatagramsPerSecond: 1, IPv4: 32}})
	p.want(t, "start")
	at := fmt.Sprintf("127.0.0.1:%d", port.Endpoint().Port)
	for i := range 20 {
		c, err := mem.DatagramPeer("udp", fmt.Sprintf("127.0.1.%d:0", i+1))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second one is over the limit
			if err := c.Send(at, fmt.Append(nil, i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for deadline := time.Now().Add(time.Minute); port.Stats().Limited < 20 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	port.Close(reactor.Done)
	if s := port.Stats(); s.Received != 20 || s.Limited != 20 || len(got) != 20 {
		t.Errorf("found %+v, %q", s, got)
	}
}

// Each loop has a socket, where the system spreads them, and all that comes is received.
func TestDatagramSocketsOfLoops(t *testing.T) {
	r := startedReactor(t, "", 4)
	ep, err := reactor.ParseDatagramEndpoint("udp://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	build := func(*reactor.DatagramSocket) (reactor.DatagramProtocol, error) {
		return newScripted(func(p *scripted, d reactor.Datagram) { echoDatagram(p, d) }), nil
	}
	port, err := r.ListenDatagrams(ep, build, reactor.DatagramOptions{Loop: -1})
	if err != nil {
		t.Fatal(err)
	}
	if err := port.Start(); err != nil {
		t.Fatal(err)
	}
	if n := len(port.Sockets()); n != 4 && reactor.HasEpoll {
		t.Errorf("found %d sockets, wanted 4", n)
	}
	for range 50 {
		c := dialUDP(t, "udp", fmt.Sprintf("127.0.0.1:%d", port.Endpoint().Port))
		if text := exchange(t, c, "hello"); text != "hello" {
			t.Errorf("found %q", text)
		}
	}
	if _, err := r.ListenDatagrams(port.Endpoint(), build, reactor.DatagramOptions{Loop: -1}); err == nil {
		t.Error("the port of another was bound")
	}
	port.Close(reactor.Done)
	again, err := r.ListenDatagrams(port.Endpoint(), build, reactor.DatagramOptions{Loop: -1})
	if err != nil {
		t.Fatalf("the address is not free again: %v", err)
	}
	again.Close(reactor.Done)
}

// A port that was never started is closed with its reactor.
func TestDatagramPortNotStarted(t *testing.T) {
	for _, started := range []bool{true, false} {
		r, err := reactor.New(reactor.Config{Loops: 1})
		if err != nil {
			t.Fatal(err)
		}
		if started {
			if err := r.Start(); err != nil {
				t.Fatal(err)
			}
		}
		ep := reactor.Endpoint{Scheme: "udp", Host: "127.0.0.1"}
		port, err := r.ListenDatagrams(ep, nil, reactor.DatagramOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if n := len(port.Sockets()); n != 0 {
			t.Errorf("found %d sockets", n)
		}
	}
}

// A port that is made while the reactor ends is closed with it, or refused; whoever ends
// it, once or several at a time, its sockets are closed once.
func TestDatagramPortAtTheEnd(t *testing.T) {
	for range 20 {
		mem := memnet.New(memnet.Options{})
		r, err := reactor.New(reactor.Config{Loops: 2, Sys: mem})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Start(); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				port, err := r.ListenDatagrams(reactor.Endpoint{Scheme: "udp"}, nil, reactor.DatagramOptions{Loop: -1})
				if err != nil {
					if !errors.Is(err, reactor.ErrStopped) {
						t.Error(err)
					}
					return
				}
				all.Go(func() { port.Close(reactor.Done) })
				port.Close(reactor.Done)
			})
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		all.Wait()
		if mem.OpenFDs() != 0 || len(mem.Misuse()) > 0 {
			t.Fatalf("%d descriptors are left; misuse: %q", mem.OpenFDs(), mem.Misuse())
		}
	}
}

// Other options hold from now on, also those of the sockets; several sockets are not made
// one, which groups and broadcasts need.
func TestDatagramPortConfigure(t *testing.T) {
	r := startedReactor(t, "memory", 2)
	for _, c := range []struct {
		loop int
		want string
	}{{0, ""}, {-1, "found 2 sockets, wanted one"}} {
		p := newScripted(func(*scripted, reactor.Datagram) {})
		port := listenDatagrams(t, r, "udp://127.0.0.1:0", p, reactor.DatagramOptions{Loop: c.loop})
		sockets := port.Sockets()
		for range sockets {
			p.want(t, "start")
		}
		join := func(o reactor.DatagramOptions) (configured, joined error) {
			configured = port.Configure(o)
			onLoop(t, sockets[0].Loop(), func() error { joined = sockets[0].Join("239.1.2.3"); return nil })
			return configured, joined
		}
		groups := reactor.DatagramOptions{Multicast: []netip.Prefix{netip.MustParsePrefix("239.1.2.3/32")}}
		switch configured, joined := join(groups); {
		case c.want == "" && (configured != nil || joined != nil):
			t.Errorf("found %v, %v", configured, joined)
		case c.want != "" && (configured == nil || !strings.Contains(configured.Error(), c.want) ||
			!errors.Is(joined, reactor.ErrNotAllowed)):
			t.Errorf("found %v, %v, wanted %q", configured, joined, c.want)
		}
		if configured, joined := join(reactor.DatagramOptions{}); configured != nil ||
			!errors.Is(joined, reactor.ErrNotAllowed) {
			t.Errorf("found %v, %v, wanted that it is not allowed", configured, joined)
		}
	}
}

// What a socket has joined and set is undone by Reset; one group may be joined twice.
func TestDatagramReset(t *testing.T) {
	r := startedReactor(t, "memory", 1)
	p := newScripted(func(*scripted, reactor.Datagram) {})
	o := reactor.DatagramOptions{Broadcast: true, Multicast: []netip.Prefix{netip.MustParsePrefix("239.0.0.0/8")}}
	port := listenDatagrams(t, r, "udp://127.0.0.1:0", p, o)
	p.want(t, "start")
	d := port.Sockets()[0]
	onLoop(t, d.Loop(), func() error {
		for range 2 {
			if err := errors.Join(d.Join("239.1.2.3"), d.Join("239.1.2.3"), d.Join("239.1.2.4"),
				d.Leave("239.1.2.4"), d.SetOption(reactor.Broadcast, 1), d.SetOption(reactor.Hops, 3)); err != nil {
				return err
			}
			d.Reset()
			if err := d.Leave("239.1.2.3"); !errors.Is(err, syscall.EADDRNOTAVAIL) {
				return fmt.Errorf("leaving what was reset: found %w", err)
			}
		}
		return nil
	})
}

func TestListenDatagramsRefuses(t *testing.T) {
	r := startedReactor(t, "", 1)
	for _, c := range []struct {
		ep   reactor.Endpoint
		o    reactor.DatagramOptions
		want string
	}{
		{reactor.Endpoint{Scheme: "tcp", Host: "127.0.0.1"}, reactor.DatagramOptions{},
			`reactor: listen on tcp://127.0.0.1:0: found scheme "tcp", wanted udp or unixgram`},
		{reactor.Endpoint{Scheme: "udp", Host: "127.0.0.1"}, reactor.DatagramOptions{Loop: 1},
			"reactor: listen on udp://127.0.0.1:0: found loop 1, wanted -1 to 0"},
	} {
		if _, err := r.ListenDatagrams(c.ep, nil, c.o); err == nil || err.Error() != c.want {
			t.Errorf("found %v, wanted %s", err, c.want)
		}
	}
}

func TestParseDatagramEndpoint(t *testing.T) {
	for text, want := range map[string]string{
		"udp://127.0.0.1:53":  "udp://127.0.0.1:53",
		"udp://:53":           "udp://:53",
		"udp://[::1]:53":      "udp://[::1]:53",
		"unixgram:///run/log": "unixgram:///run/log",
		"tcp://127.0.0.1:53":  `endpoint "tcp://127.0.0.1:53": found scheme "tcp", wanted udp or unixgram`,
		"127.0.0.1:53":        `endpoint "127.0.0.1:53": found no scheme, wanted udp://HOST:PORT or unixgram://PATH`,
	} {
		ep, err := reactor.ParseDatagramEndpoint(text)
		found := ep.String()
		if err != nil {
			found = err.Error()
		}
		if found != want {
			t.Errorf("%s: found %s, wanted %s", text, found, want)
		}
	}
}

// FuzzDatagrams: what is read is what is written, and records that are none are no panic.
func FuzzDatagrams(f *testing.F) {
	peer := netip.MustParseAddrPort("[fe80::1]:53")
	f.Add(reactor.AppendDatagram(nil, reactor.Datagram{Peer: peer, Zone: 3, Payload: []byte("hello")}))
	f.Add(reactor.AppendDatagram(nil, reactor.Datagram{Peer: netip.MustParseAddrPort("127.0.0.1:1")}))
	f.Add([]byte("something else, longer than a header is"))
	f.Fuzz(func(t *testing.T, records []byte) {
		for len(records) > 0 {
			d, rest, err := reactor.NextDatagram(records)
			if err != nil {
				if !errors.Is(err, reactor.ErrBadDatagram) {
					t.Fatal(err)
				}
				return
			}
			again, none, err := reactor.NextDatagram(reactor.AppendDatagram(nil, d))
			if err != nil || len(none) > 0 || again.Peer != d.Peer || again.Zone != d.Zone || again.Cut != d.Cut ||
				string(again.Payload) != string(d.Payload) {
				t.Fatalf("found %+v, %d bytes, %v, wanted %+v", again, len(none), err, d)
			}
			records = rest
		}
	})
}
