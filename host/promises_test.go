package host

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/internal/reactortest"
	"github.com/wirehost/wirehost/reactor"
)

// built builds a Go guest of testdata, once.
func built(t testing.TB, name string) string {
	t.Helper()
	guests.mu.Lock()
	defer guests.mu.Unlock()
	if path := guests.paths[name]; path != "" {
		return path
	}
	path := filepath.Join(guests.dir, filepath.Base(name)+".wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-o", path,
		"./testdata/"+name)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	guests.paths[name] = path
	return path
}

// guests are those that tests have built; TestMain removes them.
var guests struct {
	mu    sync.Mutex
	dir   string
	paths map[string]string
}

// certificate makes one for localhost, as files.
func certificate(t testing.TB, notAfter time.Time) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: notAfter, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	privateDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := errors.Join(
		os.WriteFile(cert, certPEM, 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: privateDER}), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return cert, key, pool
}

// TestPromises runs every row of what a connection promises with a guest.
func TestPromises(t *testing.T) {
	wasm := built(t, "scripted")
	transports := []string{"tcp", "tls", "tls by the library", "unix", "plugin", "tcp by a guest", "tls by a guest"}
	reactortest.CheckColumns(t, "G", transports...)
	for _, sys := range []string{"epoll", "portable", "memory", "paged"} {
		for _, transport := range transports {
			scheme, by, _ := strings.Cut(transport, " by ")
			if transport == "tls by a guest" && sys != "memory" {
				continue // a listener is one, and TLS is TLS
			}
			t.Run(sys+"/"+transport, func(t *testing.T) {
				t.Parallel()
				// One of its own: crypto/tls shares parsed certificates in a way that the
				// race detector takes for a race.
				cert, key, pool := certificate(t, time.Now().Add(time.Hour))
				pair, err := tls.LoadX509KeyPair(cert, key)
				if err != nil {
					t.Fatal(err)
				}
				peer := &tls.Config{Certificates: []tls.Certificate{pair}}
				var client *tls.Config
				if scheme == "tls" {
					client = &tls.Config{RootCAs: pool, ServerName: "localhost"}
				}
				var column reactortest.Column
				if sys == "memory" {
					column = reactortest.Column{Name: transport, Kind: "G"}
				}
				reactortest.Suite(t, reactortest.Backend{
					Column: column,
					TLS:    scheme == "tls", Unix: scheme == "unix", LateReset: sys == "portable", Traps: true,
					Share: true,
					Serve: func(t *testing.T, s reactortest.Settings) *reactortest.Server {
						cfg := promised(t, wasm, scheme, by, config.TLS{Cert: cert, Key: key})
						cfg.Reactor = config.Reactor{Loops: 1, Backend: sys, CloseTimeout: s.CloseTimeout,
							WriteTimeout: s.WriteTimeout, ClosedTimeout: s.ClosedTimeout}
						if by == "the library" { // as the defaults are not applied, "" is auto
							cfg.Reactor.TLSRecords = "library"
						}
						cfg.Reactor.WriteBuffer.Max = config.Size(s.MaxQueued)
						server := promising(t, cfg, scheme, by)
						server.Peer, server.Client = peer, client
						return server
					},
				})
			})
		}
	}
}

// promised is a configuration of the guest that obeys scripts, behind a listener of its own where
// by is a guest.
func promised(t *testing.T, wasm, scheme, by string, files config.TLS) config.Config {
	p := config.Plugin{Module: wasm, Isolation: config.IsolationLoop}
	p.Limits.CallbackTime = 10 * time.Second // what is tested here is no limit of time
	p.Allow.CA = files.Cert
	p.Allow.HandOver = []string{"guest"}
	endpoint := scheme + "://127.0.0.1:0"
	switch scheme {
	case "plugin":
		endpoint = "tcp://127.0.0.1:0"
	case "unix":
		endpoint = "unix://" + socketPath(t)
	}
	if by == "a guest" {
		p.Config, p.Allow.Listen, p.Allow.TLS = endpoint, []string{scheme + "://127.0.0.1:*"}, files
		return configuration(p)
	}
	cfg := configuration(p)
	cfg.Listeners[0].Endpoint = endpoint
	if scheme == "tls" {
		cfg.Listeners[0].TLS = files
	}
	return cfg
}

