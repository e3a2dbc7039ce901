package reactor

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"testing"
)

// pair is two connections of one loop: what the first sends has act called with
// both transports, so that the second is written to from another's callback.
func pair(t *testing.T, cfg Config, endpoint string, o ListenOptions, act func(a, b Transport)) (*Reactor, *Listener) {
	var first, second Transport
	f := factoryFunc(func(Transport) (Protocol, error) {
		return &protocolFuncs{
			made: func(tr Transport) {
				if first == nil {
					first = tr
				} else {
					second = tr
				}
			},
			data: func(tr Transport, b []byte) {
				if tr == first {
					act(first, second)
				} else {
					tr.Write(b)
				}
			},
		}, nil
	})
	return serve(t, cfg, endpoint, f, o)
}

// TestTLSOverCapFromElsewhere: what a callback of another connection writes
// past the cap is encrypted too, when a flush has made room for it.
func TestTLSOverCapFromElsewhere(t *testing.T) {
	cert, pool := testCertificate(t)
	cfg := Config{Loops: 1, HighWater: 1 << 10, MaxQueued: 64 << 10}
	o := ListenOptions{Loop: -1, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}
	client := &tls.Config{RootCAs: pool, ServerName: "localhost"}
	want := bytes.Repeat([]byte("0123456789abcdef"), 4<<10)
	pieces := func(a, b Transport) {
		a.Write([]byte("x")) // gathered, so that b is flushed at the end of the turn
		for p := want; len(p) > 0; p = p[8<<10:] {
			if _, err := b.Write(p[:8<<10]); err != nil {
				t.Error(err)
			}
		}
	}
	t.Run("up", func(t *testing.T) {
		_, ln := pair(t, cfg, "tls://127.0.0.1:0", o, pieces)
		a, b := tls.Client(dial(t, ln), client), tls.Client(dial(t, ln), client)
		for _, c := range []*tls.Conn{a, b} {
			if err := c.Handshake(); err != nil {
				t.Fatal(err)
			}
		}
		goAndRead(t, a, b, want)
	})
	t.Run("handshake", func(t *testing.T) {
		plain := want[:60<<10]
		_, ln := pair(t, cfg, "tcp://127.0.0.1:0", o, func(a, b Transport) {
			a.Write([]byte("x"))
			b.Write(plain)
			if err := b.StartTLS(); err != nil {
				t.Error(err)
			}
			b.Write(want[:8<<10])
		})
		a, b := dial(t, ln), dial(t, ln)
		b.Write([]byte("up?"))
		if _, err := io.ReadFull(b, make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		a.Write([]byte("go"))
		if _, err := io.ReadFull(b, make([]byte, len(plain))); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 8<<10)
		if n, err := io.ReadFull(tls.Client(b, client), got); err != nil || !bytes.Equal(got, want[:8<<10]) {
			t.Errorf("%d bytes of %d: %v", n, len(got), err)
		}
	})
}

// TestTLSGatheredToTheCap: small pieces that fill the cap in a callback go out,
// as they do without TLS.
func TestTLSGatheredToTheCap(t *testing.T) {
	cert, pool := testCertificate(t)
	cfg := Config{Loops: 1, HighWater: 1 << 10, MaxQueued: 16 << 10}
	want := bytes.Repeat([]byte("0123456789abcdef"), 2<<10)
	f := factoryFunc(func(Transport) (Protocol, error) {
		return &protocolFuncs{data: func(tr Transport, _ []byte) {
			for p := want; len(p) > 0; p = p[1<<10:] {
				if _, err := tr.Write(p[:1<<10]); err != nil {
					t.Error(err)
					return
				}
			}
		}}, nil
	})
	for _, scheme := range []string{"tcp", "tls"} {
		t.Run(scheme, func(t *testing.T) {
			_, ln := serve(t, cfg, scheme+"://127.0.0.1:0", f, ListenOptions{Loop: -1,
				TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
			c := dial(t, ln)
			if scheme == "tls" {
				c = tls.Client(c, &tls.Config{RootCAs: pool, ServerName: "localhost"})
			}
			c.Write([]byte("go"))
			got := make([]byte, len(want))
			if n, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes of %d: %v", n, len(want), err)
			}
		})
	}
}

// TestWriteAboveTheCap: what the socket takes at once is not over the cap, also
// when the callback has written to another connection before.
func TestWriteAboveTheCap(t *testing.T) {
	cert, pool := testCertificate(t)
	cfg := Config{Loops: 1, HighWater: 1 << 10, MaxQueued: 16 << 10}
	want := bytes.Repeat([]byte("0123456789abcdef"), 4<<10)
	for _, scheme := range []string{"tcp", "tls"} {
		t.Run(scheme, func(t *testing.T) {
			_, ln := pair(t, cfg, scheme+"://127.0.0.1:0", ListenOptions{Loop: -1,
				TLS: &tls.Config{Certificates: []tls.Certificate{cert}}},
				func(a, b Transport) {
					a.Write([]byte("x"))
					for _, p := range [][]byte{want[:10<<10], want[10<<10:]} {
						if _, err := b.Write(p); err != nil {
							t.Error(err)
						}
					}
				})
			connect := func() net.Conn {
				c := dial(t, ln)
				if scheme == "tls" {
					tc := tls.Client(c, &tls.Config{RootCAs: pool, ServerName: "localhost"})
					if err := tc.Handshake(); err != nil {
						t.Fatal(err)
					}
					c = tc
				}
				return c
			}
			a, b := connect(), connect()
			goAndRead(t, a, b, want)
		})
	}
}

// goAndRead waits until b is up, has a's protocol go, and wants what it writes to b.
func goAndRead(t *testing.T, a, b net.Conn, want []byte) {
	t.Helper()
	b.Write([]byte("up?"))
	if _, err := io.ReadFull(b, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	a.Write([]byte("go"))
	got := make([]byte, len(want))
	if n, err := io.ReadFull(b, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d: %v", n, len(want), err)
	}
}
