package reactor_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/reactor"
)

// slowly is how long each of a hog's callbacks says that it took, or takes.
const slowly = 90 * time.Millisecond

// hog is the owner of some connections of a hand. An echo beside them has none.
type hog struct {
	*hand
	share *reactor.Share
	calls int
	each  func() // a callback
	made  func(*told)
	echo  *told
	peer  *memnet.Peer // of echo
}

// newHog makes an echo, and an owner whose callbacks each take long.
func newHog(t *testing.T, cfg reactor.Config) *hog {
	t.Helper()
	h := &hog{hand: newHand(t, "tcp", memnet.Options{Backlog: 2000}, cfg)}
	h.share = h.r.Loops()[0].NewShare()
	h.each = func() { h.calls++; h.share.Spent(slowly) }
	h.hand.made = func(p *told) {
		if h.echo == nil {
			h.echo = p
			p.onData = func(b []byte) { p.t.Write(b) }
			return
		}
		h.each()
		p.onData = func([]byte) { h.each() }
		p.onLost = func() { h.each() }
		if h.made != nil {
			h.made(p)
		}
	}
	h.peer = h.connect()
	h.steps()
	h.configure(h.share)
	return h
}

func (h *hog) configure(s *reactor.Share) {
	h.t.Helper()
	if err := h.ln.Configure(h.hand, reactor.ListenOptions{Loop: -1,
		Share: func(*reactor.Loop) *reactor.Share { return s }}); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hog) connect() *memnet.Peer {
	h.t.Helper()
	p, err := h.sys.Dial("tcp", h.ln.Endpoint().String()[len("tcp://"):])
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

// conns makes n connections of the hog, with nothing left to do.
func (h *hog) conns(n int) (protos []*told, peers []*memnet.Peer) {
	h.t.Helper()
	made := h.made
	h.made = func(p *told) { protos = append(protos, p) }
	for range n {
		peers = append(peers, h.connect())
	}
	h.steps()
	h.made, h.calls = made, 0
	if len(protos) != n {
		h.t.Fatalf("%d connections, wanted %d", len(protos), n)
	}
	return protos, peers
}

// turns runs until the hog has made n callbacks more. The echo answers in each turn,
// and the hog has at most most callbacks in each.
func (h *hog) turns(n, most int) {
	h.t.Helper()
	for end := h.calls + n; h.calls < end; {
		if _, err := h.peer.Write([]byte("x")); err != nil {
			h.t.Fatal(err)
		}
		before := h.calls
		h.r.Step()
		if got := h.calls - before; got > most || got == 0 {
			h.t.Fatalf("%d callbacks in a turn after %d of %d, wanted 1 to %d", got, before, n, most)
		}
		var b [2]byte
		if k, err := h.peer.Read(b[:]); k != 1 {
			h.t.Fatalf("the echo has not answered beside callback %d: %d, %v", h.calls, k, err)
		}
	}
}

// TestShareBehindHeader: a connection whose PROXY header comes when its listener has another
// owner takes that one's time.
func TestShareBehindHeader(t *testing.T) {
	h := newHog(t, reactor.Config{})
	l := h.r.Loops()[0]
	owned := func(s *reactor.Share) {
		h.check(h.ln.Configure(h.hand, reactor.ListenOptions{Loop: -1, ProxyProtocol: true,
			ProxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
			Share:     func(*reactor.Loop) *reactor.Share { return s }}))
	}
	owned(l.NewShare())
	peer := h.connect()
	h.steps()
	owned(h.share)
	h.send(peer, []byte("PROXY UNKNOWN\r\n"))
	if h.calls != 1 {
		h.t.Fatalf("%d callbacks, wanted connectionMade", h.calls)
	}
	h.check(l.CallFromThread(h.share.Hold))
	peer.Write([]byte("x"))
	for range 10 {
		h.r.Step()
	}
	if h.calls != 1 {
		t.Error("an owner that is held was called")
	}
	h.check(l.CallFromThread(h.share.Release))
	h.steps()
	if h.calls != 2 {
		t.Errorf("%d callbacks, wanted 2", h.calls)
	}
}

// TestHold: what comes for an owner that is held waits, in order, and for nobody else.
func TestHold(t *testing.T) {
	h := newHog(t, reactor.Config{})
	_, peers := h.conns(2)
	l := h.r.Loops()[0]
	l.CallFromThread(func() {
		h.share.Hold()
		h.share.Hold()
		h.share.CallLater(0, h.each)
	})
	h.share.CallFromThread(h.each)
	for _, p := range peers {
		p.Write([]byte("x"))
	}
	quiet := func() {
		t.Helper()
		h.peer.Write([]byte("x"))
		for range 10 {
			h.r.Step()
		}
		var b [2]byte
		if k, err := h.peer.Read(b[:]); h.calls != 0 || k != 1 {
			t.Fatalf("found %d callbacks, and %d bytes of another owner's, %v, wanted 0 and 1", h.calls, k, err)
		}
	}
	quiet()
	l.CallFromThread(h.share.Release)
	quiet()
	l.CallFromThread(h.share.Release)
	h.steps()
	if h.calls != 4 {
		t.Errorf("found %d callbacks, wanted 4", h.calls)
	}
	l.CallFromThread(h.share.Release) // one too many changes nothing
	h.steps()
}

// TestShareOfATurn: whatever an owner has to do, it does one long callback of it in
// a turn, and nobody else waits for more.
func TestShareOfATurn(t *testing.T) {
	const n = 600 // more than a turn's events
	for name, begin := range map[string]func(h *hog){
		"timers": func(h *hog) {
			for range n {
				h.share.CallLater(0, h.each)
			}
			h.sys.Advance(1)
		},
		"accepts": func(h *hog) {
			for range n {
				h.connect()
			}
			h.r.Step() // they are taken 64 at a time, by a loop of its own
		},
		"reads": func(h *hog) {
			_, peers := h.conns(n)
			for _, p := range peers {
				p.Write([]byte("x"))
			}
		},
		"aborts": func(h *hog) {
			protos, _ := h.conns(n)
			h.r.Loops()[0].CallFromThread(func() {
				for _, p := range protos {
					p.t.AbortConnection()
				}
			})
		},
		"resets": func(h *hog) {
			_, peers := h.conns(n)
			for _, p := range peers {
				p.Reset()
			}
		},
		"producers": func(h *hog) {
			protos, _ := h.conns(n)
			h.r.Loops()[0].CallFromThread(func() {
				for _, p := range protos {
					p.t.RegisterProducer(asked{h.each}, false)
				}
			})
		},
		"calls": func(h *hog) {
			h.r.Loops()[0].CallFromThread(func() {
				for range n {
					h.share.Call(h.each)
				}
			})
		},
		"posted calls": func(h *hog) {
			for range n {
				h.share.CallFromThread(h.each)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHog(t, reactor.Config{})
			begin(h)
			h.turns(n-h.calls, 1)
			h.steps()
			if h.calls != n {
				t.Errorf("%d callbacks, wanted %d", h.calls, n)
			}
		})
	}
}

// asked is a producer that writes nothing.
type asked struct{ f func() }

func (a asked) PauseProducing()  {}
func (a asked) ResumeProducing() { a.f() }
func (a asked) StopProducing()   {}

// TestShareIsInOrder: what waits comes in the order in which it came, and what
// belongs to a connection as if nothing had waited.
func TestShareIsInOrder(t *testing.T) {
	h := newHog(t, reactor.Config{})
	var order []int
	for k := range 20 {
		h.share.CallLater(time.Duration(k), func() { order = append(order, k); h.each() })
	}
	h.sys.Advance(time.Second)
	h.turns(20, 1)
	for k, got := range order {
		if got != k {
			t.Fatalf("in the order %v", order)
		}
	}
	protos, peers := h.conns(2)
	h.share.CallLater(0, h.each) // so that what follows waits
	h.sys.Advance(1)
	h.r.Step()
	peers[0].Write([]byte("x"))
	peers[0].Close()
	peers[1].Reset()
	h.steps()
	for k, want := range []string{"[data readlost]", "[lost]"} {
		if got := fmt.Sprint(protos[k].events); got != want {
			t.Errorf("told %s, wanted %s", got, want)
		}
	}
}

// TestLateTimers: a delayed call that is due and waits for its owner can be
// cancelled and set anew.
func TestLateTimers(t *testing.T) {
	h := newHog(t, reactor.Config{})
	var order []string
	call := func(name string) *reactor.DelayedCall {
		return h.share.CallLater(0, func() { order = append(order, name); h.each() })
	}
	call("first")
	cancelled, reset, kept := call("cancelled"), call("reset"), call("kept")
	h.sys.Advance(1)
	h.r.Step()
	if !cancelled.Cancel() || cancelled.Cancel() || !reset.Reset(time.Second) || reactor.Remaining(kept) != 0 {
		t.Error("they do not wait")
	}
	h.steps()
	h.pass(time.Second)
	h.steps()
	if got := fmt.Sprint(order); got != "[first kept reset]" {
		t.Error(got)
	}
}

// TestLateTimersStay: delayed calls that are due and wait for their owner are not moved,
// however many they are, and to set them anew leaves nothing behind.
func TestLateTimersStay(t *testing.T) {
	const n = 3000
	h := newHog(t, reactor.Config{})
	l := h.r.Loops()[0]
	var calls []*reactor.DelayedCall
	for range n {
		calls = append(calls, h.share.CallLater(0, h.each))
	}
	for range 10 {
		h.sys.Advance(1)
		h.turns(1, 1)
		if got := reactor.Postponed(l); got > 1 {
			t.Fatalf("%d things wait in the queue", got)
		}
		for _, c := range calls {
			c.Reset(0)
		}
	}
	for _, c := range calls {
		c.Cancel()
	}
	h.steps()
	if got := reactor.Postponed(l); got != 0 || h.calls > 11 {
		t.Errorf("%d things wait, after %d callbacks", got, h.calls)
	}
}

// TestTimersAmongOthers: delayed calls and what comes for connections take turns by
// when they came, however many of either there are.
func TestTimersAmongOthers(t *testing.T) {
	const n = 30
	h := newHog(t, reactor.Config{})
	protos, peers := h.conns(n)
	var order []string
	for k, p := range protos {
		p.onData = func([]byte) { order = append(order, fmt.Sprint("data ", k)); h.each() }
	}
	var want []string
	for k := range n {
		h.share.CallLater(0, func() { order = append(order, fmt.Sprint("timer ", k)); h.each() })
		h.sys.Advance(1)
		h.r.Step()
		peers[k].Write([]byte("x"))
		h.r.Step()
		want = append(want, fmt.Sprint("timer ", k), fmt.Sprint("data ", k))
	}
	h.steps()
	if fmt.Sprint(order) != fmt.Sprint(want) {
		t.Errorf("in the order\n%q, wanted\n%q", order, want)
	}
}

// TestShortCallbacksEndATurn: a callback that does not know how long it took counts
// for what its loop's clock says, a few at a time; and if that stands still, for
// something.
func TestShortCallbacksEndATurn(t *testing.T) {
	h := newHog(t, reactor.Config{})
	for range 500 {
		h.share.CallLater(0, func() { h.calls++; h.sys.Advance(time.Millisecond); h.share.Spent(0) })
	}
	h.sys.Advance(1)
	h.turns(500, 32)
	var connect func()
	connect = func() {
		h.calls++
		h.share.Spent(0)
		h.r.Loops()[0].Connect(reactor.Endpoint{Scheme: "unix", Path: "/nobody"}, &unmade{told{h: h.hand}, connect},
			reactor.ConnectOptions{Share: h.share})
	}
	h.share.CallLater(0, connect)
	h.sys.Advance(1)
	h.turns(20_000, 5100)
}

// unmade is a client that is told that it has no connection.
type unmade struct {
	told
	f func()
}

func (u *unmade) ConnectionFailed(reactor.Reason, error) { u.f() }

// TestManyReady: while many connections of a late owner have something to read, it
// is still seen at once who else has.
func TestManyReady(t *testing.T) {
	h := newHog(t, reactor.Config{})
	_, peers := h.conns(1500)
	for range 3 {
		for _, p := range peers {
			p.Write([]byte("x"))
		}
		h.turns(100, 1)
	}
}

// TestEndIsBounded: what takes long to be told when the reactor ends is not told,
// and takes nothing of others' time.
func TestEndIsBounded(t *testing.T) {
	h := newHog(t, reactor.Config{})
	h.conns(1000)
	h.each = func() { h.calls++; h.sys.Advance(slowly); h.share.Spent(slowly) }
	before := h.sys.Now()
	if err := h.r.Close(); err != nil {
		t.Fatal(err)
	}
	if took := h.sys.Now() - before; took > time.Second+slowly {
		t.Errorf("the end took %v", took)
	}
	if h.calls < 10 || !h.echo.lost {
		t.Errorf("%d were told, the echo %v", h.calls, h.echo.lost)
	}
	if n := h.r.Connections(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}
