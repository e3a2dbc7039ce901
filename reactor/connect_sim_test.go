package reactor_test

import (
	"fmt"
	"net/netip"
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

// TestConnectShares: an address that does not answer leaves the others their
// share of the time, and the last one has all that is left.
func TestConnectShares(t *testing.T) {
	first, second := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("127.0.0.1")
	for name, tt := range map[string]struct {
		timeout time.Duration
		silent  bool // the second one too
		after   []time.Duration
		want    string
	}{
		"the second answers": {30 * time.Second, false, []time.Duration{15*time.Second - 1, 1},
			"made: tcp://127.0.0.1:7"},
		"the least share": {3 * time.Second, false, []time.Duration{2*time.Second - 1, 1},
			"made: tcp://127.0.0.1:7"},
		"less time than that": {time.Second, true, []time.Duration{time.Second - 1, 1},
			"timed out: not set up in time"},
		"neither answers": {30 * time.Second, true, []time.Duration{15 * time.Second, 15*time.Second - 1, 1},
			"timed out: not set up in time"},
		"neither answers for a bit": {3 * time.Second, true, []time.Duration{2 * time.Second, time.Second - 1, 1},
			"timed out: not set up in time"},
	} {
		t.Run(name, func(t *testing.T) {
			sys := memnet.New(memnet.Options{})
			r, err := reactor.New(reactor.Config{Loops: 1, Sys: sys})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			reactor.NoLookup(r)
			ln, err := r.Listen(reactor.Endpoint{Scheme: "tcp", Host: "127.0.0.1", Port: 7},
				losses{new([]reactor.Reason)},
				reactor.ListenOptions{Loop: -1})
			if err != nil {
				t.Fatal(err)
			}
			if err := ln.Start(); err != nil {
				t.Fatal(err)
			}
			sys.Silence("tcp", "10.0.0.1:7")
			if tt.silent {
				sys.Silence("tcp", "127.0.0.1:7")
			}
			p := &caller{losses: losses{new([]reactor.Reason)}}
			l := r.Loops()[0]
			if err := l.CallFromThread(func() {
				c := l.Connect(reactor.Endpoint{Scheme: "tcp", Host: "a.example", Port: 7}, p,
					reactor.ConnectOptions{Timeout: tt.timeout})
				reactor.Resolved(c, first, second)
			}); err != nil {
				t.Fatal(err)
			}
			for _, d := range tt.after {
				for r.Step() {
				}
				if p.got != "" {
					t.Fatalf("%s too early", p.got)
				}
				sys.Advance(d)
			}
			for r.Step() {
			}
			if p.got != tt.want {
				t.Errorf("found %q, wanted %q", p.got, tt.want)
			}
		})
	}
}
