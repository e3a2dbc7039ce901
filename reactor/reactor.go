package reactor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Config holds a reactor's settings. Its zero value is usable.
type Config struct {
	Loops   int    // event loops; 0 = GOMAXPROCS
	Backend string // auto, epoll or portable; "" = auto
	Sys     Sys    // where set, in place of Backend's

	// Place says which of the loops gets the next accepted connection that its
	// listener does not pin: 0 to loops-1; nil = the one with the fewest. The
	// acceptor's goroutine calls it.
	Place func(loops int) int

	CloseTimeout  time.Duration // LoseConnection: how long a flush may make no progress; 0 = 30 s
	WriteTimeout  time.Duration // the same without LoseConnection; 0 = 60 s
	ClosedTimeout time.Duration // a peer's FIN behind unread bytes; 0 = 60 s

	HighWater int // queued output, in bytes, that pauses; 0 = 64 KiB
	LowWater  int // that resumes; 0 = half of HighWater
	MaxQueued int // that aborts; 0 = 16 MiB

	// MaxQueuedAll is how many bytes all connections may have queued together, in
	// equal parts for the loops: past it a write aborts that leaves its connection
	// above HighWater. 0 = any number.
	MaxQueuedAll uint64

	MaxConnections int // all together; 0 = as many as there are descriptors

	// LibraryTLS leaves connections with crypto/tls when their handshake is over. Else
	// those of TLS 1.3 are taken over from it (RATIONALE.md), but for outgoing ones with
	// a ClientSessionCache, whose tickets come later.
	LibraryTLS bool

	// Ended is told of each connection when it is over, accepted or not, behind its
	// protocol's last callback, on its loop; nil = nobody is. It must not block, and
	// may ask the transport's getters alone.
	Ended func(Ended)

	Logger hclog.Logger // nil = none
}

func (c Config) withDefaults() Config {
	if c.Loops <= 0 {
		c.Loops = runtime.GOMAXPROCS(0)
	}
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&c.CloseTimeout, 30*time.Second)
	def(&c.WriteTimeout, 60*time.Second)
	def(&c.ClosedTimeout, 60*time.Second)
	if c.HighWater <= 0 {
		c.HighWater = 64 << 10
	}
	if c.LowWater <= 0 {
		c.LowWater = c.HighWater / 2
	}
	if c.MaxQueued <= 0 {
		c.MaxQueued = 16 << 20
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	return c
}

// Reactor is a set of event loops, and one acceptor that takes connections for
// all of them.
type Reactor struct {
	cfg     Config
	log     hclog.Logger
	sys     Sys
	backend string
	lookup  func(ctx context.Context, network, host string) ([]netip.Addr, error) // names of Connect; off the loops

	loops       []*Loop
	acceptor    *Loop
	connections atomic.Int64 // of all loops, those on their way too
	others      atomic.Int64 // other sockets than connections', less connections that have none: see Sockets
	draining    atomic.Bool
	shedding    atomic.Bool
	listenerSeq atomic.Uint64
	starvedAt   atomic.Int64 // when there was no descriptor last; 0 = never
	refusing    atomic.Bool  // a refusal was logged within refusalLog
	refusedMore atomic.Int64 // refusals since then

	rings sync.Pool // of *[linkSize]byte, for links
	links links

	handshaking handshaking

	mu        sync.Mutex
	listeners map[*Listener]struct{}
	ports     map[*DatagramPort]struct{} // made when first needed
	started   bool
	closed    bool
}

