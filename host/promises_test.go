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
	for _, sys := range []string{"epoll", "portable", "memory", "paged"} {
		for _, transport := range []string{"tcp", "tls", "tls by the library", "unix", "plugin"} {
			t.Run(sys+"/"+transport, func(t *testing.T) {
				t.Parallel()
				scheme, by, _ := strings.Cut(transport, " by the ")
				// One of its own: crypto/tls shares parsed certificates in a way that the
				// race detector takes for a race.
				cert, key, pool := certificate(t, time.Now().Add(time.Hour))
				client := &tls.Config{RootCAs: pool, ServerName: "localhost"}
				pair, err := tls.LoadX509KeyPair(cert, key)
				if err != nil {
					t.Fatal(err)
				}
				peer := &tls.Config{Certificates: []tls.Certificate{pair}}
				reactortest.Suite(t, reactortest.Backend{
					TLS: scheme == "tls", Unix: scheme == "unix", LateReset: sys == "portable", Traps: true,
					Share: true,
					Serve: func(t *testing.T, s reactortest.Settings) *reactortest.Server {
						cfg := configuration(config.Plugin{Module: wasm, Isolation: config.IsolationLoop})
						p := cfg.Plugins["guest"]
						p.Limits.CallbackTime = 10 * time.Second // what is tested here is no limit of time
						p.Allow.CA = cert
						p.Allow.HandOver = []string{"guest"}
						cfg.Plugins["guest"] = p
						cfg.Reactor = config.Reactor{Loops: 1, Backend: sys, CloseTimeout: s.CloseTimeout,
							WriteTimeout: s.WriteTimeout, ClosedTimeout: s.ClosedTimeout}
						cfg.Reactor.TLSRecords = by // as the defaults are not applied, "" is auto
						cfg.Reactor.WriteBuffer.Max = config.Size(s.MaxQueued)
						ln := &cfg.Listeners[0]
						if ln.Endpoint = scheme + "://127.0.0.1:0"; scheme == "plugin" {
							ln.Endpoint = "tcp://127.0.0.1:0"
						}
						var mine *tls.Config
						switch scheme {
						case "tls":
							ln.TLS, mine = config.TLS{Cert: cert, Key: key}, client
						case "unix":
							ln.Endpoint = "unix://" + socketPath(t)
						}
						server := promising(t, cfg, mine, scheme == "plugin")
						server.Peer = peer
						return server
					},
				})
			})
		}
	}
}

// promising serves the guest for the suite.
func promising(t *testing.T, cfg config.Config, client *tls.Config, inside bool) *reactortest.Server {
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
	network, address := "tcp", net.JoinHostPort(ep.Host, portText(ep))
	if ep.Scheme == "unix" {
		network, address = "unix", ep.Path
	}
	server := &reactortest.Server{
		Client: client, StopListening: s.listeners[0].ln.Close, Shutdown: s.Shutdown,
		Dial: func() (net.Conn, error) { return net.DialTimeout(network, address, patience) },
	}
	if mem != nil {
		server.LimitFDs = mem.SetMaxFDs
		server.Advance = func(d time.Duration) {
			settle(s.Host, mem)
			mem.AdvanceSettled(d)
			settle(s.Host, mem)
		}
		server.Dial = func() (net.Conn, error) {
			p, err := mem.Dial(network, address)
			if err != nil {
				return nil, err
			}
			return p.Conn(), nil
		}
	}
	if inside { // from another plugin, which is native here
		ln := s.pluginInside("guest")
		server.LimitFDs, server.StopListening = nil, ln.Close
		server.Dial = func() (net.Conn, error) { return reactortest.DialInside(s.reactor.Loops()[0], ln) }
	}
	return server
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
