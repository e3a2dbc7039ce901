package reactor

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/tooltest"
)

// testCertificate is a self-signed certificate for 127.0.0.1, ::1 and localhost.
func testCertificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

var tlsVersions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// TestTLSKeepsNoTemporaryError pins what tls.go stands on: a read that finds
// the pipe empty, even in the middle of a record, spoils nothing.
func TestTLSKeepsNoTemporaryError(t *testing.T) {
	cert, pool := testCertificate(t)
	for name, version := range tlsVersions {
		t.Run(name, func(t *testing.T) {
			a, b := net.Pipe()
			defer a.Close()
			defer b.Close()
			go io.Copy(io.Discard, a)
			_ = b
			// A handshake over a real pipe, then records cut at every byte.
			c1, c2 := net.Pipe()
			defer c1.Close()
			defer c2.Close()
			cut := &cutConn{Conn: c2}
			server := tls.Server(cut, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: version,
				MaxVersion: version})
			client := tls.Client(c1, &tls.Config{RootCAs: pool, ServerName: "localhost"})
			hs := make(chan error, 1)
			go func() { hs <- server.Handshake() }()
			if err := client.Handshake(); err != nil {
				t.Fatal(err)
			}
			if err := <-hs; err != nil {
				t.Fatal(err)
			}
			cut.cut = true
			go client.Write([]byte("hello"))
			var got []byte
			buf := make([]byte, 64)
			for again := 0; len(got) < 5; {
				n, err := server.Read(buf)
				got = append(got, buf[:n]...)
				if err != nil {
					if !errors.Is(err, errAgain{}) {
						t.Fatal(err)
					}
					if again++; again > 1000 {
						t.Fatal("no progress")
					}
				}
			}
			if string(got) != "hello" {
				t.Errorf("got %q", got)
			}
		})
	}
}

// cutConn gives one byte, then errAgain, in turn.
type cutConn struct {
	net.Conn
	cut, odd bool
}

func (c *cutConn) Read(p []byte) (int, error) {
	if !c.cut {
		return c.Conn.Read(p)
	}
	if c.odd = !c.odd; c.odd {
		return 0, errAgain{}
	}
	return c.Conn.Read(p[:1])
}

func TestTLSEcho(t *testing.T) {
	cert, pool := testCertificate(t)
	for name, version := range tlsVersions {
		for _, backend := range []string{"auto", "portable"} {
			t.Run(name+"/"+backend, func(t *testing.T) {
				lost := make(chan error, 1)
				f := factoryFunc(func(Transport) (Protocol, error) {
					return &protocolFuncs{
						made: func(t Transport) { t.Write([]byte("hello ")) },
						data: func(t Transport, b []byte) { t.Write(b) },
						lost: func(r Reason, err error) { lost <- fmt.Errorf("%v %w", r, errors.Join(err)) },
					}, nil
				})
				_, ln := serve(t, Config{Loops: 1, Backend: backend}, "tls://127.0.0.1:0", f, ListenOptions{Loop: -1,
					TLS: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: version, MaxVersion: version,
						NextProtos: []string{"x"}}})
				c := tls.Client(dial(t, ln),
					&tls.Config{RootCAs: pool, ServerName: "localhost", NextProtos: []string{"x"}})
				want := bytes.Repeat([]byte("0123456789"), 300_000)
				go func() {
					c.Write(want)
					c.CloseWrite()
				}()
				got, err := io.ReadAll(c)
				if err != nil {
					t.Fatal(err)
				}
				if want := append([]byte("hello "), want...); !bytes.Equal(got, want) {
					t.Errorf("got %d bytes, wanted %d", len(got), len(want))
				}
				if p := c.ConnectionState().NegotiatedProtocol; p != "x" {
					t.Errorf("ALPN chose %q", p)
				}
				if err := <-lost; err.Error() != "connection done %!w(<nil>)" {
					t.Error("lost:", err)
				}
			})
		}
	}
}

