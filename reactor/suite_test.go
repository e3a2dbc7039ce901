package reactor_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/internal/reactortest"
	"github.com/wirehost/wirehost/reactor"
)

// TestPromises runs every row of what a connection promises against each
// transport, with native protocols.
func TestPromises(t *testing.T) {
	transports := []string{"tcp", "tls", "tls by the library", "tls in pieces", "unix", "plugin",
		"plugin from another loop"}
	reactortest.CheckColumns(t, "N", transports...)
	for _, sys := range []string{"epoll", "portable", "memory"} {
		for _, transport := range transports {
			t.Run(sys+"/"+transport, func(t *testing.T) {
				t.Parallel()
				scheme, _, _ := strings.Cut(transport, " ")
				// One of its own: crypto/tls shares parsed certificates in a way that the
				// race detector takes for a race.
				cert, pool := reactor.CertificateForTest(t)
				server := &tls.Config{Certificates: []tls.Certificate{cert}}
				client := &tls.Config{RootCAs: pool, ServerName: "localhost"}
				var column reactortest.Column
				if sys == "memory" {
					column = reactortest.Column{Name: transport, Kind: "N"}
				}
				reactortest.Suite(t, reactortest.Backend{
					Column: column,
					TLS:    scheme == "tls", Cut: transport == "tls in pieces", Unix: scheme == "unix",
					LateReset: sys == "portable", Holds: true,
					Serve: func(t *testing.T, s reactortest.Settings) *reactortest.Server {
						cfg := reactor.Config{Loops: 1, Backend: sys, CloseTimeout: s.CloseTimeout,
							WriteTimeout: s.WriteTimeout, ClosedTimeout: s.ClosedTimeout, MaxQueued: s.MaxQueued,
							LibraryTLS: transport == "tls by the library"}
						if sys == "epoll" && !reactor.HasEpoll {
							t.Skip("this system has no epoll")
						}
						if sys == "memory" {
							cfg.Backend, cfg.Sys = "", memnet.New(memnet.Options{})
						}
						kind := scheme
						if scheme == "plugin" {
							cfg.Loops, kind = 2, transport
						}
						return scriptedServer(t, cfg, kind, reactortest.NewScript(pool), s.HandshakeTimeout, server,
							client)
					},
				})
			})
		}
	}
}

func scriptedServer(
	t *testing.T, cfg reactor.Config, scheme string, f reactor.Factory, handshake time.Duration,
	serverTLS, clientTLS *tls.Config,
) *reactortest.Server {
	t.Helper()
	cfg.Logger = hclog.New(&hclog.LoggerOptions{Level: hclog.Error, Output: &stepLog{t}})
	r, err := reactor.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	mem, _ := cfg.Sys.(*memnet.Sys)
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if n := r.Connections(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
		if mem != nil && (mem.OpenFDs() != 0 || len(mem.Misuse()) > 0) {
			t.Errorf("%d descriptors are left; misuse: %q", mem.OpenFDs(), mem.Misuse())
		}
	})
	if from, ok := strings.CutPrefix(scheme, "plugin"); ok {
		s := insideServer(t, r, mem, f, handshake, len(from) > 0)
		s.Peer = serverTLS
		return s
	}
	ep := reactor.Endpoint{Scheme: scheme, Host: "127.0.0.1", Path: socketPath(t)}
	o := reactor.ListenOptions{Loop: -1, HandshakeTimeout: handshake}
	if scheme == "tls" {
		o.TLS = serverTLS
	} else {
		clientTLS = nil
	}
	ln, err := r.Listen(ep, f, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Start(), ln.Start()); err != nil {
		t.Fatal(err)
	}
	network, address := reactor.Address(ln.Endpoint())
	s := &reactortest.Server{
		Client: clientTLS, Peer: serverTLS, StopListening: ln.Close,
		Shutdown: func(ctx context.Context) error { return r.Shutdown(ctx) },
		Dial:     func() (net.Conn, error) { return net.DialTimeout(network, address, time.Minute) },
	}
	if mem != nil {
		s.Advance, s.LimitFDs = mem.AdvanceSettled, mem.SetMaxFDs
		s.Dial = func() (net.Conn, error) {
			p, err := mem.Dial(network, address)
			if err != nil {
				return nil, err
			}
			return p.Conn(), nil
		}
	}
	return s
}

// insideServer listens inside the process, on loop 0, for clients on the same loop or the
// other one.
func insideServer(
	t *testing.T, r *reactor.Reactor, mem *memnet.Sys, f reactor.Factory, handshake time.Duration, apart bool,
) *reactortest.Server {
	ln, err := r.ListenInside("scripted", f, reactor.ListenOptions{Loop: 0, HandshakeTimeout: handshake})
	if err := errors.Join(err, r.Start()); err != nil {
		t.Fatal(err)
	}
	from := r.Loops()[0]
	if apart {
		from = r.Loops()[1]
	}
	s := &reactortest.Server{
		StopListening: ln.Close,
		Shutdown:      func(ctx context.Context) error { return r.Shutdown(ctx) },
		Dial:          func() (net.Conn, error) { return reactortest.DialInside(from, ln) },
	}
	if mem != nil {
		s.Advance = mem.AdvanceSettled
	}
	return s
}

// stepLog fails a test whose connections' stages come in another order than they may.
type stepLog struct{ t *testing.T }

func (l *stepLog) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(reactor.NotAStep)) {
		l.t.Errorf("logged: %s", p)
	}
	return len(p), nil
}

// socketPath is a short one: those of sockets are limited.
func socketPath(t *testing.T) string {
	dir, err := os.MkdirTemp("", "reactor")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}
