package reactor_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"testing"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/reactor"
)

// helloConn keeps what is written to it, and has nothing to read.
type helloConn struct {
	net.Conn
	hello bytes.Buffer
}

func (c *helloConn) Write(b []byte) (int, error) { return c.hello.Write(b) }
func (c *helloConn) Read([]byte) (int, error)    { return 0, io.EOF }
func (c *helloConn) Close() error                { return nil }

// clientHello is a client's first record.
func clientHello(t *testing.T) []byte {
	t.Helper()
	c := &helloConn{}
	if err := tls.Client(c, &tls.Config{ServerName: "localhost"}).Handshake(); err == nil || c.hello.Len() == 0 {
		t.Fatalf("found %d bytes of a hello, %v; wanted it, and an end", c.hello.Len(), err)
	}
	return c.hello.Bytes()
}

// helloing is a hand with clients that are to send a hello.
type helloing struct {
	*hand
	peers []net.Conn
}

func newHelloing(t *testing.T, clients int) *helloing {
	t.Helper()
	h := &helloing{hand: newHand(t, "tcp", memnet.Options{}, reactor.Config{})}
	cert, _ := reactor.CertificateForTest(t)
	o := reactor.ListenOptions{Loop: -1, Scheme: "tls", TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}
	h.check(h.ln.Configure(h, o))
	for range clients {
		p, err := h.sys.Dial(reactor.Address(h.ln.Endpoint()))
		h.check(err)
		h.peers = append(h.peers, p.Conn())
	}
	h.steps()
	return h
}

// sendAll sends b from each of the clients.
func (h *helloing) sendAll(b []byte) {
	h.t.Helper()
	for _, p := range h.peers {
		_, err := p.Write(b)
		h.check(err)
	}
}

// TestHandshakesTakeTurns: however many handshakes could go on, a turn of the loop lets one
// compute; and none begins before it has a whole record.
func TestHandshakesTakeTurns(t *testing.T) {
	const clients = 5
	h := newHelloing(t, clients)
	hello := clientHello(t)
	last := len(hello) - 1
	for _, part := range [][]byte{hello[:3], hello[3:7], hello[7:last]} {
		h.sendAll(part)
		h.steps()
	}
	if n := h.r.AwaitHandshakes(); n > 0 {
		t.Errorf("%d handshakes have computed for want of a byte", n)
	}
	h.sendAll(hello[last:])
	for was := uint64(0); h.r.Step(); {
		n := h.r.AwaitHandshakes()
		if n > was+1 {
			t.Errorf("%d handshakes have computed in a turn, wanted one", n-was)
		}
		was = n
	}
	if n := h.r.AwaitHandshakes(); n != clients {
		t.Errorf("%d handshakes have computed, wanted %d", n, clients)
	}
	for n, p := range h.peers {
		b := make([]byte, 1)
		if _, err := io.ReadFull(p, b); err != nil || b[0] != 22 {
			t.Errorf("client %d has got %v, %v; wanted a handshake's record", n, b, err)
		}
	}
}

// TestHandshakesHaveTheirShare: behind a turn that has taken long, as many may compute as
// take as long.
func TestHandshakesHaveTheirShare(t *testing.T) {
	const clients = 5
	h := newHelloing(t, clients)
	h.sendAll(clientHello(t))
	l := h.r.Loops()[0]
	h.check(l.CallFromThread(func() {
		l.CallLater(0, func() { h.sys.Advance((clients - 2) * reactor.StepTime) })
	}))
	h.r.Step()
	if n := h.r.AwaitHandshakes(); n != clients-1 {
		t.Errorf("%d handshakes have computed, wanted %d", n, clients-1)
	}
	h.steps()
}