func TestTLSFailures(t *testing.T) {
	cert, _ := testCertificate(t)
	tests := map[string]struct {
		talk func(net.Conn)
		want Reason
	}{
		"garbage":    {func(c net.Conn) { c.Write([]byte("GET / HTTP/1.0\r\n\r\n")) }, TLSFailure},
		"silence":    {func(c net.Conn) {}, Timeout},
		"early FIN":  {func(c net.Conn) { c.(*net.TCPConn).CloseWrite() }, TLSFailure},
		"half hello": {func(c net.Conn) { c.Write([]byte{22, 3, 1, 1, 0, 1}) }, Timeout},
		"truncation": {func(c net.Conn) {
			tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
			tc.Handshake()
			c.(*net.TCPConn).CloseWrite()
		}, Lost},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			lost := make(chan Reason, 1)
			f := factoryFunc(func(Transport) (Protocol, error) {
				return &protocolFuncs{lost: func(r Reason, err error) { lost <- r }}, nil
			})
			limit, connect := time.Minute, dial
			if tt.want == Timeout {
				limit, connect = 300*time.Millisecond, dialBriefly
			}
			_, ln := serve(t, Config{Loops: 1}, "tls://127.0.0.1:0", f,
				ListenOptions{Loop: -1, HandshakeTimeout: limit,
					TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
			if c := connect(t, ln); c != nil {
				tt.talk(c)
			}
			if got := <-lost; got != tt.want {
				t.Errorf("got reason %v, wanted %v", got, tt.want)
			}
		})
	}
}

