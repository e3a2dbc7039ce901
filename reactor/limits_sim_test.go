package reactor_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/internal/script"
	"github.com/wirehost/wirehost/reactor"
)

// newLimited is a hand whose listener has the limits of o.
func newLimited(t *testing.T, o reactor.ListenOptions, cfg reactor.Config) *hand {
	t.Helper()
	h := newHand(t, "tcp", memnet.Options{}, cfg)
	o.Loop = -1
	if err := h.ln.Configure(h, o); err != nil {
		t.Fatal(err)
	}
	return h
}

// TestRateIn: a connection is read at its rate, and its peer waits meanwhile.
func TestRateIn(t *testing.T) {
	const rate, seconds = 8000, 5
	h := newLimited(t, reactor.ListenOptions{Rate: reactor.Rates{In: rate}}, reactor.Config{})
	peer, p := h.dial()
	got := 0
	p.onData = func(b []byte) { got += len(b) }
	h.send(peer, make([]byte, rate*seconds))
	for n := range seconds {
		if least, most := n*rate, n*rate+rate/4; got < least || got > most {
			t.Errorf("after %d s: found %d bytes, wanted %d to %d", n, got, least, most)
		}
		h.pass(time.Second)
	}
	h.check(peer.CloseWrite())
	h.steps()
	if got != rate*seconds || !slices.Contains(p.events, "readlost") {
		t.Errorf("found %d bytes, and %v", got, p.events[max(0, len(p.events)-3):])
	}
}

// TestRateOut: what a protocol writes goes out at its rate, and all of it before the end.
func TestRateOut(t *testing.T) {
	const rate, seconds = 8000, 5
	h := newLimited(t, reactor.ListenOptions{Rate: reactor.Rates{Out: rate}}, reactor.Config{})
	peer, p := h.dial()
	h.do(func() {
		for range seconds { // small ones and large ones
			_, err := p.t.WriteSequence([][]byte{make([]byte, rate/4), make([]byte, 3*rate/4)})
			h.check(err)
		}
		p.t.LoseConnection()
	})
	got := 0
	for n := range seconds {
		more, _ := h.drain(peer)
		if got += more; got < n*rate || got > n*rate+rate/4 {
			t.Errorf("after %d s: found %d bytes, wanted %d to %d", n, got, n*rate, n*rate+rate/4)
		}
		h.pass(time.Second)
	}
	more, err := h.drain(peer)
	if got += more; got != rate*seconds || !errors.Is(err, io.EOF) {
		t.Errorf("found %d bytes, %v", got, err)
	}
	p.want(t, true, reactor.Done)
}

// TestRateHoldsBack: a protocol that writes more than its rate lets go is told so by the
// watermarks, and is over the limit where it does not listen.
func TestRateHoldsBack(t *testing.T) {
	h := newLimited(t, reactor.ListenOptions{Rate: reactor.Rates{Out: 1000}},
		reactor.Config{HighWater: 4000, LowWater: 2000, MaxQueued: 20_000})
	peer, p := h.dial()
	h.do(func() { _, err := p.t.Write(make([]byte, 10_000)); h.check(err) })
	h.send(peer, []byte("x"))
	if slices.Contains(p.events, "data") {
		t.Error("it is read, above high water")
	}
	h.pass(9 * time.Second)
	if !slices.Contains(p.events, "data") {
		t.Error("it is not read, below low water")
	}
	h.do(func() { _, err := p.t.Write(make([]byte, 30_000)); _ = err })
	p.want(t, true, reactor.OverLimit)
}

// TestRatesWithTLS: the rates hold for what the socket has, and nothing is lost by them.
func TestRatesWithTLS(t *testing.T) {
	for _, kind := range []string{"tcp", "tls"} {
		t.Run(kind, func(t *testing.T) { testRates(t, kind == "tls") })
	}
}

