package sdk_test

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/host/config"
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
			t.Run(l.name+"/"+string(isolation), func(t *testing.T) {
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
		}
	}
}

// A socket that the plugin opens to where nobody listens is told so.
func TestDatagramRefused(t *testing.T) {
	for _, l := range with(datagrams) {
		t.Run(l.name, func(t *testing.T) {
			s := serveDatagrams(t, build(t, l, datagrams), config.IsolationShared)
			mails(t, mailTo(t, s.addr), "ask udp://127.0.0.1:1", "refused") // of tcpmux, which is TCP's
		})
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
