package reactor

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

// layerOf is what protects a connection, and how many records of its own were under its
// key when it was asked: -1 where crypto/tls knows that alone. Loop only.
func layerOf(t Transport) (string, int) {
	if r, ok := t.(*connection).tls.layer.(*records); ok {
		return "records", int(r.conn.State().Out.Seq)
	}
	return "library", -1
}

// TestTakenOver pins what taking over stands on in crypto/tls: the form of its key log,
// that it takes no record behind the handshake's last, and which of its records are under
// the application key. A release of Go that changes it fails here.
func TestTakenOver(t *testing.T) {
	cert, pool := testCertificate(t)
	for _, tt := range []struct {
		name    string
		server  func(*tls.Config)
		client  func(*tls.Config)
		want    string
		tickets int
		check   func(tls.ConnectionState) bool
	}{
		{"session ticket in the first flight", nil, nil, "records", 1, nil},
		{"client certificate, ticket behind it", func(s *tls.Config) {
			s.ClientAuth, s.ClientCAs = tls.RequireAndVerifyClientCert, pool
		}, func(c *tls.Config) { c.Certificates = []tls.Certificate{cert} }, "records", 1, nil},
		{"no tickets", func(s *tls.Config) { s.SessionTicketsDisabled = true }, nil, "records", 0, nil},
		{"a client without use for tickets", nil, func(c *tls.Config) { c.ClientSessionCache = nil },
			"records", 0, nil},
		{"HelloRetryRequest", func(s *tls.Config) { s.CurvePreferences = []tls.CurveID{tls.CurveP384} }, nil,
			"records", 1, func(s tls.ConnectionState) bool { return s.CurveID == tls.CurveP384 }},
		{"another configuration for the client", func(s *tls.Config) {
			its := s.Clone()
			s.Certificates = nil
			s.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return its, nil }
		}, nil, "records", 1, nil},
		{"TLS 1.2", func(s *tls.Config) { s.MaxVersion = tls.VersionTLS12 }, nil, "library", -1, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := &tls.Config{Certificates: []tls.Certificate{cert}}
			client := &tls.Config{RootCAs: pool, ServerName: "localhost",
				ClientSessionCache: tls.NewLRUClientSessionCache(1)}
			if tt.server != nil {
				tt.server(server)
			}
			if tt.client != nil {
				tt.client(client)
			}
			state := echoOver(t, Config{Loops: 1}, server, client, tt.want, tt.tickets)
			if tt.check != nil && !tt.check(state) {
				t.Errorf("the handshake was not as wanted: %+v", state)
			}
		})
	}
	t.Run("left to the library", func(t *testing.T) {
		echoOver(t, Config{Loops: 1, LibraryTLS: true}, &tls.Config{Certificates: []tls.Certificate{cert}},
			&tls.Config{RootCAs: pool, ServerName: "localhost"}, "library", -1)
	})
}

// echoOver has a server echo over TLS, wants the layer of it, and so many records before
// its first, and returns what the client knows.
func echoOver(t *testing.T, cfg Config, server, client *tls.Config, want string, tickets int) tls.ConnectionState {
	t.Helper()
	found := make(chan string, 1)
	f := factoryFunc(func(Transport) (Protocol, error) {
		return &protocolFuncs{data: func(tr Transport, b []byte) {
			kind, sent := layerOf(tr)
			found <- fmt.Sprint(kind, ", sent ", sent)
			tr.Write(b)
			tr.LoseConnection()
		}}, nil
	})
	_, ln := serve(t, cfg, "tls://127.0.0.1:0", f, ListenOptions{Loop: -1, TLS: server})
	c := tls.Client(dial(t, ln), client)
	c.Write([]byte("ping"))
	if b, err := io.ReadAll(c); err != nil || string(b) != "ping" {
		t.Fatalf("read %q, %v", b, err)
	}
	if got, want := <-found, fmt.Sprint(want, ", sent ", tickets); got != want {
		t.Errorf("found the layer %s; wanted %s", got, want)
	}
	return c.ConnectionState()
}

// failingLayer is a layer that fails to seal, in the middle.
type failingLayer struct{ tlsLayer }