func testRates(t *testing.T, encrypted bool) {
	cert, pool := reactor.CertificateForTest(t)
	r, err := reactor.New(reactor.Config{Loops: 1, HighWater: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ep := reactor.Endpoint{Scheme: "tcp", Host: "127.0.0.1"}
	if encrypted {
		ep.Scheme = "tls"
	}
	ln, err := r.Listen(ep, buildFunc(newEcho), reactor.ListenOptions{
		Loop: -1, TLS: &tls.Config{Certificates: []tls.Certificate{cert}},
		Rate: reactor.Rates{In: 40 << 20, Out: 20 << 20},
	})
	if err := errors.Join(err, r.Start(), ln.Start()); err != nil {
		t.Fatal(err)
	}
	network, address := reactor.Address(ln.Endpoint())
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	if encrypted {
		c = tls.Client(c, &tls.Config{RootCAs: pool, ServerName: "localhost"})
	}
	defer c.Close()
	sent := script.Pattern(0, 8<<20)
	go func() {
		if _, err := c.Write(sent); err != nil {
			t.Error(err)
		}
	}()
	got := make([]byte, len(sent))
	if n, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("found %d bytes of %d, equal %t, %v", n, len(sent), bytes.Equal(got, sent), err)
	}
}

// TestLeast: who sends a byte now and then, and gets no answer, is slow; who is silent, is
// answered, waits for an answer or is not read is not.
func TestLeast(t *testing.T) {
	for _, c := range []struct {
		name   string
		every  time.Duration // between two pieces; 0 = one piece alone
		piece  int
		answer bool
		pause  bool
		slow   bool
	}{
		{name: "nothing"},
		{name: "a byte a second", every: time.Second, piece: 1, slow: true},
		{name: "a byte each 11 s", every: 11 * time.Second, piece: 1, slow: true},
		{name: "fast enough", every: time.Second, piece: 100},
		{name: "answered", every: time.Second, piece: 1, answer: true},
		{name: "waits for an answer", piece: 10},
		{name: "is not read", every: time.Second, piece: 1, pause: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newLimited(t, reactor.ListenOptions{Rate: reactor.Rates{Least: 50}}, reactor.Config{})
			peer, p := h.dial()
			p.onData = func(b []byte) {
				if c.answer {
					_, err := p.t.Write(b)
					h.check(err)
				}
			}
			if c.pause {
				h.do(p.t.PauseProducing)
			}
			if c.every == 0 && c.piece > 0 {
				h.send(peer, make([]byte, c.piece))
			}
			for began := h.sys.Now(); h.sys.Now()-began < 40*time.Second && !p.lost; h.pass(max(c.every, time.Second)) {
				if c.every > 0 {
					h.send(peer, make([]byte, c.piece))
				}
				h.drain(peer)
			}
			if c.slow != p.lost || p.lost &&
				(p.reason != reactor.Timeout || !strings.Contains(p.err.Error(), "least")) {
				t.Errorf("found lost %t, %v, %v", p.lost, p.reason, p.err)
			}
		})
	}
}

// TestLeastTaken: who takes a byte a second of what the system has for it is slow; who
// takes what was there when it was looked at before is not.
func TestLeastTaken(t *testing.T) {
	for _, c := range []struct {
		name string
		take int // a second; of output that comes once
		more int // a second, more output that is taken at once
		slow bool
	}{
		{name: "a byte a second", take: 1, slow: true},
		{name: "nothing", slow: true},
		{name: "fast enough", take: 1000},
		{name: "small answers now and then", take: 20_000, more: 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newLimited(t, reactor.ListenOptions{Rate: reactor.Rates{Least: 500}}, reactor.Config{})
			peer, p := h.dial()
			h.do(func() { _, err := p.t.Write(make([]byte, 30_000)); h.check(err) })
			for n := 0; n < 25 && !p.lost; n++ {
				_, _ = peer.Read(make([]byte, max(c.take, 1))[:c.take]) // some are slow to the end
				h.pass(time.Second)
				if c.more > 0 && !p.lost {
					h.do(func() { _, err := p.t.Write(make([]byte, c.more)); h.check(err) })
				}
			}
			if c.slow != p.lost || p.lost && p.reason != reactor.Timeout {
				t.Errorf("found lost %t, %v, %v", p.lost, p.reason, p.err)
			}
		})
	}
}

// TestMaxAge: a connection that is old enough gets what is queued and an orderly end,
// whatever its producer is about; one that does not take that is reset.
func TestMaxAge(t *testing.T) {
	for _, reads := range []bool{true, false} {
		t.Run(fmt.Sprint("reads ", reads), func(t *testing.T) {
			h := newLimited(t, reactor.ListenOptions{MaxAge: time.Minute},
				reactor.Config{CloseTimeout: 5 * time.Second, WriteTimeout: time.Hour})
			peer, p := h.dial()
			const much = 200_000 // three times memnet's buffer
			h.do(func() {
				h.check(p.t.RegisterProducer(&idleProducer{}, true))
				_, err := p.t.Write(make([]byte, much))
				h.check(err)
			})
			for range 59 {
				h.send(peer, []byte("x"))
				h.pass(time.Second)
			}
			p.want(t, false, 0)
			h.pass(time.Second)
			got := 0
			if reads {
				var err error
				if got, err = h.drain(peer); got != much || !errors.Is(err, io.EOF) {
					t.Errorf("found %d bytes, %v", got, err)
				}
			} else {
				for range 5 { // a byte now and then is no reason to stay
					_, err := peer.Read(make([]byte, 1))
					h.check(err)
					h.pass(time.Second)
				}
				if _, err := h.drain(peer); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("found %v, wanted a reset", err)
				}
			}
			p.want(t, true, reactor.Timeout)
		})
	}
}

