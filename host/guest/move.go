package guest

import (
	"errors"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/wirehost/wirehost/abi"
)

// State moves from an instance of one guest to a new instance of another,
// between two callbacks. Callbacks run to completion and the two instances
// share nothing, so nothing can be half moved: until the commit the old one is
// as it was, but for what its saveState did.

// errDeclined says that saveState returned -1, or is not there.
var errDeclined = errors.New("saveState declined")

// refusal is what restoreState returned, where it was not 0.
type refusal struct{ code int32 }

func (e *refusal) Error() string { return fmt.Sprintf("restoreState refused (%d)", e.code) }

// hold is how long a move may keep a loop: no save or restore begins after that.
type hold struct {
	clocks *Clocks
	began  time.Duration // on Clocks.Spent
	cpu    time.Duration // on Clocks.CPU
	limit  time.Duration
	owed   time.Duration // what writing will take that is held back until the commit
}

// heldByte is what a byte that is held back takes the commit to write, to a TLS
// connection (0.9 ns measured).
const heldByte = time.Nanosecond

// leastHold is what a move may take where a callback may take less.
const leastHold = 10 * time.Millisecond

// hold begins one, of what g allows a callback. On a loop.
func (g *Guest) hold() hold {
	k := hold{clocks: &g.clocks, began: g.clocks.Spent(), limit: max(g.limits.CallbackTime, leastHold)}
	if g.clocks.CPU != nil {
		k.cpu = g.clocks.CPU()
	}
	return k
}

// over tells whether it is over; without a hold it never is. A time in which the process had a processor for less
// than half of it says nothing of the guest.
func (k *hold) over() bool {
	if k == nil || k.owed+k.clocks.Spent()-k.began < k.limit {
		return false
	}
	return k.clocks.CPU == nil || k.owed+k.clocks.CPU()-k.cpu >= k.limit/2
}

// errHeld says that a move was given up for its loop's sake.
type errHeld struct{ limit time.Duration }

func (e *errHeld) Error() string {
	return fmt.Sprintf("saving and restoring took longer than a loop may be held, %v: raise limits.callback_time",
		e.limit)
}

// stateVersion asks an instance for the number of its layout.
func (i *Instance) stateVersion() (int32, error) {
	if !i.guest.has[exStateVersion] {
		return 0, nil
	}
	if !i.query(exStateVersion) {
		return 0, i.dead
	}
	return api.DecodeI32(i.stack[0]), nil
}

// saveState asks an instance for the state of a connection, or of its factory
// (0). The bytes are a view of its memory, valid until it is called again.
func (i *Instance) saveState(conn int32) ([]byte, error) {
	if !i.guest.has[exSaveState] {
		return nil, errDeclined
	}
	i.stack[0] = api.EncodeI32(conn)
	if !i.run(phaseQuery, exSaveState, conn) {
		return nil, i.dead
	}
	if i.stack[0] == abi.Declined {
		return nil, errDeclined
	}
	ptr, size := abi.Unpack(i.stack[0])
	if limit := int64(i.guest.limits.State); int64(size) > limit {
		return nil, fmt.Errorf("saveState: found %d bytes, wanted at most limits.state, %d", size, limit)
	}
	if size == 0 {
		return []byte{}, nil
	}
	b, ok := i.mem.Read(ptr, size)
	if !ok {
		return nil, fmt.Errorf("saveState: found a range at %#x of %d bytes, outside the memory of %d bytes", ptr, size,
			i.mem.Size())
	}
	return b, nil
}

// restoreState gives an instance a state, in place of connectionMade.
// k is the hold of the loop that waits; nil where none does.
func (i *Instance) restoreState(conn, version int32, state []byte, k *hold) error {
	if !i.guest.has[exRestoreState] {
		return errors.New("the new version has no restoreState")
	}
	ptr, err := i.roomFor(state)
	if err != nil {
		return err
	}
	if k.over() { // in restoreBuffer
		return &errHeld{k.limit}
	}
	i.stack[0], i.stack[1] = api.EncodeI32(conn), api.EncodeI32(version)
	i.stack[2], i.stack[3] = uint64(ptr), uint64(len(state))
	if !i.run(phaseRestore, exRestoreState, conn) {
		return i.dead
	}
	if code := api.DecodeI32(i.stack[0]); code != 0 {
		return &refusal{code}
	}
	return nil
}

// roomFor puts a state where the guest can read it: into the registered buffer
// where it fits, else into what restoreBuffer gives.
func (i *Instance) roomFor(state []byte) (ptr uint32, err error) {
	ptr = i.recvPtr
	if len(state) > int(i.recvCap) {
		if !i.guest.has[exRestoreBuffer] {
			return 0, fmt.Errorf("found a state of %d bytes, which the receive buffer of %d does not hold, and no "+
				"restoreBuffer", len(state), i.recvCap)
		}
		i.stack[0] = uint64(len(state))
		if !i.run(phaseQuery, exRestoreBuffer, 0) {
			return 0, i.dead
		}
		if ptr = api.DecodeU32(i.stack[0]); ptr == 0 {
			return 0, fmt.Errorf("restoreBuffer refused %d bytes", len(state))
		}
	}
	if len(state) > 0 && !i.mem.Write(ptr, state) {
		return 0, fmt.Errorf("restoreBuffer: found a range at %#x of %d bytes, outside the memory of %d bytes", ptr,
			len(state), i.mem.Size())
	}
	return ptr, nil
}

