package reactor_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/reactor"
)

// TestEnded: the end of a connection is told once, with its reason and what it has moved,
// behind the protocol's last callback.
func TestEnded(t *testing.T) {
	var ends []reactor.Ended
	var stats []reactor.ConnStats
	var ages []time.Duration
	h := newHand(t, "tcp", memnet.Options{}, reactor.Config{Ended: func(e reactor.Ended) {
		if p, ok := e.Protocol.(*told); !ok || !p.lost {
			t.Errorf("found the protocol %v, wanted one that was told", e.Protocol)
		}
		if e.Transport.Peer() == "tcp://" || e.Transport.Host() == "" {
			t.Errorf("found the peer %q and the host %q", e.Transport.Peer(), e.Transport.Host())
		}
		ends, stats, ages = append(ends, e), append(stats, e.Transport.Stats()), append(ages, e.Age())
	}})
	h.made = func(p *told) {
		p.onData = func(b []byte) { _, err := p.t.Write(append(b, '!')); h.check(err); p.t.LoseConnection() }
	}
	peer, _ := h.dial()
	h.pass(3 * time.Second)
	h.send(peer, []byte("hello"))
	if len(ends) != 1 || ends[0].Reason != reactor.Done || ages[0] != 3*time.Second || ends[0].Listener != h.ln ||
		stats[0].In != 5 || stats[0].Out != 6 {
		t.Fatalf("found %+v, %+v", ends, stats)
	}
	_, p := h.dial()
	cause := errors.New("because")
	h.do(func() { p.t.Abort(reactor.OverLimit, cause) })
	h.dial()
	h.check(h.r.Close())
	var got []reactor.Reason
	for _, e := range ends {
		got = append(got, e.Reason)
	}
	if want := []reactor.Reason{reactor.Done, reactor.OverLimit, reactor.ShuttingDown}; !slices.Equal(got, want) {
		t.Errorf("found %v, wanted %v", got, want)
	}
	if !errors.Is(ends[1].Err, cause) {
		t.Errorf("found %v, wanted %v", ends[1].Err, cause)
	}
	if by := h.r.Loops()[0].Details().LostBy; by[reactor.Done] != 1 || by[reactor.OverLimit] != 1 ||
		by[reactor.ShuttingDown] != 1 {
		t.Errorf("found %v by reason", by)
	}
}

// TestEndedWithoutProtocol: a connection that its factory refuses has an end too.
func TestEndedWithoutProtocol(t *testing.T) {
	var ends []reactor.Ended
	h := newHand(t, "tcp", memnet.Options{}, reactor.Config{Ended: func(e reactor.Ended) { ends = append(ends, e) }})
	no := errors.New("no")
	h.check(h.ln.Configure(refusing{no}, reactor.ListenOptions{Loop: -1}))
	if _, err := h.sys.Dial(reactor.Address(h.ln.Endpoint())); err != nil {
		t.Fatal(err)
	}
	h.steps()
	if len(ends) != 1 || ends[0].Protocol != nil || ends[0].Reason != reactor.Refused || !errors.Is(ends[0].Err, no) {
		t.Errorf("found %+v", ends)
	}
}

type refusing struct{ err error }

func (r refusing) BuildProtocol(reactor.Transport) (reactor.Protocol, error) { return nil, r.err }

// TestTurnsAreCounted: each turn with something to do is in the histogram.
func TestTurnsAreCounted(t *testing.T) {
	h := newHand(t, "tcp", memnet.Options{}, reactor.Config{})
	peer, p := h.dial()
	before := h.r.Loops()[0].Details()
	p.onData = func([]byte) { h.sys.Advance(15 * time.Millisecond) }
	h.send(peer, []byte("x"))
	after := h.r.Loops()[0].Details()
	at := slices.Index(reactor.TurnBounds(), 20*time.Millisecond)
	if after.Turns[at] != before.Turns[at]+1 || after.TurnTime-before.TurnTime != 15*time.Millisecond {
		t.Errorf("found %v in %v, before it %v in %v", after.Turns, after.TurnTime, before.Turns, before.TurnTime)
	}
}

// TestRefusalsAreFlushed: what a burst of refusals leaves untold is told by itself.
func TestRefusalsAreFlushed(t *testing.T) {
	var log bytes.Buffer
	logger := hclog.New(&hclog.LoggerOptions{Output: &log, JSONFormat: true})
	for by, why := range map[string]string{"the listener": "overload", "the factory": ""} {
		log.Reset()
		h := newHand(t, "tcp", memnet.Options{}, reactor.Config{Logger: logger})
		if by == "the listener" {
			h.r.Shed(true)
		} else {
			h.check(h.ln.Configure(refusing{errors.New("no")}, reactor.ListenOptions{Loop: -1}))
		}
		for range 5 {
			if _, err := h.sys.Dial(reactor.Address(h.ln.Endpoint())); err != nil {
				t.Fatal(err)
			}
			h.steps()
		}
		if n := strings.Count(log.String(), "refused"); n != 1 ||
			why != "" && !strings.Contains(log.String(), `"why":"`+why+`"`) {
			t.Errorf("%s: found %d lines, wanted 1 at first:\n%s", by, n, log.String())
		}
		h.pass(5 * time.Second)
		if n := strings.Count(log.String(), "refused"); n != 2 || !strings.Contains(log.String(), `"count":4`) {
			t.Errorf("%s: found %d lines, wanted 2, of the rest in all:\n%s", by, n, log.String())
		}
		if _, ok := h.r.NextTimer(); ok {
			t.Errorf("%s: found a timer that goes on", by)
		}
	}
}

// TestOutOfDescriptors: it is told while it is so, and a few seconds longer.
func TestOutOfDescriptors(t *testing.T) {
	h := newHand(t, "tcp", memnet.Options{MaxFDs: 2}, reactor.Config{})
	peer, _ := h.dial()
	if h.r.OutOfDescriptors() {
		t.Error("found none before there were none")
	}
	if _, err := h.sys.Dial(reactor.Address(h.ln.Endpoint())); err != nil {
		t.Fatal(err)
	}
	h.steps()
	if !h.r.OutOfDescriptors() {
		t.Error("found some where there are none")
	}
	peer.Reset()
	h.pass(5 * time.Second)
	if h.r.OutOfDescriptors() {
		t.Error("found none long after there were some")
	}
}