// New makes a reactor whose loops do not run yet.
func New(cfg Config) (*Reactor, error) {
	cfg = cfg.withDefaults()
	if cfg.LowWater > cfg.HighWater || cfg.HighWater > cfg.MaxQueued {
		return nil, fmt.Errorf("reactor: found watermarks %d, %d and cap %d, wanted low <= high <= cap",
			cfg.LowWater, cfg.HighWater, cfg.MaxQueued)
	}
	r := &Reactor{cfg: cfg, log: cfg.Logger, sys: cfg.Sys, backend: "given", lookup: net.DefaultResolver.LookupNetIP,
		listeners: map[*Listener]struct{}{}}
	r.handshaking.none.L = &r.handshaking.mu
	if r.sys == nil {
		var err error
		if r.sys, r.backend, err = openSys(cfg.Backend); err != nil {
			return nil, err
		}
	}
	for i := range cfg.Loops {
		l, err := newLoop(r, i)
		if err != nil {
			return nil, errors.Join(err, r.Close())
		}
		r.loops = append(r.loops, l)
	}
	var err error
	if r.acceptor, err = newLoop(r, -1); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Backend is what the loops run on: epoll or portable, or given, where that was Config.Sys. Any goroutine.
func (r *Reactor) Backend() string { return r.backend }

// Now is the time on the Sys's monotonic clock. Any goroutine.
func (r *Reactor) Now() time.Duration { return r.sys.Now() }

// Loops are the event loops. The caller must not change the slice. Any goroutine.
func (r *Reactor) Loops() []*Loop { return r.loops }

// Start runs the loops, each on a goroutine of its own, until Close or Shutdown. Once; a
// second call is an error. Any goroutine.
func (r *Reactor) Start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.started || r.closed {
		return errors.New("reactor: started already, or closed")
	}
	r.started = true
	for _, l := range r.allLoops() {
		go l.run()
	}
	return nil
}

// Step runs one turn of the acceptor and of each loop, on the caller's
// goroutine and without blocking, and reports whether any had something to do.
// It is for tests with a simulated Sys, on a reactor that was never started.
func (r *Reactor) Step() (progress bool) {
	for _, l := range r.allLoops() {
		progress = l.step() || progress
	}
	return progress
}

func (l *Loop) step() (progress bool) {
	defer func() {
		if p := recover(); p != nil {
			l.endPanicked(p)
			progress = true
		}
	}()
	return l.turn(false)
}

// NextTimer is the time until the earliest delayed call of all loops, and
// whether there is one. It is for tests, like Step.
func (r *Reactor) NextTimer() (time.Duration, bool) {
	best, found := time.Duration(0), false
	for _, l := range r.allLoops() {
		if len(l.timers) > 0 {
			if d := l.timers[0].Remaining(); !found || d < best {
				best, found = d, true
			}
		}
	}
	return best, found
}

// allLoops are the loops, the acceptor first.
func (r *Reactor) allLoops() []*Loop {
	if r.acceptor == nil {
		return r.loops
	}
	return append([]*Loop{r.acceptor}, r.loops...)
}

// pickLoop is the loop for a new connection: the pinned one, or the one with the
// fewest.
func (r *Reactor) pickLoop(pinned int) *Loop {
	if pinned >= 0 {
		return r.loops[pinned]
	}
	if r.cfg.Place != nil {
		return r.loops[r.cfg.Place(len(r.loops))]
	}
	best := r.loops[0]
	for _, l := range r.loops[1:] {
		if l.count.Load() < best.count.Load() {
			best = l
		}
	}
	return best
}

// Connections is the number of connections, those inside the process with both their ends. Any goroutine.
func (r *Reactor) Connections() int { return int(r.connections.Load()) }

// live is Connections without those that only wait for their peer's close.
func (r *Reactor) live() int64 {
	n := r.connections.Load()
	for _, l := range r.loops {
		n -= int64(l.lingering.Load())
	}
	return n
}

// starvedFor is for how long a reactor says that it is out of descriptors after it was: a
// listener tries again after maxRest.
const starvedFor = 3 * maxRest

// OutOfDescriptors tells whether a connection could not be accepted, a moment ago, for
// want of a descriptor. Any goroutine.
func (r *Reactor) OutOfDescriptors() bool {
	at := time.Duration(r.starvedAt.Load())
	return at != 0 && r.sys.Now()-at < starvedFor
}

// Shed refuses new connections while on is set. Any goroutine.
func (r *Reactor) Shed(on bool) { r.shedding.Store(on) }

func (r *Reactor) addListener(ln *Listener) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listeners[ln] = struct{}{}
	r.others.Add(1)
}

func (r *Reactor) removeListener(ln *Listener) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.listeners[ln]; ok {
		delete(r.listeners, ln)
		r.others.Add(-1)
	}
}

func (r *Reactor) isStarted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.started
}

// awaitLoop waits for something that a loop will do. A reactor that was not started
// is stepped.
func (r *Reactor) awaitLoop(done <-chan struct{}) {
	for !r.isStarted() {
		select {
		case <-done:
			return
		default:
			r.Step()
		}
	}
	<-done
}

