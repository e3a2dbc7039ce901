package reactor_test

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/reactor"
)

// caller notes how its connection was made, or not.
type caller struct {
	losses
	got string
}

func (p *caller) ConnectionMade(t reactor.Transport) { p.got = "made: " + t.Peer() }
func (p *caller) ConnectionFailed(reason reactor.Reason, err error) {
	p.got = fmt.Sprint(reason, ": ", err)
}

// racing is a reactor whose Connects race, on a clock that the test turns.
type racing struct {
	t   *testing.T
	sys *memnet.Sys
	r   *reactor.Reactor
	p   *caller
	c   reactor.Transport
}

// race begins a connection to port 7 of a name that is not resolved yet.
func race(t *testing.T, timeout time.Duration) *racing {
	t.Helper()
	g := &racing{t: t, sys: memnet.New(memnet.Options{}), p: &caller{losses: losses{new([]reactor.Reason)}}}
	var err error
	if g.r, err = reactor.New(reactor.Config{Loops: 1, Sys: g.sys}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.r.Close()
		if n := g.sys.OpenFDs(); n != 0 || len(g.sys.Misuse()) > 0 {
			t.Errorf("%d descriptors are left; misuse: %q", n, g.sys.Misuse())
		}
	})
	reactor.NoLookup(g.r)
	ln, err := g.r.Listen(reactor.Endpoint{Scheme: "tcp", Host: "127.0.0.1", Port: 7}, losses{new([]reactor.Reason)},
		reactor.ListenOptions{Loop: -1})
	if err == nil {
		err = ln.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	g.do(func() {
		g.c = g.r.Loops()[0].Connect(reactor.Endpoint{Scheme: "tcp", Host: "a.example", Port: 7}, g.p,
			reactor.ConnectOptions{Timeout: timeout})
	})
	return g
}

// do has the loop do something, and waits until nothing is left to do.
func (g *racing) do(fn func()) {
	g.t.Helper()
	if err := g.r.Loops()[0].CallFromThread(fn); err != nil {
		g.t.Fatal(err)
	}
	g.rest()
}

func (g *racing) rest() {
	for g.r.Step() {
	}
}

// silent are addresses that never answer.
func (g *racing) silent(list ...string) {
	for _, a := range list {
		g.sys.Silence("tcp", netip.AddrPortFrom(netip.MustParseAddr(a), 7).String())
	}
}

