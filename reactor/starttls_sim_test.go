package reactor_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/reactor"
)

// upgrading is a Protocol that calls StartTLS after "tls\n", or in the next turn,
// while it is paused. It echoes what comes when TLS is up, and notes what comes
// before, which is plain text.
type upgrading struct {
	reactor.Transport
	t      *testing.T
	buffer []byte
	paused bool
	up     bool
	done   bool // StartTLS was called
	plain  []byte
	lost   chan reactor.Reason
}

func (p *upgrading) BuildProtocol(reactor.Transport) (reactor.Protocol, error) { return p, nil }
func (p *upgrading) ConnectionMade(t reactor.Transport)                        { p.Transport = t }
func (p *upgrading) ConnectionLost(r reactor.Reason, _ error)                  { p.lost <- r }
func (p *upgrading) ReceiveBuffer() []byte                                     { return p.buffer }

func (p *upgrading) HandshakeCompleted() {
	p.up = true
	p.ResumeProducing()
}

func (p *upgrading) DataReceived(b []byte) {
	switch {
	case p.up:
		p.Write(b)
	case p.done:
		p.t.Errorf("%.20q came in plain text after StartTLS", b)
	case !strings.HasPrefix(string(append(p.plain, b...)), "tls\n"):
		p.plain = append(p.plain, b...)
	case p.paused:
		p.plain = append(p.plain, b...)
		p.PauseProducing()
		p.Loop().CallLater(0, p.begin)
	default:
		p.begin()
	}
}

func (p *upgrading) begin() {
	p.done = true
	p.Write([]byte("go"))
	if err := p.StartTLS(); err != nil {
		p.t.Error(err)
	}
}

// TestNothingPlainAfterStartTLS: what the protocol has not got when it calls
// StartTLS belongs to the handshake, wherever it lies: in the system, in what the
// backend has read ahead, or behind a PROXY header.
func TestNothingPlainAfterStartTLS(t *testing.T) {
	for _, backend := range []string{"auto", "portable", "memory"} {
		for _, way := range []struct {
			name   string
			head   string
			buffer int
			paused bool
		}{
			{"small buffer", "", 4, false},
			{"one byte", "", 1, false},
			{"paused", "", 4, true},
			{"behind a PROXY header", "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n", 4, false},
			{"behind a PROXY header, paused", "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n", 4, true},
		} {
			for name, behind := range map[string]string{
				"nothing": "", "a line": "EVIL\r\n", "much": strings.Repeat("EVIL\r\n", 10<<10), "a handshake": "hello",
			} {
				t.Run(backend+"/"+way.name+"/"+name, func(t *testing.T) {
					p := &upgrading{t: t, buffer: make([]byte, way.buffer), paused: way.paused,
						lost: make(chan reactor.Reason, 1)}
					c, client := upgradable(t, backend, p, way.head != "")
					if behind == "hello" { // a client that does not wait
						upgradeAtOnce(t, c, client, way.head+"tls\n")
						return
					}
					if _, err := io.WriteString(c, way.head+"tls\n"+behind); err != nil {
						t.Fatal(err)
					}
					if behind != "" {
						if got := <-p.lost; got != reactor.TLSFailure {
							t.Errorf("found reason %v, wanted %v", got, reactor.TLSFailure)
						}
						return
					}
					upgradeAtOnce(t, c, client, "")
				})
			}
		}
	}
}

// upgradeAtOnce sends head and a ClientHello, as one, and wants an echo over TLS.
func upgradeAtOnce(t *testing.T, c net.Conn, clientTLS *tls.Config, head string) {
	t.Helper()
	tc := tls.Client(&headConn{Conn: c, head: head, skip: 2}, clientTLS)
	if _, err := tc.Write([]byte("!")); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(io.LimitReader(tc, 1)); err != nil || string(b) != "!" {
		t.Errorf("found %q, %v", b, err)
	}
}

// headConn sends head before all else, and leaves out the first bytes that come.
type headConn struct {
	net.Conn
	head string
	skip int64
}

func (c *headConn) Write(b []byte) (int, error) {
	head := c.head
	c.head = ""
	n, err := c.Conn.Write(append([]byte(head), b...))
	return n - len(head), err
}

func (c *headConn) Read(b []byte) (int, error) {
	if c.skip > 0 {
		n, err := io.CopyN(io.Discard, c.Conn, c.skip)
		if c.skip -= n; err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(b)
}

// upgradable serves p on a backend, and connects to it.
func upgradable(t *testing.T, backend string, p *upgrading, proxied bool) (net.Conn, *tls.Config) {
	t.Helper()
	cfg := reactor.Config{Loops: 1, Backend: backend}
	var sys *memnet.Sys
	if backend == "memory" {
		sys = memnet.New(memnet.Options{})
		cfg = reactor.Config{Loops: 1, Sys: sys}
	}
	r, err := reactor.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	cert, pool := reactor.CertificateForTest(t)
	o := reactor.ListenOptions{Loop: -1, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}
	if proxied {
		o.ProxyProtocol, o.ProxyFrom = true, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}
	ln, err := r.Listen(reactor.Endpoint{Scheme: "tcp", Host: "127.0.0.1"}, p, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Start(), ln.Start()); err != nil {
		t.Fatal(err)
	}
	network, address := reactor.Address(ln.Endpoint())
	var c net.Conn
	if sys != nil {
		peer, err := sys.Dial(network, address)
		if err != nil {
			t.Fatal(err)
		}
		c = peer.Conn()
	} else if c, err = net.Dial(network, address); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, &tls.Config{RootCAs: pool, ServerName: "localhost"}
}
