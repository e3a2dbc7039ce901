package host

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

const proxyHeader = "PROXY TCP4 192.0.2.7 192.0.2.8 1234 80\r\n"

// TestHandoverYoung: a connection that route still looks at, or whose PROXY header is awaited,
// gets its plugin in the old process, with every byte, and the next one is the new process's.
func TestHandoverYoung(t *testing.T) {
	hello := clientHello(t, "one.example")
	inName := strings.Index(hello, "one.example") + 3
	for _, tc := range []struct {
		name        string
		first, rest string // rest is sent afterwards; "" = the connection is silent
		proxied     bool
		tag         string
	}{
		{name: "nothing", rest: "SSH-2.0", tag: "ssh"},
		{name: "half of a prefix", first: "SS", rest: "H-2.0", tag: "ssh"},
		{name: "half of a prefix, of a shared plugin", first: "GET", rest: " / ", tag: "web"},
		{name: "half of a ClientHello", first: hello[:inName], rest: hello[inName:], tag: "one"},
		{name: "silent", first: "SS", tag: "own"},
		{name: "half of a PROXY header", first: proxyHeader[:20], rest: proxyHeader[20:] + "SSH-2.0", proxied: true,
			tag: "ssh"},
		{name: "behind a PROXY header", first: proxyHeader + "SS", rest: "H-2.0", proxied: true, tag: "ssh"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := routing(t, "tcp://127.0.0.1:0")
			cfg.Reactor.Loops = 2
			ln := &cfg.Listeners[0]
			ln.RouteTimeout, ln.TLS.HandshakeTimeout = time.Hour, time.Hour
			if tc.proxied {
				ln.ProxyProtocol, ln.ProxyFrom = true, []string{"127.0.0.0/8"}
			}
			if tc.rest == "" {
				ln.RouteTimeout = 200 * time.Millisecond
			}
			v := &virtual{server: serve(t, cfg)}
			at := v.addrs[0]
			c := dial(t, at)
			send(t, c, tc.first)
			v.awaitAccepted(t, 1)
			if _, list, err := v.handOver(t, cfg, nil); err != nil {
				t.Fatalf("%+v, %v", list, err)
			}
			send(t, c, tc.rest)
			expect(t, c, tc.tag+strings.TrimPrefix(tc.first+tc.rest, proxyHeader))
			send(t, c, "more")
			expect(t, c, "more")
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
				t.Errorf("found %q, %v, wanted the end", b, err)
			}
			v.await(t, 0) // it is all that the old process has waited for
			fresh := dial(t, at)
			if tc.proxied {
				send(t, fresh, proxyHeader)
			}
			send(t, fresh, "SSH-2.0")
			expect(t, fresh, "ssh")
		})
	}
}

// awaitAccepted waits until a listener has accepted so many connections.
func (s *server) awaitAccepted(t *testing.T, want uint64) {
	t.Helper()
	for late := time.Now().Add(patience); s.listeners[0].ln.Stats().Accepted < want; {
		if time.Now().After(late) {
			t.Fatal("it is not accepted")
		}
	}
}

// held passes on half of what is first written to it, and the rest when it is told to.
type held struct {
	*net.TCPConn
	half chan struct{} // closed when half has gone
	rest chan struct{} // closed when the rest is to go
	done bool
}

func (h *held) Write(b []byte) (int, error) {
	if h.done {
		return h.TCPConn.Write(b)
	}
	h.done = true
	n, err := h.TCPConn.Write(b[:len(b)/2])
	close(h.half)
	<-h.rest
	if err != nil {
		return n, err
	}
	more, err := h.TCPConn.Write(b[n:])
	return n + more, err
}

// TestHandoverInHandshake: a connection in its TLS handshake gets to the end of it in the old
// process, and to its plugin, where route or the listener say which, and to the one behind that
// in a chain.
func TestHandoverInHandshake(t *testing.T) {
	cert, key, pool := certificate(t, time.Now().Add(time.Hour))
	for name, edit := range map[string]func(*config.Config){
		"routed": func(cfg *config.Config) {
			cfg.Listeners[0].Route = []config.Route{{Prefix: []string{"?"}, Plugin: "behind"}}
		},
		"of a plugin": func(cfg *config.Config) { cfg.Listeners[0].Plugin = "behind" },
		"in a chain":  inChain,
	} {
		for _, isolation := range isolations {
			t.Run(name+"/"+string(isolation), func(t *testing.T) {
				s := forwarding(t, config.Plugin{Module: "testdata/echo.wasm", Isolation: isolation},
					func(cfg *config.Config) {
						cfg.Listeners[0].Endpoint = "tls://127.0.0.1:0"
						cfg.Listeners[0].TLS = config.TLS{Cert: cert, Key: key, HandshakeTimeout: time.Hour}
						edit(cfg)
						unhurriedMove(cfg)
					})
				v := &virtual{server: s}
				h := &held{TCPConn: dial(t, s.addrs[0]), half: make(chan struct{}), rest: make(chan struct{})}
				c := tls.Client(h, &tls.Config{RootCAs: pool, ServerName: "localhost"})
				shaken := make(chan error, 1)
				go func() { shaken <- c.Handshake() }()
				<-h.half
				v.awaitAccepted(t, 1)
				_, list, err := v.handOver(t, s.cfg, nil)
				close(h.rest)
				if err != nil {
					t.Fatalf("%+v, %v", list, err)
				}
				if err := <-shaken; err != nil {
					t.Fatal(err)
				}
				send(t, c, "?")
				expect(t, c, "?")
			})
		}
	}
}

