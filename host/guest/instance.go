package guest

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/wirehost/wirehost/internal/gate"
	"github.com/wirehost/wirehost/internal/meter"
	"github.com/wirehost/wirehost/reactor"
)

// Instance is one running instance of a guest. It belongs to one goroutine at a time:
// to whoever starts it, then to the event loop of its place.
type Instance struct {
	guest   *Guest
	account *Account // the guest's
	place   *Place   // nil until it is committed

	cell  *cell        // nil while it is paged out
	mem   api.Memory   // the cell's
	guard *meter.Guard // the cell's
	saved []byte       // what it is while it is in no cell; see difference.go
	seat  int32        // in pool.busy, from 1 on; 0 = it keeps its cell
	calls uint32       // since the last sweep of the pool

	stack [gate.Params + 1]uint64 // parameters and result of the running call

	recvPtr, recvCap uint32
	phase            phase
	quiet            uint8 // sweeps since the last call
	closed           bool
	ending           bool          // it ends with its last connection
	brief            bool          // it is started on its loop
	retiring         bool          // it has nothing left but its stopFactory
	leaving          bool          // what it had has moved, and it is to retire
	unmeasured       bool          // a metric of its own was refused
	left             time.Duration // of a start, for all of its calls; 0 behind it
	dead             error         // why no callback may follow
	watch            *watch        // nil = nothing
	running          *running      // the callback that runs, where it is watched; else nil
	moving           *Place        // to which a state is being moved into it, on its loop; else nil

	cur        *conn // the one that was asked for last
	conns      connections
	listeners  map[int32]*listener // nil = none yet; those too that are to move to it
	heir       Heir
	takes      []int32           // handles of listeners that it is to have alone; nil = as heir says
	stopped    atomic.Int32      // listeners whose sockets are about to be closed
	sockets    map[int32]*Socket // nil = none yet
	sock       *Socket           // the one that was asked for last
	timers     map[int32]*timer  // nil = none yet
	pieces     [][]byte          // of a writeSequence
	prefix     string            // for log lines
	prefixCost int32             // of each line, in bytes
	out        int32             // outgoing connections, those on their way too
	opened     int32             // sockets of datagram.open
	layered    int32             // connections that other plugins have made
	deepest    int32             // of those, since there was none: see depth
	stdout     lineLog
	stderr     lineLog
}

// Commit gives a started instance to its place, on the loop of that, and lets the
// timers run that startFactory asked for.
func (i *Instance) Commit(p *Place) {
	i.place = p
	i.watch = i.account.watch.Load() // it may have begun, or ended, since the start
	if p.all == nil {
		p.all = map[*Instance]struct{}{}
	}
	p.all[i] = struct{}{}
	for _, t := range i.timers {
		t.start()
	}
	i.openSockets()
	i.commitListeners()
	if i.guest.pages() && i.cell.based {
		p.makeRoom()
		p.admit(i)
	}
}

// retire ends an instance that has no connections left: stopFactory, when its
// share of the loop's turn has room for it, and nothing else. On its loop.
func (i *Instance) retire() {
	if i.dead != nil || i.retiring {
		return
	}
	i.retiring = true
	i.dropTimers()
	i.place.Share.Call(i.callStopFactory)
}

// callStopFactory is the last call of an instance. On its loop, or after the loops have ended.
func (i *Instance) callStopFactory() {
	if i.dead != nil || i.closed {
		return
	}
	if i.guest.has[exStopFactory] {
		i.query(exStopFactory)
	}
	if i.dead != nil {
		return
	}
	i.dead = errRetired
	if i.guest.pages() { // nothing of it is up the stack, and others may wait for its cell
		i.closeNow()
	} else {
		i.closeSoon()
	}
}

var errRetired = errors.New("host: the instance has ended")

// Dead tells why no callback may follow, or nil.
func (i *Instance) Dead() error { return i.dead }

// mayBegin tells whether the instance may have something new: not where it is about to end.
func (i *Instance) mayBegin() bool { return !i.leaving && (i.place == nil || !i.place.over) }

