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

// TestHandshakesTakeTurns: however many handshakes could go on, a turn of the loop lets one
// compute; and none begins before it has a whole record.
func TestHandshakesTakeTurns(t *testing.T) {
	const clients = 5
	h := newHand(t, "tcp", memnet.Options{}, reactor.Config{})
	cert, _ := reactor.CertificateForTest(t)
	o := reactor.ListenOptions{Loop: -1, Scheme: "tls", TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}
	if err := h.ln.Configure(h, o); err != nil {
		t.Fatal(err)
	}
	hello := clientHello(t)
	last := len(hello) - 1
	var peers []net.Conn
	for range clients {
		p, err := h.sys.Dial(reactor.Address(h.ln.Endpoint()))
		if err != nil {
			t.Fatal(err)
		}
		peers = append(peers, p.Conn())
	}
	sendAll := func(b []byte) {
		for _, p := range peers {
			if _, err := p.Write(b); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, part := range [][]byte{hello[:3], hello[3:7], hello[7:last]} {
		h.steps()
		sendAll(part)
	}
	h.steps()
	if n := h.r.AwaitHandshakes(); n > 0 {
		t.Errorf("%d handshakes have computed for want of a byte", n)
	}
	sendAll(hello[last:])
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
	for n, p := range peers {
		b := make([]byte, 1)
		if _, err := io.ReadFull(p, b); err != nil || b[0] != 22 {
			t.Errorf("client %d has got %v, %v; wanted a handshake's record", n, b, err)
		}
	}
}