func (failingLayer) seal(c *connection, _ []byte) error {
	c.loop.sealed = append(c.loop.sealed, "part of a record"...)
	return errNotSealed
}

// TestSealFails: what was sealed when that failed goes nowhere, least of all to the
// connection that seals next.
func TestSealFails(t *testing.T) {
	cert, pool := testCertificate(t)
	left := make(chan string, 1)
	f := factoryFunc(func(Transport) (Protocol, error) {
		return &protocolFuncs{data: func(tr Transport, b []byte) {
			c := tr.(*connection)
			c.tls.layer = failingLayer{c.tls.layer}
			tr.Write(b) // gathered
			tr.Write(make([]byte, maxSeal))
			left <- string(c.loop.sealed)
		}}, nil
	})
	_, ln := serve(t, Config{Loops: 1}, "tls://127.0.0.1:0", f,
		ListenOptions{Loop: -1, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	c := tls.Client(dial(t, ln), &tls.Config{RootCAs: pool, ServerName: "localhost"})
	c.Write([]byte("ping"))
	if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
		t.Errorf("read %q, %v, wanted an end", b, err)
	}
	if s := <-left; s != "" {
		t.Errorf("found %q on its way", s)
	}
}

// TestTakenOverResumes: sessions are resumed as they are where crypto/tls has all of them,
// with keys that it makes, that are given, that another configuration has, and that a
// callback has, and after the listener was configured again.
func TestTakenOverResumes(t *testing.T) {
	cert, pool := testCertificate(t)
	for name, change := range map[string]func(*tls.Config){
		"keys made":  func(*tls.Config) {},
		"keys given": func(s *tls.Config) { s.SetSessionTicketKeys([][32]byte{{1}}) },
		"keys of the client's configuration": func(s *tls.Config) {
			its := s.Clone()
			its.SetSessionTicketKeys([][32]byte{{2}})
			s.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return its, nil }
		},
		"made, beside the client's configuration": func(s *tls.Config) {
			s.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
				return &tls.Config{Certificates: s.Certificates}, nil
			}
		},
		"keys of another": func(s *tls.Config) {
			other := &tls.Config{}
			s.WrapSession, s.UnwrapSession = other.EncryptTicket, other.DecryptTicket
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := &tls.Config{Certificates: []tls.Certificate{cert}}
			change(server)
			o := ListenOptions{Loop: -1, TLS: server}
			_, ln := serve(t, Config{Loops: 1}, "tls://127.0.0.1:0", factoryFunc(echo), o)
			client := &tls.Config{RootCAs: pool, ServerName: "localhost",
				ClientSessionCache: tls.NewLRUClientSessionCache(1)}
			for n := range 3 {
				if n == 2 {
					if err := ln.Configure(ln.Factory(), o); err != nil {
						t.Fatal(err)
					}
				}
				c := tls.Client(dial(t, ln), client)
				c.Write([]byte("ping"))
				if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
					t.Fatal(err)
				}
				if s := c.ConnectionState(); s.DidResume != (n > 0) {
					t.Errorf("connection %d: resumed: %t", n, s.DidResume)
				}
				c.Close()
			}
		})
	}
}

// TestTakenOverOutgoing: outgoing connections are taken over too, and drop tickets; one
// that wants tickets stays with crypto/tls. The configuration's own key log goes on.
func TestTakenOverOutgoing(t *testing.T) {
	cert, pool := testCertificate(t)
	for want, cache := range map[string]tls.ClientSessionCache{
		"records": nil, "library": tls.NewLRUClientSessionCache(1),
	} {
		t.Run(want, func(t *testing.T) {
			var keys bytes.Buffer
			r, ln := serve(t, Config{Loops: 1}, "tls://127.0.0.1:0", factoryFunc(echo),
				ListenOptions{Loop: -1, TLS: &tls.Config{Certificates: []tls.Certificate{cert}, KeyLogWriter: &keys}})
			got, failed := make(chan string, 1), make(chan Reason, 1)
			p := &client{failed: failed}
			p.made = func(tr Transport) { tr.Write([]byte("ping")) }
			p.data = func(tr Transport, b []byte) {
				kind, _ := layerOf(tr)
				tr.LoseConnection()
				got <- kind + " " + string(b)
			}
			l := r.Loops()[0]
			if err := l.CallFromThread(func() {
				l.Connect(ln.Endpoint(), p, ConnectOptions{TLS: &tls.Config{RootCAs: pool, ClientSessionCache: cache}})
			}); err != nil {
				t.Fatal(err)
			}
			select {
			case s := <-got:
				if s != want+" ping" {
					t.Errorf("found %q, wanted %q", s, want+" ping")
				}
			case why := <-failed:
				t.Fatal("failed: ", why)
			}
			if text := keys.String(); strings.Count(text, labelClient) != 1 || strings.Count(text, labelServer) != 1 {
				t.Errorf("the server's own key log has %d lines", strings.Count(text, "\n"))
			}
		})
	}
}