// Usable tells whether callbacks may follow: the instance is neither dead nor about to retire.
func (i *Instance) Usable() bool { return i.dead == nil && !i.retiring }

// CountConnections counts the instance's connections.
func (i *Instance) CountConnections() int { return i.conns.len() }

// Memory is the instance's linear memory, in bytes; while it is paged out, what it has
// written.
func (i *Instance) Memory() uint64 {
	switch {
	case i.closed:
		return 0
	case i.cell == nil:
		return uint64(len(i.saved))
	}
	return uint64(i.mem.Size())
}

// Discard ends an instance and its connections for the sake of others, with cause, and
// tells how many bytes that frees. On its loop.
func (i *Instance) Discard(cause error) uint64 {
	if i.dead != nil {
		return 0
	}
	size := i.Memory()
	i.dead = cause
	i.account.warn(endedNote, "version", i.guest.name, "bytes", size, "connections", i.conns.len(), "err",
		CleanLine(cause))
	i.dropTimers()
	i.loseListeners()
	for c := range i.conns.all() {
		c.t.Abort(reactor.OverLimit, cause)
	}
	i.loseSockets(reactor.OverLimit, cause)
	i.closeSoon()
	return size
}

// closeSoon frees the instance in a later turn of the loop: views of its memory may
// be in use up the stack. That counts as the plugin's time: to unmap what a guest has
// touched takes 40 µs for each MiB, and a thousand instances may end in one turn.
func (i *Instance) closeSoon() {
	if i.place == nil || i.place.stopped {
		i.Close()
		return
	}
	i.place.Share.CallLater(0, i.closeNow)
}

// closeNow frees the instance on its loop, in the plugin's time.
func (i *Instance) closeNow() {
	began := i.guest.clocks.Spent()
	i.Close()
	if share := i.place.Share; share != nil { // the loop has not ended
		share.Spent(i.guest.clocks.Spent() - began)
	}
}

// Close frees an instance, with no callback. Twice is as good as once.
func (i *Instance) Close() {
	if i.closed {
		return
	}
	i.closed = true
	defer i.guest.owner.Closed() // last: then the program may be freed
	p := i.place
	if p != nil {
		delete(p.all, i)
		defer p.drain()
		p.pool.dismiss(i)
	}
	i.stdout.end(i)
	i.stderr.end(i)
	i.dropListeners()
	for _, t := range i.timers {
		i.account.timers.free(t.handle)
	}
	i.forgetUnopened()
	i.timers, i.saved = nil, nil
	switch {
	case i.cell == nil:
	case p == nil:
		i.guest.closeCell(i.leave())
	default:
		p.giveBack(i, i.leave())
	}
}

// settle retires an instance that has nothing left to do: at a place that is closing,
// with its last connection; one that is for a single connection, when its timers are
// done too. One that listens goes on. On its loop.
func (i *Instance) settle() {
	if i.dead != nil || i.retiring || i.conns.len() > 0 || len(i.sockets) > 0 || i.Listens() {
		return
	}
	if i.place.closing || i.ending || i.guest.single && len(i.timers) == 0 {
		i.retire()
	}
}

// receiveBuffer is where the guest wants its bytes. The view is taken anew each
// time: linear memory may have grown, and moved where it can't be reserved. It is valid
// until the loop calls anything else.
func (i *Instance) receiveBuffer() []byte {
	if i.dead != nil || i.cell == nil && !i.pageIn() {
		return i.place.trash()
	}
	b, _ := i.mem.Read(i.recvPtr, i.recvCap)
	return b
}

// conn is the connection of a handle, or nil.
func (i *Instance) conn(handle int32) *conn {
	if c := i.cur; c != nil && c.handle == handle {
		return c
	}
	c := i.conns.get(handle)
	if c != nil && i.phase != phaseBuild { // there cur alone leads to the new one
		i.cur = c
	}
	return c
}
