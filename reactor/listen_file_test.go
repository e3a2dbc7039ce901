package reactor_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/reactor"
)

// namer greets each connection with its name.
type namer struct{ name string }

func (n namer) BuildProtocol(reactor.Transport) (reactor.Protocol, error) { return n, nil }
func (n namer) ConnectionMade(t reactor.Transport) {
	_, _ = t.Write([]byte(n.name + "\n")) // the test sees that it is missing
	t.LoseConnection()
}
func (n namer) DataReceived([]byte)                  {}
func (n namer) ConnectionLost(reactor.Reason, error) {}

// twoReactors are two over the same kind of sockets, which are started.
func twoReactors(t *testing.T, backend string) (a, b *reactor.Reactor, dial func(reactor.Endpoint) (net.Conn, error)) {
	t.Helper()
	cfg := reactor.Config{Loops: 1, Backend: backend}
	dial = func(ep reactor.Endpoint) (net.Conn, error) {
		network, address := reactor.Address(ep)
		c, err := net.Dial(network, address)
		if err == nil {
			err = c.SetDeadline(time.Now().Add(time.Minute))
		}
		return c, err
	}
	if backend == "epoll" && !reactor.HasEpoll {
		t.Skip("this system has no epoll")
	}
	if backend == "memory" {
		mem := memnet.New(memnet.Options{})
		cfg = reactor.Config{Loops: 1, Sys: mem}
		t.Cleanup(func() { // after the reactors' ends
			if mem.OpenFDs() != 0 || len(mem.Misuse()) > 0 {
				t.Errorf("%d descriptors are left; misuse: %q", mem.OpenFDs(), mem.Misuse())
			}
		})
		dial = func(ep reactor.Endpoint) (net.Conn, error) {
			network, address := reactor.Address(ep)
			p, err := mem.Dial(network, address)
			if err != nil {
				return nil, err
			}
			return p.Conn(), nil
		}
	}
	return startReactor(t, cfg), startReactor(t, cfg), dial
}

