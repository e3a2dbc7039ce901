package reactor_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/reactor"
)

// hand is a reactor of one loop in memory that a test drives turn by turn.
type hand struct {
	t   *testing.T
	sys *memnet.Sys
	r   *reactor.Reactor
	ln  *reactor.Listener
	// made is called for each connection that was accepted.
	made func(*told)
}

// told is a protocol that notes what it is told, and does what a test wants then.
type told struct {
	h      *hand
	t      reactor.Transport
	events []string
	reason reactor.Reason
	err    error
	lost   bool
	onData func([]byte)
	onLost func()
}

func (p *told) ConnectionMade(t reactor.Transport) {
	p.t = t
	if p.h.made != nil {
		p.h.made(p)
	}
}
func (p *told) DataReceived(b []byte) {
	p.events = append(p.events, "data")
	if p.onData != nil {
		p.onData(b)
	}
}
func (p *told) ReadConnectionLost()  { p.events = append(p.events, "readlost") }
func (p *told) WriteConnectionLost() { p.events = append(p.events, "writelost") }
func (p *told) ConnectionLost(reason reactor.Reason, err error) {
	p.events = append(p.events, "lost")
	p.lost, p.reason, p.err = true, reason, err
	if p.onLost != nil {
		p.onLost()
	}
}

func (h *hand) BuildProtocol(reactor.Transport) (reactor.Protocol, error) { return &told{h: h}, nil }

// newHand makes a hand whose listener is on scheme, tcp or unix.
func newHand(t *testing.T, scheme string, o memnet.Options, cfg reactor.Config) *hand {
	t.Helper()
	h := &hand{t: t}
	if d, ok := cfg.Sys.(*deaf); ok {
		h.sys = d.Sys
	} else {
		h.sys = memnet.New(o)
		cfg.Sys = h.sys
	}
	cfg.Loops = 1
	var err error
	if h.r, err = reactor.New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.r.Close(); err != nil {
			t.Error(err)
		}
		if n, misuse := h.sys.OpenFDs(), h.sys.Misuse(); n != 0 || len(misuse) > 0 {
			t.Errorf("%d descriptors are left; misuse: %q", n, misuse)
		}
	})
	if h.ln, err = h.r.Listen(reactor.Endpoint{Scheme: scheme, Host: "127.0.0.1", Path: "/hand"}, h,
		reactor.ListenOptions{Loop: -1}); err != nil {
		t.Fatal(err)
	}
	if err := h.ln.Start(); err != nil {
		t.Fatal(err)
	}
	h.steps()
	return h
}

// steps turns until there is nothing left to do at this moment.
func (h *hand) steps() {
	h.t.Helper()
	for range 10_000 {
		if !h.r.Step() {
			return
		}
	}
	h.t.Fatal("the loops spin")
}

// pass lets d go by.
func (h *hand) pass(d time.Duration) {
	h.t.Helper()
	for end := h.sys.Now() + d; h.sys.Now() < end; {
		left := end - h.sys.Now()
		if next, ok := h.r.NextTimer(); ok && next < left {
			left = next
		}
		h.sys.Advance(left)
		h.steps()
	}
}

// dial makes a connection, and returns both its ends.
func (h *hand) dial() (*memnet.Peer, *told) {
	h.t.Helper()
	var p *told
	was := h.made
	h.made = func(q *told) {
		p = q
		if was != nil {
			was(q)
		}
	}
	defer func() { h.made = was }()
	peer, err := h.sys.Dial(reactor.Address(h.ln.Endpoint()))
	if err != nil {
		h.t.Fatal(err)
	}
	h.steps()
	if p == nil {
		h.t.Fatal("no protocol was made")
	}
	return peer, p
}

// do runs f on the loop.
func (h *hand) do(f func()) {
	h.t.Helper()
	if err := h.r.Loops()[0].CallFromThread(f); err != nil {
		h.t.Fatal(err)
	}
	h.steps()
}

// drain reads what has come, with the loops turning, and returns how many bytes
// and what ended it: syscall.EAGAIN while the connection is there.
func (h *hand) drain(p *memnet.Peer) (total int, err error) {
	h.t.Helper()
	buf := make([]byte, 64<<10)
	for {
		n, err := p.Read(buf)
		total += n
		if err == syscall.EAGAIN {
			before := total
			h.steps()
			if n, err = p.Read(buf); n == 0 && total == before {
				return total, err
			}
			total += n
		}
		if err != nil {
			return total, err
		}
	}
}

// check is for calls that must not fail.
func (h *hand) check(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// send writes all of b.
func (h *hand) send(p *memnet.Peer, b []byte) {
	h.t.Helper()
	if n, err := p.Write(b); n != len(b) || err != nil {
		h.t.Fatalf("sent %d bytes of %d, %v", n, len(b), err)
	}
	h.steps()
}

func (p *told) want(t *testing.T, lost bool, reason reactor.Reason) {
	t.Helper()
	if p.lost != lost || p.reason != reason {
		t.Errorf("told %v: lost %v, %v, %v; wanted %v, %v", p.events, p.lost, p.reason, p.err, lost, reason)
	}
}
