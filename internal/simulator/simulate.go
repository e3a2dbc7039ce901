package simulator

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/reactor"
)

// Options are a simulation's. The zero value is usable.
type Options struct {
	Actions int       // of the schedule, without those of protocols; 0 = up to 300
	Trace   io.Writer // where all that happens is told; nil = nowhere
}

// Simulate drives the real event loops over an in-memory Sys whose calls fail as
// real ones do, with protocols and peers that do random things, on a clock of
// its own, and checks what every connection is promised. All of it follows from
// the seed. The error says which promises were broken.
func Simulate(seed uint64, o Options) error {
	return simulate(&choices{state: seed}, o)
}

// SimulateBytes is Simulate with the bytes of a fuzz target as the decisions.
func SimulateBytes(data []byte, o Options) error {
	return simulate(&choices{fuzz: true, data: data}, o)
}

func simulate(c *choices, o Options) error {
	w := newWorld(c, o)
	w.run()
	if len(w.broken) > 0 {
		return errors.New(strings.Join(w.broken, "\n"))
	}
	return nil
}

// world is one simulation. It runs on one goroutine.
type world struct {
	c       *choices
	trace   io.Writer
	actions int
	sys     *faultySys
	r       *reactor.Reactor
	cfg     reactor.Config
	ln      *reactor.Listener
	ep      reactor.Endpoint
	out     *memnet.PeerListener // where protocols connect to
	outEP   reactor.Endpoint
	proxy   bool
	idle    time.Duration // of accepted connections

	protos []*protocol
	peers  []*peer // those that still act
	byID   map[int]*peer
	ids    map[string]int
	serial int // of protocols
	posted int // calls given to loops and not yet made

	owners  [][]*owner // by loop
	unasked bool       // the schedule itself calls protocols

	current     *protocol // whose callback runs
	inTransport int       // calls to the reactor that run now
	budget      int       // of a callback's actions, so that all of it ends
	style       style
	ending      bool // faults are off, and every connection is to end
	closing     bool // the reactor is being closed
	broken      []string
	ended       map[reactor.Transport]bool // those that Config.Ended was told of
}

// style is what a simulation's protocols and peers are inclined to.
type style struct {
	maxWrite, total  int // bytes of one write, of one connection
	lose, abort      int // once in so many actions
	panics, refuse   int
	late             int
	pause, produce   int
	peerEnd, peerFin int
	connect, timer   int
	peerRead         int
	slow             int
	kind             int
}

func newWorld(c *choices, o Options) *world {
	w := &world{c: c, trace: o.Trace, actions: o.Actions, ids: map[string]int{}, byID: map[int]*peer{}}
	if w.actions == 0 {
		w.actions = 40 + c.n(260)
	}
	rare := func(k int) int { return []int{0, k, 10 * k}[c.n(3)] }
	w.style = style{
		maxWrite: []int{40, 600, 5000, 30000}[c.n(4)], total: 100 << c.n(11), lose: rare(10), abort: rare(25),
		panics: rare(40), refuse: rare(8), pause: rare(3), produce: rare(3), peerEnd: rare(20), peerFin: rare(8),
		connect: rare(20), timer: rare(8), peerRead: 1 + c.n(4), kind: c.n(5), late: rare(4), slow: rare(3),
	}
	w.sys = &faultySys{Sys: memnet.New(memnet.Options{Buffer: 50 << c.n(9), Backlog: 4 + c.n(8),
		MaxFDs: []int{0, 0, 4, 12}[c.n(4)]}), c: c, rates: newRates(c)}
	if w.trace != nil {
		w.sys.trace = w.tracef
	}
	high := 20 << c.n(10)
	w.cfg = reactor.Config{
		Loops: 1 + c.n(2), Sys: w.sys, HighWater: high, LowWater: high / (1 + c.n(4)), MaxQueued: high * (1 + c.n(12)),
		CloseTimeout: 3 * time.Second, WriteTimeout: 5 * time.Second, ClosedTimeout: 4 * time.Second,
		MaxConnections: []int{0, 0, 6}[c.n(3)],
		Ended:          w.noteEnded,
		Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: warnings{w.violated},
			DisableTime: true}),
	}
	return w
}

// noteEnded wants each connection to be told of once, behind its protocol's last callback.
func (w *world) noteEnded(e reactor.Ended) {
	if w.ended == nil {
		w.ended = map[reactor.Transport]bool{}
	}
	if w.ended[e.Transport] {
		w.violated("the end of %s was told twice", e.Transport.Peer())
	}
	w.ended[e.Transport] = true
	if p, ok := e.Protocol.(*protocol); ok && p.made && !p.lost {
		w.violated("%v: its end was told, and it is not lost", p)
	}
}

// violated notes a broken promise.
func (w *world) violated(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.tracef("VIOLATION: %s", text)
	if len(w.broken) < 10 {
		w.broken = append(w.broken, fmt.Sprintf("at call %d, %v: %s", w.sys.calls, w.sys.Now(), text))
	}
}

func (w *world) tracef(format string, args ...any) {
	if w.trace != nil {
		fmt.Fprintf(w.trace, "%6d %12v  %s\n", w.sys.calls, w.sys.Now()-time.Hour, fmt.Sprintf(format, args...))
	}
}

