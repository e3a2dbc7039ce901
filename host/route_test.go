package host

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/reactor"
)

// tagged is a plugin that sends its tag, and then echoes.
func tagged(t testing.TB, tag string, isolation config.Isolation) config.Plugin {
	t.Helper()
	return config.Plugin{Module: "testdata/tags.wasm", Isolation: isolation, Config: tag, Image: true}
}

// routing is one port for several plugins.
func routing(t testing.TB, endpoint string) config.Config {
	t.Helper()
	cfg := configuration(tagged(t, "own", config.IsolationLoop))
	for tag, isolation := range map[string]config.Isolation{"one": config.IsolationShared, "two": config.IsolationLoop,
		"ssh": config.IsolationConnection, "web": config.IsolationShared, "key": config.IsolationLoop} {
		cfg.Plugins[tag] = tagged(t, tag, isolation)
	}
	ln := &cfg.Listeners[0]
	ln.Endpoint, ln.RouteTimeout = endpoint, patience
	ln.Route = []config.Route{
		{SNI: config.Words{"one.example"}, Plugin: "one"},
		{SNI: config.Words{"*.two.example", "two.example"}, Plugin: "two"},
		{Prefix: config.Words{"SSH-"}, Plugin: "ssh"},
		{Regexp: config.Words{`^(GET|POST) /`}, Plugin: "web"},
		{Prefix: config.Words{"*", "PING"}, Plugin: "key"},
	}
	return cfg
}

// expectEcho wants more to come back, and the end behind it.
func expectEcho(t *testing.T, c interface {
	net.Conn
	CloseWrite() error
}, who string) {
	t.Helper()
	send(t, c, "more")
	expect(t, c, "more")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
		t.Errorf("%s: found %q, %v, wanted the end", who, b, err)
	}
}

// TestRoute: one port, several protocols, whole and byte by byte.
func TestRoute(t *testing.T) {
	s := serve(t, routing(t, "tcp://127.0.0.1:0"))
	one, two := clientHello(t, "one.example"), clientHello(t, "a.two.example")
	other := clientHello(t, "three.example")
	for _, c := range []struct{ text, tag string }{
		{one, "one"}, {two, "two"}, {"SSH-2.0-x\r\n", "ssh"}, {"GET / HTTP/1.1\r\n", "web"}, {"PING\r\n", "key"},
		{"*1\r\n$4\r\nPING\r\n", "key"}, {"HELO x\r\n", "own"}, {other, "own"}, {strings.Repeat("G", 40_000), "own"},
	} {
		for _, size := range []int{len(c.text), 1, 100} {
			if size == 1 && len(c.text) > 4000 {
				continue
			}
			conn := dial(t, s.addrs[0])
			for rest := c.text; rest != ""; rest = rest[min(size, len(rest)):] {
				send(t, conn, rest[:min(size, len(rest))])
			}
			expect(t, conn, c.tag)
			expect(t, conn, c.text)
			expectEcho(t, conn, c.tag)
		}
	}
	want := map[string]uint64{"one": 3, "two": 3, "ssh": 3, "web": 3, "key": 6, "guest": 8}
	for plugin, n := range s.ListenerInfos()[0].Routed {
		if n != want[plugin] {
			t.Errorf("found %d connections for %s, wanted %d", n, plugin, want[plugin])
		}
	}
}

// noting counts the questions about connections of which nothing is known.
type noting struct {
	reactor.Router
	first atomic.Int32
}

func (n *noting) Route(h reactor.Head) (reactor.Destination, bool, error) {
	if *h.Kept == nil {
		n.first.Add(1)
	}
	return n.Router.Route(h)
}

// TestRouteIsKept: what was found of a connection is not looked for again with each byte.
func TestRouteIsKept(t *testing.T) {
	s := serve(t, routing(t, "tcp://127.0.0.1:0"))
	l := s.listeners[0]
	n := &noting{Router: l.options.Router}
	o := l.options
	o.Router = n
	if err := l.ln.Configure(l.plugin.factory(), o); err != nil {
		t.Fatal(err)
	}
	conn := dial(t, s.addrs[0])
	for _, b := range "GET /" {
		send(t, conn, string(b))
	}
	expect(t, conn, "web")
	if got := n.first.Load(); got != 1 {
		t.Errorf("found %d questions about a new connection, wanted 1", got)
	}
}

