package reactor_test

import (
	"testing"
	"time"

	"github.com/wirehost/wirehost/reactor"
)

// nobody gives every connection away to nobody.
type nobody struct{}

func (nobody) Route(reactor.Head) (to reactor.Destination, more bool, err error) {
	return to, false, reactor.ErrNotSupported
}

// TestRouteInside: a Router of a listener without a socket is asked as any, and leaves nothing behind.
func TestRouteInside(t *testing.T) {
	g := race(t, time.Minute)
	before := g.r.Connections()
	ln, err := g.r.ListenInside("b", losses{new([]reactor.Reason)}, reactor.ListenOptions{Loop: -1, Router: nobody{}})
	if err != nil {
		t.Fatal(err)
	}
	p := &caller{losses: losses{new([]reactor.Reason)}}
	var c reactor.Transport
	g.do(func() { c = g.r.Loops()[0].ConnectInside(ln, "b", p, reactor.ConnectOptions{}) })
	g.do(c.AbortConnection)
	if n := g.r.Connections(); n != before || ln.Stats().Refused != 1 {
		t.Errorf("found %d connections, and %d that were refused, wanted %d and 1", n, ln.Stats().Refused, before)
	}
}
