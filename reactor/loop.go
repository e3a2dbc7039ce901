package reactor

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// ErrStopped is returned by CallFromThread after the loop has ended.
var ErrStopped = errors.New("reactor: the loop has ended")

const (
	// maxRead is the most that one DataReceived gets.
	maxRead = 64 << 10
	// gatherSize is the room in which a loop gathers a callback's small writes.
	gatherSize = 64 << 10
	// directWrite is the length from which a piece is written straight from
	// the caller's memory when nothing is queued before it.
	directWrite = 4 << 10
	// listenerToken marks the tokens of listening sockets.
	listenerToken = 1 << 63
)

// Loop is one event loop: it owns its connections, timers and their protocols,
// and is the only caller of all of them. Other goroutines reach it through
// CallFromThread alone.
type Loop struct {
	r      *Reactor
	index  int
	sys    Sys
	poller Poller
	now    time.Duration // of this turn

	slots []*connection
	gens  []uint32
	free  []uint32
	ready []Ready

	timers   timerHeap
	timerSeq uint64

	timersAt  time.Duration // when timers were looked at last
	timersSeq uint64        // timerSeq then

	gather     []byte      // small writes of the callback that runs now; grows to what is needed
	gatherMax  int         // bytes that it may hold: gatherSize, or less under a small cap
	gatherConn *connection // to whom they go
	readBuf    []byte      // for protocols without a buffer of their own; made when first needed
	cipherBuf  []byte      // TLS records as read; made when first needed
	half       []byte      // where the next record is kept that has come in part; nil = there is none
	sealed     []byte      // TLS records of one connection, on their way from a call to the socket or its queue
	awake      []*records  // TLS sessions that have their ciphers
	rests      bool        // restSessions is to come
	iov        [][]byte
	chunks     [][]byte
	chunksOut  int           // chunks that connections hold
	chunksMax  int           // how many they may; 0 = any number
	pending    []*connection // something is to be told or done after the running callback
	dirty      []*connection // queued output to be tried at the end of the turn
	next       []*connection // to be looked at again in the next turn
	spare      []*connection // next's other half
	spareAt    int           // how far it is worked off; short of its end after a panic
	current    *connection   // whose event is being told, for the panic report

	awaiting   map[*connection]Later // whom connections wait for; made when first needed
	turnSeq    uint64
	lateShares []*Share        // those that have used up their share of a turn
	postponed  int             // things in the queues of all shares
	ran        [sampled]*Share // who made the last callbacks
	pieces     uint            // how many of ran are of now
	markedAt   time.Duration   // when the first of ran began
	known      time.Duration   // of the time since, what is accounted for

	listeners map[uint64]*Listener // by token; of the acceptor only
	rivals    map[uint64]*rival    // by token; made when first needed

	datagrams       map[uint64]*DatagramSocket // by token; made when first needed, as the next two are
	packets         DatagramIO
	toSend          []Datagram
	settling        []*DatagramSocket // as pending
	currentDatagram *DatagramSocket   // as current, while its protocol is called

	steps    *pipe    // the first of the handshakes that are to compute; the others come after it
	lastStep *pipe    // of them
	flights  [][]byte // buffers for handshakes' records

	parker parker // the poller, where it is one
	parks  int    // how often it is yet to park

	links   []*linkEnd               // ends of which there is something to tell
	linksAt int                      // how far they are worked off; short of their end after a panic
	behind  map[*connection][]func() // what waits for its handshake; made when first needed
	landing *linkEnd                 // whose protocol's buffer has bytes of the callback that runs now
	landed  []byte                   // those

	count     atomic.Int32 // connections, those on their way here too
	lingering atomic.Int32 // those without a protocol, waiting for their peer
	sleeping  atomic.Bool
	turns     loopCounters
	details   LoopDetails

	mu      sync.Mutex
	inbox   []call
	stopped bool
	taken   []call        // the inbox's other half
	takenAt int           // how far it is worked off; short of its end after a panic
	ending  bool          // told to end; loop only
	endBy   time.Duration // when what is left is not told any more; loop only, once ending is set
	tooLate int           // Connects after the end
	done    chan struct{}
}

// call is what another goroutine gives a loop: a function, or an accepted
// socket with its listener.
type call struct {
	fn       func()
	accepted FD
	listener *Listener
	inside   *linkEnd // accepted, in place of a socket
	share    *Share   // whose time it takes; of an accepted socket found by its loop
	peer     *peer    // that an accepted socket counts to; nil = none
}

