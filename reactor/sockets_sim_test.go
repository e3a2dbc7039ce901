package reactor_test

import (
	"testing"
	"time"

	"github.com/wirehost/wirehost/reactor"
)

// TestSockets: what takes a socket is counted from its beginning to its end: a listener, a connection
// that is being made, the questions for its name, and each address that is tried beside.
func TestSockets(t *testing.T) {
	g := race(t, time.Minute)
	wanted := func(want int, what string) {
		t.Helper()
		if n := g.r.Sockets(); n != want {
			t.Errorf("%s: found %d sockets, wanted %d", what, n, want)
		}
	}
	wanted(4, "a listener, and a connection whose name is resolved, for two families")
	g.silent("192.0.2.1", "192.0.2.2")
	g.do(func() { reactor.Resolved(g.c, addresses("192.0.2.1", "192.0.2.2")...) })
	g.quiet(second)
	wanted(5, "the second address is tried")
	g.do(g.c.AbortConnection)
	for g.r.Sockets() > 1 { // the questions end on goroutines of their own
		g.rest()
	}
	if _, err := g.r.ListenDatagrams(reactor.Endpoint{Scheme: "udp", Host: "127.0.0.1"}, nil,
		reactor.DatagramOptions{}); err != nil {
		t.Fatal(err)
	}
	wanted(2, "a listener, and a socket for datagrams")
}

// TestSocketsInside: a connection inside the process has none.
func TestSocketsInside(t *testing.T) {
	g := race(t, time.Minute)
	before := g.r.Sockets()
	ln, err := g.r.ListenInside("b", losses{new([]reactor.Reason)}, reactor.ListenOptions{Loop: -1})
	if err != nil {
		t.Fatal(err)
	}
	var c reactor.Transport
	g.do(func() {
		c = g.r.Loops()[0].ConnectInside(ln, "b", &caller{losses: losses{new([]reactor.Reason)}},
			reactor.ConnectOptions{})
	})
	if n, sockets := g.r.Connections(), g.r.Sockets(); n != 3 || sockets != before {
		t.Errorf("found %d connections and %d sockets, wanted 3 and %d", n, sockets, before)
	}
	g.do(c.AbortConnection)
	if n, sockets := g.r.Connections(), g.r.Sockets(); n != 1 || sockets != before {
		t.Errorf("found %d connections and %d sockets at the end, wanted 1 and %d", n, sockets, before)
	}
}