// TestTakeoverInDoubt: where something of crypto/tls is not as it is known to be, the
// connection ends: an alert, reason 4, a line in the log.
func TestTakeoverInDoubt(t *testing.T) {
	cert, pool := testCertificate(t)
	for want, spoil := range map[error]func(*pipe){
		errKeysTwice: func(p *pipe) {
			if _, err := fmt.Fprintf(p.keys, "%s 00 %064d\n", labelServer, 0); err != nil {
				t.Error(err)
			}
		},
		errOutOfStep: func(p *pipe) {
			if _, err := p.c.sys().Write(p.c.fd, p.out); err != nil { // the flight, without what follows
				t.Error(err)
			}
			p.out = append(p.out, make([]byte, 40)...)
			p.flushed = len(p.out)
		},
	} {
		t.Run(want.Error(), func(t *testing.T) {
			its := &tls.Config{Certificates: []tls.Certificate{cert}}
			server := &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
				p := hello.Conn.(*pipe)
				its := its.Clone()
				its.VerifyConnection = func(tls.ConnectionState) error { spoil(p); return nil }
				return its, nil
			}}
			var log bytes.Buffer
			lost := make(chan error, 1)
			f := factoryFunc(func(Transport) (Protocol, error) {
				return &protocolFuncs{
					data: func(_ Transport, b []byte) { t.Errorf("%q was delivered", b) },
					lost: func(r Reason, err error) { lost <- fmt.Errorf("%v: %w", r, err) },
				}, nil
			})
			_, ln := serve(t, Config{Loops: 1, Logger: hclog.New(&hclog.LoggerOptions{Output: &log})},
				"tls://127.0.0.1:0", f, ListenOptions{Loop: -1, TLS: server})
			c := tls.Client(dial(t, ln), &tls.Config{RootCAs: pool, ServerName: "localhost",
				ClientSessionCache: tls.NewLRUClientSessionCache(1)})
			c.Write([]byte("ping"))
			var op *net.OpError
			if _, err := c.Read(make([]byte, 4)); !errors.As(err, &op) || op.Op != "remote error" {
				t.Errorf("the client found %v, wanted an alert", err)
			}
			if err := <-lost; !errors.Is(err, want) || !strings.HasPrefix(err.Error(), TLSFailure.String()) {
				t.Errorf("lost: %v; wanted %v", err, want)
			}
			if n := strings.Count(log.String(), want.Error()); n != 1 {
				t.Errorf("%d lines tell it: %s", n, log.String())
			}
		})
	}
}

// TestRecordAtATime: during the handshake a read of the pipe never goes beyond a record.
func TestRecordAtATime(t *testing.T) {
	first, second := []byte{22, 3, 3, 0, 3, 1, 2, 3}, []byte{23, 3, 3, 0, 1, 9}
	for _, size := range []int{1, 2, 5, 6, 8, 9, 100} {
		p := &pipe{room: []byte{}}
		p.cond.L = &p.mu
		p.feed(append(bytes.Clone(first), second...))
		var got []byte
		for len(got) < len(first) {
			b := make([]byte, size)
			n, err := p.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, b[:n]...)
		}
		if !bytes.Equal(got, first) || !bytes.Equal(p.in, second) || p.left != 0 {
			t.Errorf("reads of %d bytes: found %x, and %x is left", size, got, p.in)
		}
	}
}