type idleProducer struct{}

func (idleProducer) PauseProducing()  {}
func (idleProducer) ResumeProducing() {}
func (idleProducer) StopProducing()   {}

// TestIdleDrains: a connection whose last output the system has, and the peer takes bit by
// bit, is not idle; one whose peer takes nothing is.
func TestIdleDrains(t *testing.T) {
	h := newLimited(t, reactor.ListenOptions{IdleTimeout: 10 * time.Second}, reactor.Config{})
	peer, p := h.dial()
	const all = 50_000
	h.do(func() { _, err := p.t.Write(make([]byte, all)); h.check(err) })
	got := 0
	for range 10 {
		n, err := peer.Read(make([]byte, all/100))
		h.check(err)
		got += n
		h.pass(9 * time.Second)
		p.want(t, false, 0)
	}
	h.pass(20 * time.Second)
	p.want(t, true, reactor.Timeout)
	more, err := h.drain(peer)
	if got+more != all || !errors.Is(err, io.EOF) {
		t.Errorf("found %d bytes, %v, wanted all of %d and an orderly end", got+more, err, all)
	}
}

// TestNewPerSecond: what is over the rate is neither lost nor refused: it waits.
func TestNewPerSecond(t *testing.T) {
	h := newLimited(t, reactor.ListenOptions{NewPerSecond: 5}, reactor.Config{})
	for range 20 {
		_, err := h.sys.Dial(reactor.Address(h.ln.Endpoint()))
		h.check(err)
	}
	h.steps()
	for n := range 4 {
		if s := h.ln.Stats(); s.Accepted != uint64(5*(n+1)) || s.Refused != 0 || n > 0 && s.Held == 0 {
			t.Errorf("after %d s: found %+v, wanted %d accepted", n, s, 5*(n+1))
		}
		h.pass(time.Second)
	}
}

// TestPeerConnections: one address has as many connections as it may, as many a second, and
// others have theirs. By the address of the PROXY header; one that names none is not
// counted. The reasons are counted, and told once a second.
func TestPeerConnections(t *testing.T) {
	var log bytes.Buffer
	h := newLimited(t, reactor.ListenOptions{
		PerPeer: reactor.PeerLimits{Connections: 2}, ProxyProtocol: true,
		ProxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}, reactor.Config{Logger: hclog.New(&hclog.LoggerOptions{Output: &log})})
	dial := func(header string) (*memnet.Peer, bool) {
		peer, err := h.sys.Dial(reactor.Address(h.ln.Endpoint()))
		h.check(err)
		h.steps()
		h.send(peer, []byte(header))
		_, err = h.drain(peer)
		return peer, errors.Is(err, syscall.EAGAIN)
	}
	const one = "PROXY TCP4 192.0.2.1 192.0.2.9 1 2\r\n"
	first, _ := dial(one)
	for header, wanted := range map[string][]bool{
		one: {true, false, false}, "PROXY TCP4 192.0.2.2 192.0.2.9 1 2\r\n": {true, true, false},
		"PROXY UNKNOWN\r\n": {true, true, true},
	} {
		for _, want := range wanted {
			if _, served := dial(header); served != want {
				t.Errorf("%q: found served %t, wanted %t", header, served, want)
			}
		}
	}
	if s := h.ln.Stats(); s.RefusedBy["per_peer.connections"] != 3 || s.Refused != 3 {
		t.Errorf("found %+v", s)
	}
	first.Reset()
	h.steps()
	if _, served := dial(one); !served {
		t.Error("the place of one that has ended is not given back")
	}
	h.pass(time.Minute)
	if n := strings.Count(log.String(), "refused"); n != 2 {
		t.Errorf("found %d lines, wanted one and one of the others:\n%s", n, log.String())
	}
}

// TestPeerNewPerSecond: connections that end at once are counted as well.
func TestPeerNewPerSecond(t *testing.T) {
	h := newLimited(t, reactor.ListenOptions{PerPeer: reactor.PeerLimits{NewPerSecond: 3}}, reactor.Config{})
	for n := range 3 {
		for range 10 {
			peer, err := h.sys.Dial(reactor.Address(h.ln.Endpoint()))
			h.check(err)
			h.steps()
			peer.Reset()
			h.steps()
		}
		if s := h.ln.Stats(); s.Accepted != uint64(3*(n+1)) ||
			s.RefusedBy["per_peer.new_per_second"] != uint64(7*(n+1)) {
			t.Errorf("after %d s: found %+v", n, s)
		}
		h.pass(time.Second)
	}
}