// promising serves the guest for the suite.
func promising(t *testing.T, cfg config.Config, scheme, by string) *reactortest.Server {
	t.Helper()
	var mem *memnet.Sys
	paged := cfg.Reactor.Backend == "paged" // each instance leaves its memory between callbacks
	if paged || cfg.Reactor.Backend == "memory" {
		mem, cfg.Reactor.Backend = memnet.New(memnet.Options{}), ""
	}
	s := newServer(t, cfg)
	s.paging = s.paging || paged
	if mem != nil {
		s.o.Sys = mem
	}
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.Shutdown(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if t.Failed() {
			for _, line := range s.logs.lines {
				t.Log(line)
			}
		}
	})
	ep := s.Listeners()[0]
	dial := func(ep reactor.Endpoint) (net.Conn, error) { return dialEndpoint(mem, ep) }
	server := &reactortest.Server{
		StopListening: s.listeners[0].ln.Close, Shutdown: s.Shutdown,
		Dial: func() (net.Conn, error) { return dial(ep) },
	}
	if mem != nil {
		server.LimitFDs = mem.SetMaxFDs
		server.Advance = func(d time.Duration) {
			settle(s.Host, mem)
			mem.AdvanceSettled(d)
			settle(s.Host, mem)
		}
	}
	switch {
	case scheme == "plugin": // from another plugin, which is native here
		ln := s.pluginInside("guest")
		server.LimitFDs, server.StopListening = nil, ln.Close
		server.Dial = func() (net.Conn, error) { return reactortest.DialInside(s.reactor.Loops()[0], ln) }
	case by == "a guest":
		byGuest(t, server, scheme, func() (net.Conn, error) { return dial(ep) }, dial)
	}
	return server
}

// byGuest has connections come by the listener of a guest, which tells at its configured one, where
// ask connects to, where it listens.
func byGuest(t *testing.T, server *reactortest.Server, scheme string, ask func() (net.Conn, error),
	dial func(reactor.Endpoint) (net.Conn, error)) {
	t.Helper()
	text, err := askListener(ask, "")
	if err != nil {
		t.Fatal(err)
	}
	own, err := reactor.ParseEndpoint(scheme + "://" + text)
	if err != nil {
		t.Fatalf("found %q, wanted an address: %v", text, err)
	}
	server.Dial = func() (net.Conn, error) { return dial(own) }
	server.StopListening = func() error {
		if _, err := askListener(ask, "x"); err != nil {
			return err
		}
		return awaitRefusal(server.Dial)
	}
}

// askListener asks a guest where it listens, or has it end that.
func askListener(ask func() (net.Conn, error), what string) (string, error) {
	c, err := ask()
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := c.Write([]byte(what)); err != nil {
		return "", err
	}
	text, err := io.ReadAll(c)
	return string(text), err
}

// awaitRefusal waits until nobody is connected to any more.
func awaitRefusal(dial func() (net.Conn, error)) error {
	for late := time.Now().Add(patience); time.Now().Before(late); {
		c, err := dial()
		if err != nil {
			return nil
		}
		c.Close()
	}
	return errors.New("found that somebody listens, wanted that nobody does")
}

// dialEndpoint connects to an endpoint of the machine, or of mem.
func dialEndpoint(mem *memnet.Sys, ep reactor.Endpoint) (net.Conn, error) {
	network, address := "tcp", net.JoinHostPort(ep.Host, portText(ep))
	if ep.Scheme == "unix" {
		network, address = "unix", ep.Path
	}
	if mem == nil {
		return net.DialTimeout(network, address, patience)
	}
	p, err := mem.Dial(network, address)
	if err != nil {
		return nil, err
	}
	return p.Conn(), nil
}

func portText(ep reactor.Endpoint) string { return strconv.Itoa(int(ep.Port)) }

// socketPath is a short one: those of sockets are limited.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "host")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}