func TestStartTLS(t *testing.T) {
	cert, pool := testCertificate(t)
	var up Transport
	f := factoryFunc(func(Transport) (Protocol, error) {
		return &protocolFuncs{data: func(tr Transport, b []byte) {
			if string(b) == "STARTTLS" {
				tr.Write([]byte("go"))
				if err := tr.StartTLS(); err != nil {
					t.Error(err)
				}
				tr.Write([]byte("secret"))
				if err := tr.StartTLS(); err != ErrBusy {
					t.Errorf("second StartTLS: %v", err)
				}
				up = tr
				return
			}
			tr.Write(b)
			if up.State()&StateTLS == 0 {
				t.Error("no TLS bit")
			}
			tr.LoseConnection()
		}}, nil
	})
	_, ln := serve(t, Config{Loops: 1}, "tcp://127.0.0.1:0", f,
		ListenOptions{Loop: -1, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	c := dial(t, ln)
	c.Write([]byte("STARTTLS"))
	plain := make([]byte, 2)
	if _, err := io.ReadFull(c, plain); err != nil || string(plain) != "go" {
		t.Fatalf("%q %v", plain, err)
	}
	tc := tls.Client(c, &tls.Config{RootCAs: pool, ServerName: "localhost"})
	tc.Write([]byte("!"))
	got, err := io.ReadAll(tc)
	if err != nil || string(got) != "secret!" {
		t.Errorf("%q %v", got, err)
	}
}

// client is a ClientProtocol that reports.
type client struct {
	protocolFuncs
	failed chan Reason
}

func (c *client) ConnectionFailed(r Reason, err error) { c.failed <- r }

func TestConnect(t *testing.T) {
	cert, pool := testCertificate(t)
	r, plain := serve(t, Config{Loops: 1}, "tcp://127.0.0.1:0", factoryFunc(echo), ListenOptions{Loop: -1})
	listen := func(ep string, o ListenOptions) *Listener {
		e, err := ParseEndpoint(ep)
		if err != nil {
			t.Fatal(err)
		}
		ln, err := r.Listen(e, factoryFunc(echo), o)
		if err != nil {
			t.Fatal(err)
		}
		if err := ln.Start(); err != nil {
			t.Fatal(err)
		}
		return ln
	}
	secure := listen("tls://127.0.0.1:0", ListenOptions{Loop: -1, HandshakeTimeout: time.Minute,
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	unix := listen("unix://"+t.TempDir()+"/s", ListenOptions{Loop: -1})
	named := plain.Endpoint()
	named.Host = "localhost"
	refused, _ := ParseEndpoint("tcp://127.0.0.1:" + tooltest.FreePort(t))

	tests := map[string]struct {
		ep   Endpoint
		o    ConnectOptions
		want string
	}{
		"tcp":       {plain.Endpoint(), ConnectOptions{}, "made"},
		"name":      {named, ConnectOptions{}, "made"},
		"unix":      {unix.Endpoint(), ConnectOptions{}, "made"},
		"tls":       {secure.Endpoint(), ConnectOptions{TLS: &tls.Config{RootCAs: pool}}, "made"},
		"untrusted": {secure.Endpoint(), ConnectOptions{}, TLSFailure.String()},
		"refused":   {refused, ConnectOptions{}, Refused.String()},
		"no socket": {Endpoint{Scheme: "unix", Path: "/nowhere/s"}, ConnectOptions{}, Refused.String()},
		"no such": {Endpoint{Scheme: "tcp", Host: "nowhere.invalid", Port: 1}, ConnectOptions{},
			NoSuchHost.String()},
		"not allowed": {plain.Endpoint(), ConnectOptions{Allow: deny}, NotAllowed.String()},
		"plain as tls": {Endpoint{Scheme: "tls", Host: "127.0.0.1", Port: plain.Endpoint().Port},
			ConnectOptions{}, TLSFailure.String()},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			ended := make(chan string, 2)
			p := &client{failed: make(chan Reason, 1)}
			p.made = func(tr Transport) {
				if tr.State()&StateOutgoing == 0 {
					t.Error("not outgoing")
				}
				tr.Write([]byte("ping"))
			}
			p.data = func(tr Transport, b []byte) { ended <- "made"; tr.LoseConnection() }
			err := r.Loops()[0].CallFromThread(func() { r.Loops()[0].Connect(tt.ep, p, tt.o) })
			if err != nil {
				t.Fatal(err)
			}
			select {
			case got := <-ended:
				if got != tt.want {
					t.Errorf("got %s, wanted %s", got, tt.want)
				}
			case got := <-p.failed:
				if got.String() != tt.want {
					t.Errorf("failed with %v, wanted %s", got, tt.want)
				}
			}
		})
	}
}

// TestConnectZone: an IPv6 zone is an interface's name or its number, and no part
// of the name in the peer's certificate.
func TestConnectZone(t *testing.T) {
	var zones []string
	ifs, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range ifs {
		if i.Flags&net.FlagLoopback != 0 {
			zones = append(zones, i.Name, fmt.Sprint(i.Index))
		}
	}
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil || len(zones) == 0 {
		t.Skip("no IPv6 loopback: ", err)
	} else {
		l.Close()
	}
	cert, pool := testCertificate(t)
	for _, backend := range []string{"auto", "portable"} {
		r, ln := serve(t, Config{Loops: 1, Backend: backend}, "tls://[::1]:0", factoryFunc(echo),
			ListenOptions{Loop: -1, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
		for _, zone := range zones {
			t.Run(backend+"/"+zone, func(t *testing.T) {
				ended := make(chan string, 1)
				p := &failing{told: func(r Reason, err error) { ended <- fmt.Sprint(r, err) }}
				p.made = func(tr Transport) { ended <- "made"; tr.LoseConnection() }
				ep := ln.Endpoint()
				ep.Host += "%" + zone
				l := r.Loops()[0]
				if err := l.CallFromThread(func() {
					l.Connect(ep, p, ConnectOptions{TLS: &tls.Config{RootCAs: pool}})
				}); err != nil {
					t.Fatal(err)
				}
				if got := <-ended; got != "made" {
					t.Error(got)
				}
			})
		}
	}
}

// failing is a client whose failure comes with its error.
type failing struct {
	protocolFuncs
	told func(Reason, error)
}

func (p *failing) ConnectionFailed(r Reason, err error) { p.told(r, err) }

func TestConnectCancelled(t *testing.T) {
	r, _ := serve(t, Config{Loops: 1}, "tcp://127.0.0.1:0", factoryFunc(echo), ListenOptions{Loop: -1})
	p := &client{failed: make(chan Reason, 1)}
	p.made = func(Transport) { t.Error("made") }
	l := r.Loops()[0]
	if err := l.CallFromThread(func() {
		l.Connect(Endpoint{Scheme: "tcp", Host: "localhost", Port: 1}, p, ConnectOptions{}).LoseConnection()
	}); err != nil {
		t.Fatal(err)
	}
	if got := <-p.failed; got != Aborted {
		t.Errorf("failed with %v, wanted %v", got, Aborted)
	}
}

// TestShutdownDuringHandshake ends a reactor whose peers are in mid-handshake.
func TestShutdownDuringHandshake(t *testing.T) {
	cert, _ := testCertificate(t)
	made := make(chan struct{})
	f := factoryFunc(func(Transport) (Protocol, error) {
		return &protocolFuncs{made: func(Transport) { close(made) }}, nil
	})
	r, ln := serve(t, Config{Loops: 1}, "tls://127.0.0.1:0", f,
		ListenOptions{Loop: -1, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	dial(t, ln)
	<-made
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func deny(Endpoint, netip.Addr) error { return errors.New("denied") }