// warnings reads what the reactor warns of: some of it must not happen, whatever
// the faults.
type warnings struct{ violated func(string, ...any) }

const simulatedPanic = "simulated panic"

func (l warnings) Write(p []byte) (int, error) {
	text := string(p)
	switch {
	case strings.Contains(text, "accept failed"), strings.Contains(text, "refused"):
	case strings.Contains(text, "panic in a protocol") && strings.Contains(text, simulatedPanic):
	default:
		l.violated("logged: %s", text)
	}
	return len(p), nil
}

func (w *world) start() error {
	var err error
	if w.r, err = reactor.New(w.cfg); err != nil {
		return err
	}
	w.newOwners()
	network := "tcp"
	w.ep = reactor.Endpoint{Scheme: "tcp", Host: "127.0.0.1", Port: 7}
	w.outEP = reactor.Endpoint{Scheme: "tcp", Host: "127.0.0.1", Port: 9}
	if w.c.oneIn(4) {
		network = "unix"
		w.ep = reactor.Endpoint{Scheme: "unix", Path: "/sim/in"}
		w.outEP = reactor.Endpoint{Scheme: "unix", Path: "/sim/out"}
	}
	lo := reactor.ListenOptions{Loop: -1, Share: w.share, HandshakeTimeout: 2 * time.Second,
		MaxConnections: []int{0, 0, 3}[w.c.n(3)]}
	if w.c.oneIn(8) {
		lo.IdleTimeout = time.Second
		w.idle = lo.IdleTimeout
	}
	if network == "tcp" && w.c.oneIn(8) {
		w.proxy, lo.ProxyProtocol, lo.ProxyFrom = true, true, loopback
	}
	if w.ln, err = w.r.Listen(w.ep, factory{w}, lo); err != nil {
		return err
	}
	if w.out, err = w.sys.ListenPeer(network, address(w.outEP)); err != nil {
		return err
	}
	w.sys.Silence("tcp", "127.0.0.1:13")
	return w.ln.Start()
}

func address(ep reactor.Endpoint) string {
	if ep.Scheme == "unix" {
		return ep.Path
	}
	return fmt.Sprintf("%s:%d", ep.Host, ep.Port)
}

func (w *world) run() {
	if err := w.start(); err != nil {
		w.violated("start: %v", err)
		return
	}
	w.sys.on = true
	for i := 0; i < w.actions && len(w.broken) == 0 && !(w.c.spent() && i > 0); i++ {
		w.budget = 400
		w.act()
	}
	w.sys.on = false
	if w.c.oneIn(4) {
		w.tracef("the reactor is closed in mid-life")
	} else {
		w.finish()
	}
	w.close()
}

// act is one turn of the schedule.
func (w *world) act() {
	switch k := w.c.n(20); {
	case k < 8:
		w.step()
	case k < 14:
		if len(w.peers) > 0 {
			w.peers[w.c.n(len(w.peers))].act()
			return
		}
		w.dial()
	case k < 16:
		w.dial()
	case k < 17:
		w.acceptOut()
	case k < 18:
		w.advance()
	case k < 19:
		w.postCall()
	default:
		w.rarely()
	}
}

func (w *world) rarely() {
	switch w.c.n(8) {
	case 0:
		n := []int{0, 3, 8, 30}[w.c.n(4)]
		w.tracef("descriptors: %d", n)
		w.sys.SetMaxFDs(n)
	case 1:
		on := w.c.oneIn(3)
		w.tracef("shed %v", on)
		w.r.Shed(on)
	case 2, 3:
		w.moveOne()
	default:
		w.quiesce()
	}
}

func (w *world) step() {
	w.budget = 400
	w.newTurn()
	w.r.Step()
	w.checkAll()
}

// advance turns the clock: a little, to the next timer, or much.
func (w *world) advance() {
	d := time.Duration(w.c.n(500)) * time.Millisecond
	switch w.c.n(4) {
	case 0:
		if next, ok := w.r.NextTimer(); ok {
			d = next
		}
	case 1:
		d = time.Duration(w.c.n(8000)) * time.Millisecond
	case 2:
		d = time.Duration(w.c.n(2000)) * time.Microsecond
	}
	w.tracef("advance %v", d)
	w.sys.Advance(d)
}

// postCall gives a loop a call from "another goroutine".
func (w *world) postCall() {
	l := w.r.Loops()[w.c.n(len(w.r.Loops()))]
	w.posted++
	err := l.CallFromThread(func() {
		w.posted--
		if p := w.anyOn(l); p != nil {
			w.tracef("%v: posted call", p)
			w.unasked = true
			defer func() { w.unasked = false }()
			p.callback(func() { p.actions(2) })
		}
	})
	if err != nil {
		w.violated("CallFromThread: %v", err)
	}
}

// anyOn is a live protocol of l, or nil.
func (w *world) anyOn(l *reactor.Loop) *protocol {
	if len(w.protos) == 0 {
		return nil
	}
	at := w.c.n(len(w.protos))
	for i := range w.protos {
		if p := w.protos[(at+i)%len(w.protos)]; p.loop == l && p.live() && !p.frozen {
			return p
		}
	}
	return nil
}