// Move takes everything that old has to a started instance that has nothing, and
// commits that to its place: all of it, or nothing and an error. Then old may go
// on, unless it trapped in saveState, and fresh must be closed. On the loop of
// both.
func Move(old, fresh *Instance, to *Place) error {
	if err := fresh.guest.canTake(old); err != nil {
		return err
	}
	k := fresh.guest.hold()
	fresh.moving = to
	err := moveStates(old, fresh, &k)
	fresh.moving = nil
	if err != nil {
		fresh.dropMoved()
		return err
	}
	commitMove(old, fresh, to)
	return nil
}

func moveStates(old, fresh *Instance, k *hold) error {
	version, err := old.stateVersion()
	if err != nil {
		return err
	}
	if err := copyState(old, fresh, 0, version, k); err != nil && !errors.Is(err, errDeclined) {
		return fmt.Errorf("the factory's state: %w", err)
	}
	if err := moveListenerStates(old, fresh, version, k); err != nil {
		return err
	}
	for c := range old.conns.all() {
		fresh.conns.add(c)
		if err := copyState(old, fresh, c.handle, version, k); err != nil {
			return err
		}
	}
	return moveSockets(old, fresh, version, k)
}

// moveListenerStates asks for the state of each listener, which moves without one, too.
func moveListenerStates(old, fresh *Instance, version int32, k *hold) error {
	for handle, l := range old.listeners {
		if l.in.Load() != old {
			continue
		}
		fresh.promise(l)
		err := copyState(old, fresh, handle, version, k)
		if declined := new(refusal); err != nil && !errors.Is(err, errDeclined) && !errors.As(err, &declined) {
			return fmt.Errorf("listener %d: %w", handle, err)
		}
	}
	return nil
}

// canTake holds what is alive against what the new module exports.
func (g *Guest) canTake(old *Instance) error {
	if !g.has[exDelayedCall] && len(old.timers) > 0 {
		return errors.New("timers are alive, and the new version has no delayedCall")
	}
	if !g.ReceivesConnections() && old.conns.len() > 0 {
		return errDatagramsAlone
	}
	for c := range old.conns.all() {
		if c.stage == stageConnecting && !g.has[exClientConnectionFailed] {
			return errors.New("a connection is being made, and the new version has no clientConnectionFailed")
		}
		if c.producing && !(g.has[exPauseProducing] && g.has[exResumeProducing] && g.has[exStopProducing]) {
			return errors.New("a producer is registered, and the new version has no callbacks for it")
		}
	}
	return g.canTakeSockets(old)
}

func copyState(old, fresh *Instance, conn, version int32, k *hold) error {
	if k.over() {
		return &errHeld{k.limit}
	}
	state, err := old.saveState(conn)
	if err != nil {
		return err
	}
	if k.over() {
		return &errHeld{k.limit}
	}
	err = fresh.restoreState(conn, version, state, k)
	if c := fresh.conns.get(conn); c != nil {
		k.owed += time.Duration(len(c.held)) * heldByte
	}
	return err
}

// dropMoved drops what restoreState has left in an instance that will not run.
func (i *Instance) dropMoved() {
	for c := range i.conns.all() {
		c.held = nil
	}
	i.conns = connections{}
	i.cur = nil
	i.dropMovedSockets()
}

// commitMove makes the new instance the one that is called. From here on
// nothing can fail.
func commitMove(old, fresh *Instance, to *Place) {
	old.cur = nil
	for c := range old.conns.all() {
		c.in = fresh
	}
	for handle, t := range old.timers {
		t.in = fresh
		if fresh.timers == nil {
			fresh.timers = map[int32]*timer{}
		}
		fresh.timers[handle] = t
	}
	fresh.out = old.out
	old.out = 0
	fresh.layered, fresh.deepest = old.layered, old.deepest
	old.conns = connections{}
	clear(old.timers)
	old.leaving = true
	begin := commitSockets(old, fresh)
	fresh.Commit(to)
	fresh.takeListeners(old) // before it is called: it may stop one, or trap
	for _, s := range begin {
		s.Begin(fresh)
	}
	for c := range fresh.conns.all() {
		c.writeHeld()
	}
	fresh.settle()
	old.retire()
}

// writeHeld writes what restoreState wrote. Over the hard cap the connection ends, and its
// guest is told.
func (c *conn) writeHeld() {
	if len(c.held) > 0 {
		_, _ = c.t.Write(c.held)
		c.held = nil
	}
}
