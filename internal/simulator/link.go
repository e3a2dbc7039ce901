package simulator

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/reactor"
)

// SimulateLinks is Simulate for connections inside the process, on one loop and from loop to
// loop. Their ends belong to guests, each of which has one buffer for all of its ends, that
// what others write lands in where it is free; it is overwritten when it is read into, and at
// a reload another takes its place. The ends write, pause, produce, half-close, close, abort,
// panic and hand over as the seed has it, in callbacks and from elsewhere. Every byte must
// come in order and once, and all of them where nobody has dropped some.
func SimulateLinks(seed uint64) error {
	w := &linkWorld{c: &choices{state: seed}}
	w.run()
	if len(w.broken) > 0 {
		return errors.New(strings.Join(w.broken, "\n"))
	}
	return nil
}

// linkWorld is one simulation of links. It runs on one goroutine.
type linkWorld struct {
	c      *choices
	sys    *memnet.Sys
	r      *reactor.Reactor
	guests []*linkGuest
	ends   []*linkEnd // in pairs: who connects, who accepts
	total  int        // bytes that an end writes at most
	depth  int        // of callbacks
	ending bool       // nothing is done any more but to read
	broken []string
}

func (w *linkWorld) breach(format string, args ...any) {
	if len(w.broken) < 10 {
		w.broken = append(w.broken, fmt.Sprintf(format, args...))
	}
}

// linkGuest has the protocols of some ends.
type linkGuest struct {
	w     *linkWorld
	loop  *reactor.Loop
	share *reactor.Share
	ln    *reactor.Listener // where its ends are accepted
	buf   []byte
	next  *linkEnd // the one that is being accepted
	runs  bool     // a callback of it does
	away  bool     // its buffer is not there to be landed in
}

// stale is what a buffer holds that has been given to somebody else.
const stale = 0xee

func (g *linkGuest) spoil() {
	for n := range g.buf {
		g.buf[n] = stale
	}
}

// linkEnd is one end, whichever protocol has it.
type linkEnd struct {
	w       *linkWorld
	g       *linkGuest
	peer    *linkEnd
	name    string
	t       reactor.Transport
	now     *linkProtocol // that is told of it; nil = none yet, or none any more
	out     stream
	in      stream
	sent    int
	got     int
	accepts bool
	over    bool // it is told that it has ended
	reason  reactor.Reason
	handed  bool // nothing of it may be called until the next protocol has it
	paused  bool
	feeds   bool // a producer is registered
	fin     bool // told
	shut    bool // it has closed its writing side, or all
	closed  bool // it has closed all, before the peer's end was told
	hard    bool // it has dropped something: aborted, panicked, over a limit
}

func (e *linkEnd) live() bool { return e.now != nil && !e.over && !e.handed && !e.hard }

// linkProtocol is an end's protocol until it hands it over.
type linkProtocol struct {
	e *linkEnd
	g *linkGuest
}

func (p *linkProtocol) enter(what string) (leave func()) {
	w := p.e.w
	if w.depth++; w.depth > 1 {
		w.breach("%s: %s inside of a callback", p.e.name, what)
	}
	if p.e.now != p || p.e.over {
		w.breach("%s: %s of a protocol that does not have it, over: %t", p.e.name, what, p.e.over)
	}
	p.g.runs = true
	return func() { w.depth--; p.g.runs = false }
}

func (p *linkProtocol) ConnectionMade(t reactor.Transport) {
	p.e.now, p.e.t, p.e.handed, p.e.paused, p.e.fin = p, t, false, false, false
	defer p.enter("connectionMade")()
	p.g.act(p.e)
}

func (p *linkProtocol) ReceiveBuffer() []byte {
	p.g.spoil()
	return p.g.buf
}

func (p *linkProtocol) LandingBuffer() []byte {
	if p.g.runs || p.g.away {
		return nil
	}
	return p.g.buf
}

func (p *linkProtocol) DataReceived(b []byte) {
	defer p.enter("dataReceived")()
	e := p.e
	if len(b) == 0 || len(b) > len(p.g.buf) || &b[0] != &p.g.buf[0] {
		e.w.breach("%s: %d bytes that are not at the front of its buffer of %d", e.name, len(b), len(p.g.buf))
	}
	if e.paused || e.fin || e.closed || e.hard || p.g.share.Late() {
		e.w.breach("%s: bytes came, paused: %t, behind the end: %t, closed: %t, aborted: %t, late: %t", e.name,
			e.paused, e.fin, e.closed, e.hard, p.g.share.Late())
	}
	if !e.in.matches(b, e.got) || e.got+len(b) > e.peer.sent {
		e.w.breach("%s: other bytes than the %d to %d of %d that were sent", e.name, e.got, e.got+len(b), e.peer.sent)
	}
	if e.accepts && !e.w.ending && e.w.c.oneIn(10) {
		keep := e.w.c.n(len(b) + 1)
		if e.handOver(b[keep:]) {
			e.got += keep
			p.g.act(p.e)
			return
		}
	}
	e.got += len(b)
	p.g.act(p.e)
}