// lingerPatience is how long Shutdown waits, when all protocols are done, for
// their peers to close too. A socket that is closed before that resets a peer
// that still sends, and takes away what it has not read yet.
const lingerPatience = time.Second

// drainPoll is how often Shutdown looks whether the connections have ended.
const drainPoll = 10 * time.Millisecond

// Shutdown ends the reactor in stages: it stops accepting, lets the connections
// finish until ctx is done, closes the rest with reason ShuttingDown, for which
// their protocols have a second, and stops the loops. It returns ctx's error if
// some had to be closed. Any goroutine but the loops'; once.
func (r *Reactor) Shutdown(ctx context.Context) error {
	r.draining.Store(true)
	r.closeListeners()
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for r.live() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), r.closeWithin(ctx))
		}
	}
	patience, cancel := context.WithTimeout(ctx, lingerPatience)
	defer cancel()
	for r.Connections() > 0 && patience.Err() == nil {
		select {
		case <-tick.C:
		case <-patience.Done():
		}
	}
	return r.closeWithin(ctx)
}

func (r *Reactor) closeListeners() {
	r.mu.Lock()
	var list []*Listener
	for ln := range r.listeners {
		list = append(list, ln)
	}
	ports := slices.Collect(maps.Keys(r.ports))
	r.mu.Unlock()
	for _, p := range ports {
		p.end(ShuttingDown)
	}
	for _, ln := range list {
		if err := ln.Close(); err != nil {
			r.log.Warn("closing a listener", "endpoint", ln.Endpoint().String(), "err", err)
		}
	}
}

// closePatience is how long Close waits for bytes that a Sys has taken and not
// yet given to the system.
const closePatience = time.Second

// Close ends the reactor at once: connections are closed with reason
// ShuttingDown. It returns when all loops have ended. Any goroutine but the
// loops'; a second call does nothing.
func (r *Reactor) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	return r.closeWithin(ctx)
}

// finisher is a Sys with something to finish: bytes to send until ctx is done, a
// descriptor to give back.
type finisher interface{ finish(ctx context.Context) }

func (r *Reactor) closeWithin(ctx context.Context) error {
	r.draining.Store(true)
	r.mu.Lock()
	was, started := r.closed, r.started
	r.closed = true
	r.mu.Unlock()
	if was {
		return nil
	}
	if r.acceptor != nil {
		r.closeListeners()
	}
	err := r.endLoops(started)
	if e, ok := r.sys.(finisher); ok {
		e.finish(ctx)
	}
	return err
}

// endPatience is how long the loops, all at the same time, have to tell the
// protocols of what is left. Then it is closed without a word to them.
const endPatience = time.Second

func (r *Reactor) endLoops(started bool) error {
	by := r.sys.Now() + endPatience
	var errs []error
	for _, l := range r.allLoops() {
		if !started { // one after the other: a simulated Sys is for one goroutine
			l.ending, l.endBy = true, by
			go l.run()
			<-l.done
		} else if err := l.CallFromThread(func() { l.ending, l.endBy = true, by }); err != nil {
			errs = append(errs, err)
		}
	}
	for _, l := range r.allLoops() {
		<-l.done
	}
	return errors.Join(errs...)
}

// logRefusal says why a connection was refused, at most once in refusalLog, and behind that
// how many more there were.
func (r *Reactor) logRefusal(ln *Listener, peer string, err error) {
	if !r.refusing.CompareAndSwap(false, true) {
		r.refusedMore.Add(1)
		return
	}
	r.log.Warn("connection refused", "endpoint", ln.Endpoint().String(), "peer", peer, "err", err)
	a := r.acceptor
	// Of a loop that has ended nothing is refused any more.
	_ = a.CallFromThread(func() { a.CallLater(refusalLog, r.tellRefusals) })
}

// tellRefusals tells of the refusals that were not logged. On the acceptor.
func (r *Reactor) tellRefusals() {
	r.refusing.Store(false)
	if more := r.refusedMore.Swap(0); more > 0 {
		r.log.Warn("more connections were refused", "count", more, "within", refusalLog)
	}
}

// retryable tells the errors after which the same call may go well. It is asked
// at each read, and what a Sys returns is no wrapper.
func retryable(err error) bool {
	return err == syscall.EAGAIN || err == syscall.EINTR //nolint:errorlint // see above
}