func startReactor(t *testing.T, cfg reactor.Config) *reactor.Reactor {
	t.Helper()
	r, err := reactor.New(cfg)
	if err == nil {
		err = r.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// greeting is what a new connection is greeted with.
func greeting(t *testing.T, dial func(reactor.Endpoint) (net.Conn, error), ep reactor.Endpoint) string {
	t.Helper()
	c, err := dial(ep)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// TestListenerPassed gives a listening socket to a second reactor and back: a
// connection that comes while nobody accepts is served by who accepts next, and
// a Unix socket's file stays until its last owner closes it.
func TestListenerPassed(t *testing.T) {
	for _, backend := range []string{"epoll", "portable", "memory"} {
		for _, scheme := range []string{"tcp", "unix"} {
			t.Run(backend+"/"+scheme, func(t *testing.T) { testListenerPassed(t, backend, scheme) })
		}
	}
}

func testListenerPassed(t *testing.T, backend, scheme string) {
	a, b, dial := twoReactors(t, backend)
	ep := reactor.Endpoint{Scheme: scheme, Host: "127.0.0.1", Path: socketPath(t)}
	one, err := a.Listen(ep, namer{"one"}, reactor.ListenOptions{Loop: -1})
	must(t, err)
	must(t, one.Start())
	ep = one.Endpoint()
	if g := greeting(t, dial, ep); g != "one" {
		t.Errorf("found %q, wanted one", g)
	}
	f, err := one.File()
	must(t, err)
	two, err := b.ListenFile(f, ep, namer{"two"}, reactor.ListenOptions{Loop: -1})
	must(t, err)
	must(t, f.Close())
	if two.Endpoint() != ep {
		t.Errorf("found %v, wanted %v", two.Endpoint(), ep)
	}
	must(t, one.Stop())
	early, err := dial(ep)
	must(t, err)
	defer early.Close()
	must(t, one.Start()) // as after an upgrade that has failed
	if line, err := bufio.NewReader(early).ReadString('\n'); line != "one\n" {
		t.Errorf("found %q, %v, wanted one", line, err)
	}
	must(t, one.Stop())
	must(t, two.Start())
	if g := greeting(t, dial, ep); g != "two" {
		t.Errorf("found %q, wanted two", g)
	}
	must(t, two.Own())
	must(t, one.Leave())
	if _, err := one.File(); err == nil {
		t.Error("a listener that was left has a file")
	}
	if g := greeting(t, dial, ep); g != "two" {
		t.Errorf("found %q, wanted two", g)
	}
	must(t, two.Close())
	if c, err := dial(ep); err == nil {
		c.Close()
		t.Error("somebody listens still")
	}
	if _, err := os.Stat(ep.Path); scheme == "unix" && err == nil {
		t.Error("the socket's file is still there")
	}
}

// TestListenerPassedUnowned leaves a Unix socket's file to who made it.
func TestListenerPassedUnowned(t *testing.T) {
	for _, backend := range []string{"epoll", "portable"} {
		t.Run(backend, func(t *testing.T) {
			_, b, dial := twoReactors(t, backend)
			ep := reactor.Endpoint{Scheme: "unix", Path: socketPath(t)}
			first, err := net.ListenUnix("unix", &net.UnixAddr{Name: ep.Path, Net: "unix"})
			must(t, err)
			defer first.Close()
			f, err := first.File() // a blocking one, as systemd's are
			must(t, err)
			ln, err := b.ListenFile(f, ep, namer{"two"}, reactor.ListenOptions{Loop: -1})
			must(t, err)
			must(t, f.Close())
			must(t, ln.Start())
			if g := greeting(t, dial, ep); g != "two" {
				t.Errorf("found %q, wanted two", g)
			}
			must(t, ln.Close())
			if _, err := os.Stat(ep.Path); err != nil {
				t.Error("the file has gone:", err)
			}
		})
	}
}

// TestListenerPassedEverywhere passes one that listens on every address, as it was said.
func TestListenerPassedEverywhere(t *testing.T) {
	for _, backend := range []string{"epoll", "portable"} {
		for _, host := range []string{"", "0.0.0.0", "::"} {
			a, b, dial := twoReactors(t, backend)
			ep := reactor.Endpoint{Scheme: "tcp", Host: host}
			one, err := a.Listen(ep, namer{"one"}, reactor.ListenOptions{Loop: -1})
			must(t, err)
			f, err := one.File()
			must(t, err)
			ep.Port = one.Endpoint().Port
			two, err := b.ListenFile(f, ep, namer{"two"}, reactor.ListenOptions{Loop: -1})
			if err != nil {
				t.Errorf("%s, host %q: %v", backend, host, err)
				continue
			}
			must(t, f.Close())
			must(t, two.Start())
			ep.Host = "127.0.0.1"
			if g := greeting(t, dial, ep); g != "two" {
				t.Errorf("%s, host %q: found %q, wanted two", backend, host, g)
			}
		}
	}
}

// TestListenFileRefuses says what is given in place of a socket that listens there.
func TestListenFileRefuses(t *testing.T) {
	for _, backend := range []string{"epoll", "portable"} {
		t.Run(backend, func(t *testing.T) {
			_, b, _ := twoReactors(t, backend)
			listening, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			defer listening.Close()
			port := listening.Addr().(*net.TCPAddr).Port
			connected, err := net.Dial("tcp", listening.Addr().String())
			must(t, err)
			defer connected.Close()
			packets, err := net.ListenPacket("udp", "127.0.0.1:0")
			must(t, err)
			defer packets.Close()
			null, err := os.Open(os.DevNull)
			must(t, err)
			defer null.Close()
			for _, c := range []struct {
				of   interface{ File() (*os.File, error) }
				ep   string
				want string // "" = none
			}{
				{listening.(*net.TCPListener), fmt.Sprintf("tcp://127.0.0.1:%d", port), ""},
				{listening.(*net.TCPListener), "tcp://127.0.0.1:0", ""},
				{listening.(*net.TCPListener), fmt.Sprintf("tcp://localhost:%d", port), ""},
				{listening.(*net.TCPListener), "tcp://127.0.0.1:1", "bound to 127.0.0.1"},
				{listening.(*net.TCPListener), fmt.Sprintf("tcp://:%d", port), "bound to 127.0.0.1"},
				{listening.(*net.TCPListener), fmt.Sprintf("tcp://127.0.0.2:%d", port), "bound to 127.0.0.1"},
				{listening.(*net.TCPListener), "unix:///run/x", "bound to 127.0.0.1"},
				{connected.(*net.TCPConn), fmt.Sprintf("tcp://127.0.0.1:%d", port), "does not listen"},
				{packets.(*net.UDPConn), "tcp://127.0.0.1:0", "of type"},
				{noSocket{null}, "tcp://127.0.0.1:0", "no socket"},
			} {
				f, err := c.of.File()
				must(t, err)
				ep, err := reactor.ParseEndpoint(c.ep)
				must(t, err)
				ln, err := b.ListenFile(f, ep, namer{"two"}, reactor.ListenOptions{Loop: -1})
				must(t, errors.Join(f.Close(), closeListener(ln)))
				if c.want == "" && err != nil || c.want != "" &&
					(err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("%s: found %v, wanted %q", c.ep, err, c.want)
				}
			}
		})
	}
}

// noSocket is a file that is none.
type noSocket struct{ f *os.File }

func (n noSocket) File() (*os.File, error) { return os.Open(n.f.Name()) }

func closeListener(ln *reactor.Listener) error {
	if ln == nil {
		return nil
	}
	return ln.Close()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