func (p *linkProtocol) ReadConnectionLost() {
	defer p.enter("readConnectionLost")()
	if p.e.fin {
		p.e.w.breach("%s: its peer's end was told twice", p.e.name)
	}
	p.e.fin = true
	p.g.act(p.e)
}

func (p *linkProtocol) WriteConnectionLost() { defer p.enter("writeConnectionLost")() }

func (p *linkProtocol) ConnectionFailed(reason reactor.Reason, err error) {
	p.ConnectionLost(reason, err)
}

func (p *linkProtocol) ConnectionLost(reason reactor.Reason, _ error) {
	if p.e.now == nil { // it was never made
		p.e.now = p
	}
	defer p.enter("connectionLost")()
	if reason == reactor.HandedOver {
		if p.e.now = nil; !p.e.handed {
			p.e.w.breach("%s: handed over by nobody", p.e.name)
		}
		return
	}
	p.e.over, p.e.reason = true, reason
	p.g.act(p.e)
}

func (p *linkProtocol) PauseProducing()  { defer p.enter("pauseProducing")() }
func (p *linkProtocol) StopProducing()   { defer p.enter("stopProducing")(); p.e.feeds = false }
func (p *linkProtocol) ResumeProducing() { defer p.enter("resumeProducing")(); p.e.feed() }

// feed is what a producer does.
func (e *linkEnd) feed() {
	if e.w.ending || e.w.c.oneIn(3) || !e.write() {
		e.t.UnregisterProducer()
		e.feeds = false
	}
}

// write tells whether something was taken.
func (e *linkEnd) write() bool {
	n := 1 + e.w.c.size([]int{20_000, 20_000, 100_000}[e.w.c.n(3)])
	if e.sent+n > e.w.total || e.shut && !e.feeds {
		return false
	}
	b := make([]byte, n)
	e.out.fill(b, e.sent)
	e.sent += n // if it is not taken, it is because the connection has ended
	if _, err := e.t.Write(b); err != nil {
		e.hard = true
	}
	return true
}

func (e *linkEnd) handOver(first []byte) bool {
	to := reactor.Destination{Loop: -1, Factory: factoryOf(func() reactor.Protocol { return &linkProtocol{e, e.g} }),
		Share: func(*reactor.Loop) *reactor.Share { return e.g.share }}
	switch err := e.t.HandOver(to, first); {
	case err == nil:
		e.handed = true
		return true
	case !errors.Is(err, reactor.ErrBusy) && !errors.Is(err, reactor.ErrNotConnected):
		e.w.breach("%s: hand over: %v", e.name, err)
	}
	return false
}

type factoryOf func() reactor.Protocol

func (f factoryOf) BuildProtocol(reactor.Transport) (reactor.Protocol, error) { return f(), nil }

// act is what a guest does in a callback of one of its ends, or of none: something with each
// of a few of them.
func (g *linkGuest) act(told *linkEnd) {
	w := g.w
	if w.ending {
		return
	}
	for range w.c.n(4) {
		var list []*linkEnd
		for _, e := range w.ends {
			if e.g == g && e.live() {
				list = append(list, e)
			}
		}
		if len(list) > 0 {
			list[w.c.n(len(list))].act()
		}
	}
	if w.c.oneIn(8) {
		g.share.Spent(time.Duration(w.c.n(8)) * time.Millisecond)
	}
	if told != nil && !told.over && w.c.oneIn(60) {
		told.hard = true
		panic(simulatedPanic)
	}
}

func (e *linkEnd) act() {
	switch k := e.w.c.n(100); {
	case k < 60:
		e.write()
	case k < 72:
		e.t.PauseProducing()
		e.paused = true
	case k < 85:
		e.resume()
	case k < 90:
		if !e.shut && e.t.RegisterProducer(e.now, e.w.c.oneIn(2)) == nil {
			e.feeds = true
		}
	case k < 93:
		e.t.LoseWriteConnection()
		e.shut = true
	case k < 96:
		e.lose()
	case k < 97:
		e.t.AbortConnection()
		e.hard = true
	}
}

func (e *linkEnd) resume() {
	e.paused = false
	e.t.ResumeProducing()
}

func (e *linkEnd) lose() {
	e.t.LoseConnection()
	e.closed = e.closed || !e.fin
	e.shut = true
}

func (w *linkWorld) run() {
	if err := w.start(); err != nil {
		w.breach("%v", err)
		return
	}
	for range 50 + w.c.n(200) {
		w.step()
	}
	w.ending = true
	w.settle(func(e *linkEnd) {
		e.resume()
		if e.feeds {
			e.feeds = false
			e.t.UnregisterProducer()
		}
	})
	w.check()
	w.settle((*linkEnd).lose)
	for range 20 { // close_timeout, of those that stand still
		w.turns(10 * time.Second)
	}
	for _, e := range w.ends {
		if !e.over && !e.handed { // what has ended between two protocols none is told of
			w.breach("%s has not ended", e.name)
		}
	}
	if n, sockets := w.r.Connections(), w.r.Sockets(); n != 0 || sockets != 0 {
		w.breach("%d connections are left, and %d sockets are counted", n, sockets)
	}
	w.check()
	if err := w.r.Close(); err != nil {
		w.breach("%v", err)
	}
}

