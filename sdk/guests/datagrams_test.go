package sdk_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/internal/wasmbintest"
)

// serveDatagrams serves a guest behind a socket, which may open others to anywhere on
// loopback.
func serveDatagrams(t testing.TB, module string, isolation config.Isolation) *server {
	t.Helper()
	p := config.Plugin{Module: module, Isolation: isolation}
	p.Allow.Connect = []string{"udp://127.0.0.1:*"}
	return serveAt(t, "udp://127.0.0.1:0", p, config.TLS{})
}

// mailTo is a socket whose peer is at addr.
func mailTo(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// mails sends a datagram, and wants an answer.
func mails(t testing.TB, c net.Conn, text, want string) {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1<<16)
	n, err := c.Read(b)
	if err != nil {
		t.Fatalf("%.60q: %v", text, err)
	}
	if string(b[:n]) != want {
		t.Fatalf("%.60q: found %d bytes %.60q, wanted %d %.60q", text, n, b[:n], len(want), want)
	}
}

func TestDatagrams(t *testing.T) {
	other, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	go func() { // answers what says hello
		b := make([]byte, 100)
		for {
			n, from, err := other.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = other.WriteTo([]byte(strings.ToUpper(string(b[:n]))), from) // who waits notices
		}
	}()
	for _, l := range with(datagrams) {
		for _, isolation := range isolations {
			passed := t.Run(l.name+"/"+string(isolation), func(t *testing.T) {
				s := serveDatagrams(t, build(t, l, datagrams), isolation)
				c := mailTo(t, s.addr)
				for n := range 20 { // padding of each length
					text := strings.Repeat("x", n)
					mails(t, c, text, text)
				}
				long := strings.Repeat("0123456789abcdef", 3000)
				mails(t, c, long, long)
				mails(t, c, "count", "22")
				mails(t, c, "ask udp://"+other.LocalAddr().String(), "HELLO")
				mails(t, c, "ask udp://192.0.2.1:1", "not allowed")
				mails(t, c, "count", "25")
			})
			count(columnTransports, l, passed)
		}
	}
}

// A socket that the plugin opens to where nobody listens is told so.
func TestDatagramRefused(t *testing.T) {
	for _, l := range with(datagrams) {
		passed := t.Run(l.name, func(t *testing.T) {
			s := serveDatagrams(t, build(t, l, datagrams), config.IsolationShared)
			mails(t, mailTo(t, s.addr), "ask udp://127.0.0.1:1", "refused") // of tcpmux, which is TCP's
		})
		count(columnTransports, l, passed)
	}
}

// A socket's state moves in a reload, to another language too.
func TestDatagramsMove(t *testing.T) {
	all := available(t, datagrams)
	if len(all) == 0 {
		t.Skip("no language can be built")
	}
	s := serveDatagrams(t, build(t, all[0], datagrams), config.IsolationShared)
	c := mailTo(t, s.addr)
	mails(t, c, "count", "1")
	for n, l := range append(all[1:], all[0]) {
		p := s.cfg.Plugins["guest"]
		p.Module = build(t, l, datagrams)
		s.cfg.Plugins["guest"] = p
		if _, err := s.Reload(t.Context(), s.cfg); err != nil {
			t.Fatalf("%s: %v", l.name, err)
		}
		mails(t, c, "count", string(rune('2'+n)))
	}
}

// serveGroups serves a guest over sockets in memory, where groups and all of a network may be
// joined and sent to, or may not.
func serveGroups(t testing.TB, module string, groups []string, broadcast bool) *memnet.Sys {
	t.Helper()
	sys := memnet.New(memnet.Options{})
	p := config.Plugin{Module: module, Isolation: config.IsolationShared}
	p.Limits.CallbackTime = patience // tests share the machine
	cfg := config.Config{Plugins: map[string]config.Plugin{"guest": p}, Listeners: []config.Listener{{
		Endpoint: "udp://0.0.0.0:7000", Plugin: "guest", Multicast: groups, Broadcast: broadcast,
	}}}
	cfg.Reactor.Loops = 1
	h, err := host.New(cfg, host.Options{Sys: sys})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return sys
}

// memPeer is a client on another machine, who is in a group.
type memPeer struct {
	*memnet.DatagramPeer
	sys *memnet.Sys
}

// says sends a datagram, and wants these.
func (p memPeer) says(t testing.TB, to, text string, want ...string) {
	t.Helper()
	if err := p.Send(to, []byte(text)); err != nil {
		t.Fatal(err)
	}
	p.sys.Settle()
	var found []string
	for {
		d, err := p.Receive()
		if errors.Is(err, syscall.EAGAIN) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, string(d.Payload))
	}
	if !slices.Equal(found, want) {
		t.Errorf("%s to %s: found %q, wanted %q", text, to, found, want)
	}
}

// What is for groups comes to those who have joined them, and each option does what it is for.
func TestDatagramGroups(t *testing.T) {
	const group, guest = "239.1.2.3:7000", "127.0.0.1:7000"
	of := func(t testing.TB, sys *memnet.Sys) memPeer {
		p, err := sys.DatagramPeer("udp", "10.0.0.1:9000")
		if err == nil {
			err = p.Join(netip.MustParseAddr("239.1.2.3"))
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		return memPeer{p, sys}
	}
	for _, l := range with(datagrams) {
		passed := t.Run(l.name, func(t *testing.T) {
			c := of(t, serveGroups(t, build(t, l, datagrams), []string{"239.1.0.0/16"}, true))
			const shout = "shout 9000"
			for _, step := range []struct {
				to, text string
				want     []string
			}{
				{group, "is anybody there", nil},
				{guest, "join 239.2.0.1", []string{"no"}}, {guest, "join 239.1.2.3", []string{"yes"}},
				{group, "still there", []string{"still there"}},
				{guest, "leave 239.1.2.3", []string{"yes"}}, {guest, "leave 239.1.2.3", []string{"no"}},
				{group, "gone", nil},
				{guest, shout, []string{shout}},
				{guest, "broadcast 1", []string{"yes"}}, {guest, shout, []string{shout, shout}},
				{guest, "mhops 0", []string{"yes"}}, {guest, shout, []string{shout}},
				{guest, "loop 0", []string{"yes"}}, {guest, "loop 2", []string{"no"}},
				{guest, "hops 9", []string{"yes"}}, {guest, "hops 0", []string{"no"}},
			} {
				c.says(t, step.to, step.text, step.want...)
			}
			c = of(t, serveGroups(t, build(t, l, datagrams), nil, false))
			c.says(t, guest, "join 239.1.2.3", "no")
			c.says(t, guest, "broadcast 1", "no")
		})
		count(columnTransports, l, passed)
	}
}

// A guest that takes no datagrams exports nothing of them, and imports nothing.
func TestNoDatagrams(t *testing.T) {
	for _, l := range with(counter) {
		t.Run(l.name, func(t *testing.T) {
			m := wasmbintest.Read(t, build(t, l, counter)).Describe()
			for _, name := range []string{"startProtocol", "stopProtocol", "datagramsReceived", "connectionRefused"} {
				if _, ok := m.Export(name); ok {
					t.Errorf("export %s: found", name)
				}
			}
			if slices.ContainsFunc(m.Imports, func(i abi.ModuleImport) bool { return i.Module == "datagram" }) {
				t.Errorf("found an import of module datagram")
			}
		})
	}
}