// TestHandoverStarts: the old process starts instances for connections that are young, and none
// once the time to drain is over.
func TestHandoverStarts(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			cfg := configuration(config.Plugin{Module: "testdata/echo.wasm", Isolation: isolation})
			cfg.Reactor.Loops = 1 // whose end of one connection is behind that of the time
			cfg.Listeners[0].Route = []config.Route{{Prefix: []string{"hello"}, Plugin: "guest"}}
			cfg.Listeners[0].RouteTimeout, cfg.Listeners[0].TLS.HandshakeTimeout = time.Hour, time.Hour
			v := &virtual{server: serve(t, cfg)}
			at := v.addrs[0]
			waits, late := dial(t, at), dial(t, at)
			send(t, waits, "hel")
			send(t, late, "hel")
			v.awaitAccepted(t, 2)
			if _, _, err := v.handOver(t, cfg, nil); err != nil {
				t.Fatal(err)
			}
			p := v.plugins["guest"]
			p.current().pace.hurdle.Store(1 << 20) // starts are off the loops
			send(t, waits, "lo")
			expect(t, waits, "hello")
			p.closeAll(p.current())
			expectReset(t, waits)
			send(t, late, "lo")
			expectEnd(t, late)
		})
	}
}

// TestHandoverStarting: a connection whose instance is being started when another process takes
// over gets it, and none once the time to drain is over.
func TestHandoverStarting(t *testing.T) {
	for _, isolation := range isolations {
		for _, over := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/over %t", isolation, over), func(t *testing.T) {
				g := serveGated(t, isolation)
				v := g.version(true)
				g.restart(t)
				g.close()
				c := dial(t, g.addrs[0])
				g.arrive(t)
				p := g.plugins["guest"]
				p.changing.Lock()
				p.beginLeaving()
				p.changing.Unlock()
				if over {
					p.closeAll(v)
					g.turns(t)
				}
				g.open(0)
				if over {
					expectEnd(t, c)
				} else {
					send(t, c, "x")
					expectReset(t, c) // it has trapped
				}
				for late := time.Now().Add(patience); v.live.Load() > 0; {
					if time.Now().After(late) {
						t.Fatalf("%d instances are left", v.live.Load())
					}
					g.turns(t)
				}
			})
		}
	}
}

// TestHandoverHandsOn: a guest that stays gives its connections to plugins that take them in
// the old process.
func TestHandoverHandsOn(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			cfg := handing(config.Plugin{Module: "testdata/echo.wasm", Isolation: isolation}, "other")
			p := cfg.Plugins["guest"]
			p.Reload, p.Drain = config.ReloadDrain, time.Hour
			cfg.Plugins["guest"] = p
			cfg.Listeners[0].TLS.HandshakeTimeout = time.Hour
			v := &virtual{server: serve(t, cfg)}
			c := dial(t, v.addrs[0])
			v.wantConnections(t, "guest", 1)
			if _, list, err := v.handOver(t, cfg, nil); err != nil {
				t.Fatalf("%+v, %v", list, err)
			}
			send(t, c, "to the other")
			expect(t, c, "to the other")
		})
	}
}

// TestHandoverYoungListens: an instance that the old process starts for a connection gets the
// handles of listeners that have gone, since their addresses are taken.
func TestHandoverYoungListens(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			p, addr := listensInStart(t, isolation)
			p.Drain = time.Hour
			cfg := configuration(p)
			cfg.Reactor.Loops = 1
			cfg.Listeners[0].Route = []config.Route{{Prefix: []string{"o"}, Plugin: "guest"}}
			cfg.Listeners[0].RouteTimeout, cfg.Listeners[0].TLS.HandshakeTimeout = time.Hour, time.Hour
			v := &virtual{server: serve(t, cfg)}
			own := tell(t, dial(t, v.addrs[0]), "o")
			waits := dial(t, v.addrs[0])
			v.awaitAccepted(t, 2)
			if _, list, err := v.handOver(t, cfg, nil); err != nil || list[0].Listeners < 1 {
				t.Fatalf("%+v, %v", list, err)
			}
			if has := tell(t, waits, "o"); has != own {
				t.Errorf("its start has got %d, wanted %d", has, own)
			}
			if got := hostOf(t, waits, own); got != addr {
				t.Errorf("it is at %s, wanted %s", got, addr)
			}
			if n := v.listenersOf("guest"); n != 0 {
				t.Errorf("found %d listeners, wanted none", n)
			}
		})
	}
}