func addresses(list ...string) (addrs []netip.Addr) {
	for _, a := range list {
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	return addrs
}

// quiet lets time go by, in which nothing is to be told.
func (g *racing) quiet(d time.Duration) {
	g.t.Helper()
	g.rest()
	g.sys.Advance(d)
	g.rest()
	if g.p.got != "" {
		g.t.Fatalf("%s too early", g.p.got)
	}
}

// want wants an outcome d later, not before.
func (g *racing) want(d time.Duration, outcome string) {
	g.t.Helper()
	for ; d > second; d -= second { // each attempt at its time
		g.quiet(second)
	}
	if d > 0 {
		g.quiet(d - 1)
		g.sys.Advance(1)
	}
	g.rest()
	if g.p.got != outcome {
		g.t.Errorf("found %q, wanted %q", g.p.got, outcome)
	}
}

const second = 250 * time.Millisecond // after which another address is tried

// TestConnectRace: addresses are tried one after the other, IPv6 and IPv4 in turn, and the
// first that answers is the connection (RFC 8305).
func TestConnectRace(t *testing.T) {
	const made = "made: tcp://127.0.0.1:7"
	six := []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"}
	for name, tt := range map[string]struct {
		addrs, silent []string
		after         time.Duration
		want          string
	}{
		"at once":          {[]string{"127.0.0.1"}, nil, 0, made},
		"the second":       {[]string{"10.0.0.1", "127.0.0.1"}, []string{"10.0.0.1"}, second, made},
		"families in turn": {[]string{"10.0.0.1", "127.0.0.1", "::1"}, []string{"::1", "10.0.0.1"}, 2 * second, made},
		"IPv6 first":       {[]string{"127.0.0.1", "::1"}, nil, 0, "made: tcp://[::1]:7"},
		"many before it":   {append(slices.Clone(six), "127.0.0.1"), six, 6 * second, made},
	} {
		t.Run(name, func(t *testing.T) {
			g := race(t, 0)
			g.silent(tt.silent...)
			g.do(func() { reactor.Resolved(g.c, addresses(tt.addrs...)...) })
			g.want(tt.after, tt.want)
		})
	}
}

// TestConnectRaceFails: the error tells of each address.
func TestConnectRaceFails(t *testing.T) {
	for name, tt := range map[string]struct {
		timeout time.Duration
		silent  []string
		after   time.Duration
		want    string
	}{
		"less time than for another": {second - 1, []string{"10.0.0.1"}, second - 1,
			"timed out: not set up in time"},
		"none answers": {30 * time.Second, []string{"10.0.0.1", "10.0.0.2"}, 30 * time.Second,
			"timed out: not set up in time"},
	} {
		t.Run(name, func(t *testing.T) {
			g := race(t, tt.timeout)
			g.silent(tt.silent...)
			g.do(func() { reactor.Resolved(g.c, addresses(tt.silent...)...) })
			g.want(tt.after, tt.want)
		})
	}
	t.Run("each is refused", func(t *testing.T) {
		g := race(t, 0)
		g.sys.Refuse("tcp", "10.0.0.1:7")
		g.sys.Refuse("tcp", "[2001:db8::1]:7")
		g.do(func() { reactor.Resolved(g.c, addresses("10.0.0.1", "2001:db8::1")...) })
		g.want(0, "connection refused: connect to tcp://[2001:db8::1]:7: connection refused; "+
			"connect to tcp://10.0.0.1:7: connection refused")
	})
	t.Run("one is refused, one is silent", func(t *testing.T) {
		g := race(t, time.Second)
		g.sys.Refuse("tcp", "[2001:db8::1]:7")
		g.silent("10.0.0.1")
		g.do(func() { reactor.Resolved(g.c, addresses("10.0.0.1", "2001:db8::1")...) })
		g.want(time.Second, "timed out: connect to tcp://[2001:db8::1]:7: connection refused; not set up in time")
	})
}

// TestConnectRaceFamilies: IPv4 waits for IPv6 for a moment alone, and what comes late is tried.
func TestConnectRaceFamilies(t *testing.T) {
	const moment = 50 * time.Millisecond
	four, six := addresses("127.0.0.1"), addresses("::1")
	t.Run("IPv6 comes in time", func(t *testing.T) {
		g := race(t, 0)
		g.do(func() { reactor.ResolvedOne(g.c, four...) })
		g.quiet(moment - 1)
		g.do(func() { reactor.ResolvedOne(g.c, six...) })
		g.want(0, "made: tcp://[::1]:7")
	})
	t.Run("IPv6 does not come", func(t *testing.T) {
		g := race(t, 0)
		g.do(func() { reactor.ResolvedOne(g.c, four...) })
		g.want(moment, "made: tcp://127.0.0.1:7")
	})
	t.Run("IPv6 has none", func(t *testing.T) {
		g := race(t, 0)
		g.do(func() { reactor.ResolvedOne(g.c, four...); reactor.ResolvedOne(g.c) })
		g.want(0, "made: tcp://127.0.0.1:7")
	})
	t.Run("IPv6 is late", func(t *testing.T) {
		g := race(t, 0)
		g.silent("127.0.0.1")
		g.do(func() { reactor.ResolvedOne(g.c, four...) })
		g.quiet(moment)
		g.do(func() { reactor.ResolvedOne(g.c, six...) })
		g.want(second, "made: tcp://[::1]:7")
	})
	t.Run("IPv6 is late, and IPv4 was refused", func(t *testing.T) {
		g := race(t, 0)
		g.sys.Refuse("tcp", "127.0.0.1:7")
		g.do(func() { reactor.ResolvedOne(g.c, four...) })
		g.quiet(moment)
		g.do(func() { reactor.ResolvedOne(g.c, six...) })
		g.want(0, "made: tcp://[::1]:7")
	})
	t.Run("neither has any", func(t *testing.T) {
		g := race(t, 0)
		g.do(func() { reactor.ResolvedOne(g.c); reactor.ResolvedOne(g.c) })
		g.want(0, "no such host: tcp://a.example:7 has no address")
	})
}

// TestConnectRaceLookups: of two families that can't be had, the reason is the one that says
// more, whichever comes first.
func TestConnectRaceLookups(t *testing.T) {
	none := &net.AddrError{Err: "no suitable address", Addr: "a.example"}
	missing := &net.DNSError{Err: "no such host", Name: "a.example", IsNotFound: true}
	broken := &net.DNSError{Err: "server misbehaving", Name: "a.example", IsTemporary: true}
	late := &net.DNSError{Err: "i/o timeout", Name: "a.example", IsTimeout: true, IsTemporary: true}
	for _, c := range []struct {
		less, more error
		want       string
	}{{none, broken, "no such host"}, {missing, broken, "no such host"}, {none, late, "timed out"},
		{missing, late, "timed out"}, {broken, late, "timed out"}} {
		for _, both := range [][]error{{c.less, c.more}, {c.more, c.less}} {
			g := race(t, 0)
			g.do(func() { reactor.Unresolved(g.c, both[0]); reactor.Unresolved(g.c, both[1]) })
			g.want(0, c.want+": "+c.more.Error())
		}
	}
}

// TestConnectRaceIdle: what ends the connection is not the time for another address.
func TestConnectRaceIdle(t *testing.T) {
	g := race(t, 0)
	g.silent("10.0.0.1")
	g.do(func() {
		reactor.Resolved(g.c, addresses("10.0.0.1", "127.0.0.1")...)
		g.c.SetTimeout(second / 2)
	})
	g.want(second/2, "timed out: idle for too long")
}

// TestConnectRaceCancelled: what was begun ends with it.
func TestConnectRaceCancelled(t *testing.T) {
	g := race(t, 0)
	g.silent("10.0.0.1", "10.0.0.2", "10.0.0.3")
	g.do(func() { reactor.Resolved(g.c, addresses("10.0.0.1", "10.0.0.2", "10.0.0.3")...) })
	g.quiet(second)
	g.quiet(second)
	g.do(func() { g.c.AbortConnection() })
	g.want(0, "connection aborted: <nil>")
	if n := g.sys.OpenFDs(); n != 1 { // the listener's
		t.Errorf("%d descriptors are open", n)
	}
}

// TestConnectRaceWonByAnEarlier: an address that answers after others were begun.
func TestConnectRaceWonByAnEarlier(t *testing.T) {
	g := race(t, 0)
	g.silent("10.0.0.1", "10.0.0.2")
	g.do(func() { reactor.Resolved(g.c, addresses("10.0.0.1", "10.0.0.2")...) })
	g.quiet(second)
	g.sys.Answer("tcp", "10.0.0.1:7")
	g.want(0, "made: tcp://10.0.0.1:7")
	if n := g.sys.OpenFDs(); n > 3 { // the listener's, and both ends
		t.Errorf("%d descriptors are open", n)
	}
}