// loopCounters are written by the loop once a turn and read by any goroutine.
type loopCounters struct {
	bytesIn, bytesOut uint64 // loop only
	in, out           atomic.Uint64
	opened, lost      atomic.Uint64
}

// LoopStats are a loop's counters. Bytes are those of its sockets.
type LoopStats struct {
	Connections       int    // open ones, accepted and outgoing
	Opened, Lost      uint64 // connections, ever; one that moves is opened in one reactor and lost in another
	BytesIn, BytesOut uint64 // ever
}

func newLoop(r *Reactor, index int) (*Loop, error) {
	p, err := r.sys.NewPoller()
	if err != nil {
		return nil, fmt.Errorf("reactor: poller: %w", err)
	}
	parks, _ := p.(parker)
	return &Loop{
		r: r, index: index, sys: r.sys, poller: p, parker: parks, now: r.sys.Now(),
		ready:     make([]Ready, readyBatch),
		gatherMax: min(gatherSize, r.cfg.MaxQueued), iov: make([][]byte, 0, 64),
		listeners: map[uint64]*Listener{}, done: make(chan struct{}),
		chunksMax: int(r.cfg.MaxQueuedAll / uint64(r.cfg.Loops) / chunkSize),
	}, nil
}

// Index is the loop's place in Reactor.Loops. Any goroutine.
func (l *Loop) Index() int { return l.index }

// Now is the time of this turn, on the Sys's monotonic clock. Loop only.
func (l *Loop) Now() time.Duration { return l.now }

// Stats reads the loop's counters. Any goroutine.
func (l *Loop) Stats() LoopStats {
	return LoopStats{
		Connections: int(l.count.Load()), Opened: l.turns.opened.Load(), Lost: l.turns.lost.Load(),
		BytesIn: l.turns.in.Load(), BytesOut: l.turns.out.Load(),
	}
}

// CallFromThread runs fn on the loop, in its next turn (Twisted's
// reactor.callFromThread). Any goroutine. Either fn runs or ErrStopped is
// returned.
func (l *Loop) CallFromThread(fn func()) error { return l.post(call{fn: fn}) }

func (l *Loop) post(c call) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return ErrStopped
	}
	l.inbox = append(l.inbox, c)
	// The loop says that it sleeps before it looks into the inbox for the
	// last time, so either it sees this call or we see it sleep.
	if l.sleeping.Load() {
		return l.poller.Wake()
	}
	return nil
}

func (l *Loop) run() {
	defer close(l.done)
	for !l.ending {
		l.runTurns()
	}
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
	for !l.closeDown() {
	}
	if l.packets != nil {
		if err := l.packets.Close(); err != nil {
			l.r.log.Warn("memory for datagrams", "loop", l.index, "err", err)
		}
	}
	if err := l.poller.Close(); err != nil {
		l.r.log.Warn("closing a poller", "loop", l.index, "err", err)
	}
}

// runTurns turns until the loop is told to stop, or until a native protocol
// panics: that protocol's connection is aborted, and the caller starts again.
// So the guard costs nothing per callback.
func (l *Loop) runTurns() {
	defer func() {
		if p := recover(); p != nil {
			l.endPanicked(p)
		}
	}()
	for !l.ending {
		l.turn(true)
	}
}

