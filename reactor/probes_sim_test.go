package reactor_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/script"
	"github.com/wirehost/wirehost/reactor"
)

// The probes are four peers' behaviours that break well-known event-loop
// libraries: they lose bytes, grow without bound, or end.

// probe is a server with one listener, on each backend, plain and with TLS.
func probe(t *testing.T, build func(reactor.Transport) reactor.Protocol, run func(t *testing.T, dial func() net.Conn)) {
	cert, pool := reactor.CertificateForTest(t)
	for _, backend := range []string{"epoll", "portable"} {
		for _, scheme := range []string{"tcp", "tls"} {
			t.Run(backend+"/"+scheme, func(t *testing.T) {
				if backend == "epoll" && !reactor.HasEpoll {
					t.Skip("this system has no epoll")
				}
				r, err := reactor.New(reactor.Config{Loops: 1, Backend: backend})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					if err := r.Close(); err != nil {
						t.Error(err)
					}
				})
				ln, err := r.Listen(reactor.Endpoint{Scheme: scheme, Host: "127.0.0.1"}, buildFunc(build),
					reactor.ListenOptions{Loop: -1, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(r.Start(), ln.Start()); err != nil {
					t.Fatal(err)
				}
				run(t, func() net.Conn {
					network, address := reactor.Address(ln.Endpoint())
					c, err := net.Dial(network, address)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { c.Close() })
					if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
						t.Fatal(err)
					}
					if scheme == "tls" {
						return tls.Client(c, &tls.Config{RootCAs: pool, ServerName: "localhost"})
					}
					return c
				})
			})
		}
	}
}

type buildFunc func(reactor.Transport) reactor.Protocol

func (f buildFunc) BuildProtocol(t reactor.Transport) (reactor.Protocol, error) { return f(t), nil }

// echo sends back what comes.
type echo struct {
	t     reactor.Transport
	onEnd func(reactor.Reason)
}

func (e *echo) ConnectionMade(t reactor.Transport) { e.t = t }
func (e *echo) DataReceived(p []byte)              { _, _ = e.t.Write(p) } // over the limit: the test sees it
func (e *echo) ConnectionLost(reason reactor.Reason, _ error) {
	if e.onEnd != nil {
		e.onEnd(reason)
	}
}

func newEcho(reactor.Transport) reactor.Protocol { return &echo{} }

// TestProbeHalfClose sends 32 MiB and closes its writing side while another
// goroutine reads the echo: every byte comes back, then the end.
func TestProbeHalfClose(t *testing.T) {
	want := script.Pattern(0, 32<<20)
	probe(t, newEcho, func(t *testing.T, dial func() net.Conn) {
		c := dial()
		sent := make(chan error, 1)
		go func() {
			_, err := c.Write(want)
			sent <- errors.Join(err, c.(interface{ CloseWrite() error }).CloseWrite())
		}()
		got, err := io.ReadAll(c)
		if err := errors.Join(err, <-sent); err != nil {
			t.Error(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("got %d bytes back of %d", len(got), len(want))
		}
	})
}

// flood writes 8 MiB and closes.
type flood struct{ echo }

func (f *flood) ConnectionMade(t reactor.Transport) {
	for at := 0; at < 8<<20; at += 64 << 10 {
		_, _ = t.Write(script.Pattern(at, 64<<10)) // the test sees what is missing
	}
	t.LoseConnection()
}

// TestProbeSlowReader has the server write 8 MiB and close; the client takes it
// in small pieces through a small window: every byte arrives.
func TestProbeSlowReader(t *testing.T) {
	want := script.Pattern(0, 8<<20)
	probe(t, func(reactor.Transport) reactor.Protocol { return &flood{} }, func(t *testing.T, dial func() net.Conn) {
		c := dial()
		raw := c
		if tc, ok := c.(*tls.Conn); ok {
			raw = tc.NetConn()
		}
		if err := raw.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 0, len(want)+1)
		for {
			n, err := c.Read(got[len(got):min(cap(got), len(got)+1500)])
			got = got[:len(got)+n]
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("after %d bytes: %v", len(got), err)
			}
			runtime.Gosched()
		}
		if !bytes.Equal(got, want) {
			t.Errorf("got %d bytes of %d", len(got), len(want))
		}
	})
}

// TestProbeNeverReads has a client send as long as the server takes something,
// and never read: the server holds less than 4 MiB for it.
func TestProbeNeverReads(t *testing.T) {
	probe(t, newEcho, func(t *testing.T, dial func() net.Conn) {
		c := dial()
		if tc, ok := c.(*tls.Conn); ok {
			if err := tc.Handshake(); err != nil {
				t.Fatal(err)
			}
		}
		before := heap()
		piece := make([]byte, 64<<10)
		sent := 0
		for { // a write without progress for so long has met a server that reads no more
			if err := c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			n, err := c.Write(piece)
			sent += n
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if sent > 1<<30 {
				t.Fatal("the server took 1 GiB, and nobody reads its echo")
			}
		}
		if grown := heap() - before; grown > 4<<20 {
			t.Errorf("%d bytes more of heap after %d bytes sent", grown, sent)
		}
		t.Logf("sent %d KiB; heap %+d KiB", sent>>10, (heap()-before)>>10)
	})
}

// heap is the live bytes of the heap.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