func (w *linkWorld) start() (err error) {
	w.sys = memnet.New(memnet.Options{})
	w.total = 100 << w.c.n(13)
	high := 1 << (6 + w.c.n(12))
	log := hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: warnings{w.breach}, DisableTime: true})
	if w.r, err = reactor.New(reactor.Config{Loops: 1 + w.c.n(2), Sys: w.sys, HighWater: high, LowWater: high / 4,
		MaxQueued: max(high, w.total) << w.c.n(2), Logger: log}); err != nil {
		return err
	}
	for n := range 2 + w.c.n(3) {
		l := w.r.Loops()[w.c.n(len(w.r.Loops()))]
		g := &linkGuest{w: w, loop: l, share: l.NewShare(), buf: make([]byte, 1+w.c.size(8<<10))}
		if n > 0 && w.guests[n-1].loop == l && w.c.oneIn(2) { // another instance of the same plugin
			g.share = w.guests[n-1].share
		}
		g.ln, err = w.r.ListenInside(fmt.Sprint(n), factoryOf(func() reactor.Protocol {
			return &linkProtocol{g.next, g}
		}), reactor.ListenOptions{Loop: l.Index(), Share: func(*reactor.Loop) *reactor.Share { return g.share }})
		if err != nil {
			return err
		}
		w.guests = append(w.guests, g)
	}
	return nil
}

// connect makes a link from a guest to another, or to itself.
func (w *linkWorld) connect() {
	from, to := w.guests[w.c.n(len(w.guests))], w.guests[w.c.n(len(w.guests))]
	if to.next != nil {
		return // one after the other, or nobody knows which is which
	}
	n := len(w.ends)
	a := &linkEnd{w: w, g: from, name: fmt.Sprintf("%d, who connects", n/2), out: stream(n), in: stream(n + 1)}
	b := &linkEnd{w: w, g: to, name: fmt.Sprintf("%d, who accepts", n/2), out: a.in, in: a.out, accepts: true}
	a.peer, b.peer, to.next = b, a, b
	w.ends = append(w.ends, a, b)
	w.onLoop(from, func() {
		from.loop.ConnectInside(to.ln, "other", &linkProtocol{a, from}, reactor.ConnectOptions{From: "one",
			Share: from.share})
	})
	for to.next != nil && w.r.Step() {
		if b.now != nil {
			to.next = nil
		}
	}
}

// onLoop has a guest do something that no connection asks for.
func (w *linkWorld) onLoop(g *linkGuest, do func()) {
	if err := g.loop.CallFromThread(func() {
		w.depth++
		g.runs = true
		defer func() { w.depth--; g.runs = false }()
		do()
	}); err != nil {
		w.breach("%v", err)
	}
}

// step is one action of the schedule.
func (w *linkWorld) step() {
	g := w.guests[w.c.n(len(w.guests))]
	switch k := w.c.n(20); {
	case k < 2 && len(w.ends) < 16:
		w.connect()
	case k < 6:
		w.onLoop(g, func() { g.act(nil) })
	case k < 7:
		g.away = !g.away
	case k < 9: // a reload
		w.onLoop(g, func() {
			g.spoil()
			g.buf = make([]byte, 1+w.c.size(8<<10))
		})
	case k < 10:
		w.sys.Advance(time.Duration(w.c.n(5)) * time.Millisecond)
	default:
		w.r.Step()
	}
}

// settle does something with every end that is there, and waits for what comes of it.
func (w *linkWorld) settle(do func(*linkEnd)) {
	w.turns(0)
	for _, e := range w.ends {
		e.g.away = false
		w.onLoop(e.g, func() {
			if e.live() {
				do(e)
			}
		})
	}
	for range 50 { // pull producers wait
		w.turns(time.Millisecond)
	}
}

// turns lets time pass, and waits for what comes of it.
func (w *linkWorld) turns(d time.Duration) {
	w.sys.Advance(d)
	for n := 0; w.r.Step() && n < 100_000; n++ {
	}
}

// check holds what came against what was sent.
func (w *linkWorld) check() {
	for _, e := range w.ends {
		o := e.peer
		done := e.over && e.reason == reactor.Done && o.over && o.reason == reactor.Done
		// Where each has queued so much that it does not read, they stand still, as on sockets.
		open := !e.over && !o.over && !o.closed && o.got == e.sent
		if (open || done) && !e.hard && !o.hard && !e.closed && e.got != o.sent {
			w.breach("%s: %d bytes came of %d", e.name, e.got, o.sent)
		}
		if e.over && e.reason == reactor.Lost && !o.hard && !o.closed && !o.shut {
			w.breach("%s is lost, and nobody has ended it", e.name)
		}
	}
}