func (l *Loop) endPanicked(p any) {
	l.r.log.Error("panic in a protocol or a delayed call",
		"loop", l.index, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	if d := l.currentDatagram; d != nil {
		l.currentDatagram = nil
		d.endWith(ProtocolFailed, fmt.Errorf("panic: %v", p))
		return
	}
	if c := l.current; c != nil {
		l.current = nil
		c.endWith(ProtocolFailed, fmt.Errorf("panic: %v", p))
	}
}

// turn runs one iteration: what was posted, then ready sockets, then timers,
// then output that was queued for connections other than the one in callback,
// then what the owners may have that were late in the last one.
func (l *Loop) turn(block bool) (progress bool) {
	l.turnSeq++
	late := len(l.lateShares)
	for _, s := range l.lateShares { // a panic may have come when it was no more
		s.late = true
	}
	if len(l.pending) > 0 || l.gatherConn != nil || l.landing != nil || len(l.settling) > 0 { // a panic has left it
		l.now = l.sys.Now()
		l.settle()
	}
	progress = l.runInbox()
	n := l.awaitEvents(block && !progress)
	start := l.sys.Now()
	l.now = start
	l.markTime(start)
	for i := range n {
		l.dispatch(l.ready[i])
	}
	progress = l.runNext() || n > 0 || progress
	progress = l.runLinks() || progress
	progress = l.runTimers() || progress
	progress = l.flushDirty() || progress
	if late > 0 {
		progress = l.runLate(late) || progress
		progress = l.flushDirty() || progress
	}
	if progress {
		l.publishCounters(start)
	}
	if l.steps != nil {
		progress = l.runSteps(l.sys.Now()-start) || progress
	}
	return progress || l.postponed > 0
}

// publishCounters publishes the turn's counters.
func (l *Loop) publishCounters(start time.Duration) {
	l.turns.in.Store(l.turns.bytesIn)
	l.turns.out.Store(l.turns.bytesOut)
	l.details.addTurn(l.sys.Now() - start)
}

func (l *Loop) runInbox() bool {
	if l.takenAt == len(l.taken) {
		l.mu.Lock()
		l.taken, l.inbox, l.takenAt = l.inbox, l.taken[:0], 0
		l.mu.Unlock()
	}
	if len(l.taken) == 0 {
		return false
	}
	l.now = l.sys.Now()
	l.markTime(l.now)
	for l.takenAt < len(l.taken) {
		c := l.taken[l.takenAt]
		l.taken[l.takenAt] = call{}
		l.takenAt++
		if c.listener != nil {
			c.share = c.listener.shareOn(l)
		}
		if c.share.Late() {
			c.share.postpone(c)
			continue
		}
		l.takeCall(c)
		l.settle()
	}
	return true
}

// takeCall does what another goroutine has posted.
func (l *Loop) takeCall(c call) {
	switch {
	case c.fn != nil:
		c.fn()
	case l.stopped:
		l.dropAccepted(c)
	case c.inside != nil:
		l.adoptInside(c)
	default:
		l.adoptSocket(c)
	}
}

func (l *Loop) dispatch(r Ready) {
	if r.Token&listenerToken != 0 {
		if ln := l.listeners[r.Token]; ln != nil {
			ln.acceptWaiting()
		} else if d := l.datagrams[r.Token]; d != nil {
			d.takeEvents(r.Events)
		} else if v := l.rivals[r.Token]; v != nil {
			v.takeEvents()
		}
		l.settle()
		return
	}
	slot := uint32(r.Token)
	if int(slot) >= len(l.slots) {
		return
	}
	c := l.slots[slot]
	if c == nil || c.token() != r.Token {
		return // an event of a connection that ended earlier in this turn
	}
	l.current = c
	if c.share.Late() && c.stage != stageLingering {
		c.postponeEvents(r.Events)
	} else {
		c.takeEvents(r.Events)
	}
	l.settle()
	l.current = nil
}

// settle ends a callback: its small writes go out, and what it caused is told,
// and what that causes, until nothing is left.
func (l *Loop) settle() {
	l.flushWritten()
	for i := 0; i < len(l.pending); i++ {
		c := l.pending[i]
		if c == nil { // told before a panic cut the last round short
			continue
		}
		l.pending[i] = nil
		c.flags &^= flagPending
		was := l.current
		l.current = c
		c.settle()
		l.current = was
		l.flushWritten()
	}
	l.pending = l.pending[:0]
	if len(l.settling) > 0 {
		l.settleDatagrams()
	}
}

// runNext looks at the connections that asked for the next turn: pull
// producers, and bytes that were read but not delivered.
func (l *Loop) runNext() bool {
	if l.spareAt == len(l.spare) {
		l.spare, l.next, l.spareAt = l.next, l.spare[:0], 0
	}
	if len(l.spare) == 0 {
		return false
	}
	for l.spareAt < len(l.spare) {
		c := l.spare[l.spareAt]
		l.spare[l.spareAt] = nil
		l.spareAt++
		c.flags &^= flagNext
		l.current = c
		if c.share.Late() && c.stage < stageLost {
			c.flags |= flagAgain
			c.postpone()
		} else {
			c.takeTurn()
		}
		l.settle()
		l.current = nil
	}
	return true
}

func (l *Loop) flushDirty() bool {
	if len(l.dirty) == 0 {
		return false
	}
	for i := 0; i < len(l.dirty); i++ {
		c := l.dirty[i]
		if c == nil { // tried before a panic cut the last round short
			continue
		}
		l.dirty[i] = nil
		c.flags &^= flagDirty
		if c.flags&flagsStuck == 0 {
			c.flush()
		}
		l.settle()
	}
	l.dirty = l.dirty[:0]
	return true
}