// clientHello is what crypto/tls's client begins with.
func clientHello(t testing.TB, name string) string {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	go tls.Client(theirs, &tls.Config{ServerName: name, InsecureSkipVerify: true}).Handshake()
	b := make([]byte, 16<<10)
	if err := ours.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	n, err := ours.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

// TestRouteEnds: peers that say too little, or nothing, and end.
func TestRouteEnds(t *testing.T) {
	s := serve(t, routing(t, "tcp://127.0.0.1:0"))
	for _, c := range []struct{ text, tag string }{{"", "own"}, {"SS", "own"}, {"GET / ", "web"}} {
		conn := dial(t, s.addrs[0])
		send(t, conn, c.text)
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(conn); err != nil || string(b) != c.tag+c.text {
			t.Errorf("%q: found %q, %v, wanted %q", c.text, b, err, c.tag+c.text)
		}
	}
	gone := dial(t, s.addrs[0])
	send(t, gone, "SS")
	if err := gone.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	gone.Close()
	conn := dial(t, s.addrs[0])
	send(t, conn, "SSH-")
	expect(t, conn, "sshSSH-")
}

// TestRouteTimeout: the silent are the listener's own plugin's, or are closed.
func TestRouteTimeout(t *testing.T) {
	for _, own := range []string{"guest", ""} {
		t.Run("plugin "+own, func(t *testing.T) {
			cfg := routing(t, "tcp://127.0.0.1:0")
			cfg.Listeners[0].Plugin, cfg.Listeners[0].RouteTimeout = own, 5*time.Second
			v := serveVirtual(t, cfg)
			c := v.dial(t)
			send(t, c, "SS")
			settle(v.Host, v.sys)
			v.turn(t, 5*time.Second-time.Millisecond)
			if n := v.listeners[0].ln.Stats().Connections; n != 1 {
				t.Fatalf("found %d connections before the time is over, wanted 1", n)
			}
			v.turn(t, time.Millisecond)
			settle(v.Host, v.sys)
			if own != "" {
				expect(t, c, "ownSS")
				return
			}
			expectEnd(t, c)
			info := v.ListenerInfos()[0]
			if info.RefusedBy["route"] != 1 || info.Plugin != "" {
				t.Errorf("found %+v, wanted one that was refused by route", info)
			}
		})
	}
}

// TestRouteBehindTLS: where the listener ends TLS, names and protocols are the handshake's, and
// the first bytes what was encrypted.
func TestRouteBehindTLS(t *testing.T) {
	cert, key, _ := certificate(t, time.Now().Add(time.Hour))
	for _, records := range []string{"", "library"} {
		t.Run("records "+records, func(t *testing.T) {
			cfg := routing(t, "tls://127.0.0.1:0")
			cfg.Reactor.TLSRecords = records
			ln := &cfg.Listeners[0]
			ln.TLS = config.TLS{Cert: cert, Key: key, ALPN: []string{"h2", "http/1.1"}, HandshakeTimeout: patience}
			ln.Route = append([]config.Route{{ALPN: config.Words{"h2"}, Plugin: "two"}}, ln.Route...)
			s := serve(t, cfg)
			for _, c := range []struct {
				name, protocol, text, tag string
			}{
				{"one.example", "", "", "one"}, {"x", "h2", "", "two"}, {"x", "http/1.1", "GET / HTTP/1.1", "web"},
				{"x", "", "SSH-2.0", "ssh"}, {"x", "", "other", "own"},
			} {
				conf := &tls.Config{ServerName: c.name, InsecureSkipVerify: true}
				if c.protocol != "" {
					conf.NextProtos = []string{c.protocol}
				}
				conn := tls.Client(dial(t, s.addrs[0]), conf)
				for n := range len(c.text) {
					send(t, conn, c.text[n:n+1])
				}
				expect(t, conn, c.tag+c.text)
				expectEcho(t, conn, c.tag)
			}
		})
	}
}

// TestRouteToStartTLS: a plugin that gets its connections by the name in a ClientHello ends TLS
// itself, on a port that others have in plain text: the handshake begins with what was looked at.
func TestRouteToStartTLS(t *testing.T) {
	cert, key, _ := certificate(t, time.Now().Add(time.Hour))
	for _, records := range []string{"", "library"} {
		t.Run("records "+records, func(t *testing.T) {
			cfg := routing(t, "tcp://127.0.0.1:0")
			cfg.Reactor.TLSRecords = records
			cfg.Listeners[0].TLS = config.TLS{Cert: cert, Key: key, HandshakeTimeout: patience}
			for _, name := range []string{"one", "two"} {
				p := cfg.Plugins[name]
				p.Module = "testdata/tags_tls.wasm"
				cfg.Plugins[name] = p
			}
			s := serve(t, cfg)
			for _, size := range []int{16 << 10, 1} {
				for name, tag := range map[string]string{"one.example": "one", "a.two.example": "two"} {
					conn := tls.Client(pieces{dial(t, s.addrs[0]), size},
						&tls.Config{ServerName: name, InsecureSkipVerify: true})
					expect(t, conn, tag)
					if got := conn.ConnectionState().PeerCertificates; len(got) != 1 {
						t.Errorf("%s: found %d certificates, wanted the listener's", tag, len(got))
					}
					expectEcho(t, conn, tag)
				}
				plain := dial(t, s.addrs[0])
				send(t, plain, "SSH-2.0-x")
				expect(t, plain, "sshSSH-2.0-x")
			}
		})
	}
}

// pieces is a connection that writes so many bytes at a time.
type pieces struct {
	net.Conn
	size int
}

func (p pieces) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var k int
		k, err = p.Conn.Write(b[n:min(len(b), n+p.size)])
		n += k
	}
	return n, err
}

// TestRouteReload: rules change for connections from then on, and their counts go on.
func TestRouteReload(t *testing.T) {
	cfg := routing(t, "tcp://127.0.0.1:0")
	s := serve(t, cfg)
	conn := dial(t, s.addrs[0])
	send(t, conn, "PING")
	expect(t, conn, "keyPING")
	next := cfg
	next.Listeners = []config.Listener{cfg.Listeners[0]}
	next.Listeners[0].Endpoint = "tcp://" + s.addrs[0]
	next.Listeners[0].Route = []config.Route{{Prefix: config.Words{"PING"}, Plugin: "web"}}
	next.Listeners[0].Plugin = ""
	cfg.Listeners = []config.Listener{cfg.Listeners[0]}
	s.cfg.Listeners[0].Endpoint, s.listeners[0].cfg.Endpoint = next.Listeners[0].Endpoint, next.Listeners[0].Endpoint
	if _, err := s.Reload(context.Background(), next); err != nil {
		t.Fatal(err)
	}
	send(t, conn, "it goes on")
	expect(t, conn, "it goes on")
	again := dial(t, s.addrs[0])
	send(t, again, "PING")
	expect(t, again, "webPING")
	if got := s.ListenerInfos()[0].Routed; got["key"] != 1 || got["web"] != 1 {
		t.Errorf("found %v, wanted one each for key and web", got)
	}
	if _, err := s.UnloadPlugin(context.Background(), "web"); err != nil {
		t.Fatal(err)
	}
	if n := len(s.ListenerInfos()); n != 0 {
		t.Errorf("found %d listeners, wanted none: nobody is left", n)
	}
}

// TestRouteBySource: an address alone decides at once, that of a PROXY header where there is one.
func TestRouteBySource(t *testing.T) {
	cfg := routing(t, "tcp://127.0.0.1:0")
	ln := &cfg.Listeners[0]
	ln.Route = []config.Route{
		{Source: config.Words{"192.0.2.0/24"}, Prefix: config.Words{"PING"}, Plugin: "key"},
		{Source: config.Words{"192.0.2.0/24", "198.51.100.1"}, Plugin: "one"},
	}
	ln.ProxyProtocol, ln.ProxyFrom = true, []string{"127.0.0.0/8"}
	s := serve(t, cfg)
	for header, tag := range map[string]string{
		"PROXY TCP4 198.51.100.1 127.0.0.1 1 2\r\n": "one", "PROXY TCP4 203.0.113.1 127.0.0.1 1 2\r\n": "own",
		"PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\nPING": "keyPING", "PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\nPX": "onePX",
	} {
		conn := dial(t, s.addrs[0])
		send(t, conn, header)
		expect(t, conn, tag)
	}
}
