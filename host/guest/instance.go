package guest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/internal/meter"
	"github.com/wirehost/wirehost/reactor"
)

// Instance is one running instance of a guest. It belongs to one goroutine at a time:
// to whoever starts it, then to the event loop of its place.
type Instance struct {
	ctx   callContext
	guard *meter.Guard
	guest *Guest
	place *Place // nil until it is committed

	account *Account // the guest's
	mod     api.Module
	mem     api.Memory

	made, data, lost api.Function          // what is called most
	late             [exports]api.Function // the others, made when first called
	stack            [8]uint64             // parameters and results of the running call

	recvPtr, recvCap uint32
	phase            phase
	left             time.Duration // of a start, for all of its calls; 0 behind it
	dead             error         // why no callback may follow
	closed           bool
	watch            *watch   // nil = nothing
	running          *running // the callback that runs, where it is watched; else nil
	brief            bool     // it is started on its loop
	moving           *Place   // to which a state is being moved into it, on its loop; else nil
	retiring         bool     // it has nothing left but its stopFactory

	cur        *conn // the one that was asked for last
	conns      map[int32]*conn
	timers     map[int32]*timer
	out        int      // outgoing connections, those on their way too
	pieces     [][]byte // of a writeSequence
	prefix     string   // for log lines
	prefixCost int      // of each line, in bytes
	stdout     lineLog
	stderr     lineLog
}

// ErrSlow says that a start on a loop took longer than it may, and was given up.
var ErrSlow = errors.New("the start takes longer than a loop may wait")

// Start makes an instance and starts it, up to startFactory, whose timers are held back
// until Commit. A within above 0 says that a loop waits: a start that takes longer, or
// longer than a callback may, is ErrSlow. With 0 no loop waits, and it may take ten times
// as long as a callback. Another error is a *TrapError or ErrNoRoom; on each, the
// instance is closed.
func (g *Guest) Start(within time.Duration) (*Instance, error) {
	i := g.newInstance()
	i.brief, i.left = within > 0, startups*g.limits.CallbackTime
	if i.brief {
		i.left = min(within, g.limits.CallbackTime)
	}
	err := i.startSafely()
	i.left = 0
	if err == nil {
		return i, nil
	}
	i.Close()
	if i.brief && causeOf(err) == CauseTime {
		return nil, fmt.Errorf("%w: %w", ErrSlow, err)
	}
	return nil, err
}

// newInstance is an instance without a module.
func (g *Guest) newInstance() *Instance {
	i := &Instance{guest: g, account: g.account, conns: map[int32]*conn{}, timers: map[int32]*timer{}}
	i.watch = g.account.watch.Load()
	i.stdout, i.stderr = lineLog{stream: "stdout"}, lineLog{stream: "stderr"}
	i.guard = meter.NewGuard(g.clocks.Spent, g.clocks.CPU)
	i.ctx = callContext{Context: meter.With(context.Background(), i.guard), inst: i}
	return i
}

// startSafely is start, where a panic, which would be a fault of wazero's, is an
// error as well: off the loops nobody else would stop it.
func (i *Instance) startSafely() (err error) {
	defer func() {
		if p := recover(); p != nil {
			i.account.Note(hclog.Error, panicNote, "version", i.guest.name, "panic", fmt.Sprint(p), "stack",
				string(debug.Stack()))
			err = i.fault(exInitialize, CauseOther, fmt.Errorf("panic: %v", p))
		}
	}()
	return i.start()
}

func (i *Instance) start() error {
	i.phase = phaseQuery
	if err := i.instantiate(); err != nil {
		return err
	}
	if i.guest.has[exInitialize] && !i.query(exInitialize, 0) {
		return i.dead
	}
	if !i.query(exReceiveBuffer, 1) {
		return i.dead
	}
	if err := i.setReceiveBuffer(i.stack[0]); err != nil {
		return err
	}
	if i.guest.has[exLogPrefix] {
		if !i.query(exLogPrefix, 1) {
			return i.dead
		}
		ptr, n := abi.Unpack(i.stack[0])
		if b, ok := i.mem.Read(ptr, min(n, maxPrefix)); ok && n > 0 {
			i.prefix = Clean(string(b))
			i.prefixCost = logged(i.prefix)
		}
	}
	if !i.tellMade() {
		return i.dead
	}
	if i.guest.has[exStartFactory] {
		if !i.run(phaseStart, exStartFactory, i.function(exStartFactory), 0, 1) {
			return i.dead
		}
		if code := api.DecodeI32(i.stack[0]); code != 0 {
			return i.fault(exStartFactory, CauseRefusedStart, fmt.Errorf("startFactory returned %d", code))
		}
	}
	return nil
}

// seedSize is how many random bytes a new instance is told, in bytes.
const seedSize = 32

// tellMade gives a new instance random bytes of its own, in its receive buffer, where it
// asks for them: what the module seeded at its start is the same in all instances of an
// image. false says that it trapped.
func (i *Instance) tellMade() bool {
	if !i.guest.has[exInstanceMade] {
		return true
	}
	size := min(i.recvCap, seedSize)
	seed, _ := i.mem.Read(i.recvPtr, size)
	rand.Read(seed) // never fails
	i.stack[0], i.stack[1] = api.EncodeU32(i.recvPtr), api.EncodeU32(size)
	return i.query(exInstanceMade, 2)
}

// startups is how many times as long as a callback a call of an instance may take
// that is not a loop's yet: a start, or a rehearsal's restore.
const startups = 10

// maxPrefix is how much of a log prefix is kept, in bytes.
const maxPrefix = 64

func (i *Instance) instantiate() error {
	mem, err := i.guest.reserve()
	if err != nil {
		return err
	}
	defer func() {
		if i.mod == nil { // wazero does not free what it could not finish
			i.mem = nil
			mem.Free()
		}
	}()
	guarded := i.ctx.Context
	i.ctx.Context = experimental.WithMemoryAllocator(guarded, mem.allocator())
	i.guard.Arm(i.left)
	mod, err := i.guest.program.rt.InstantiateModule(&i.ctx, i.guest.program.compiled,
		wazero.NewModuleConfig().WithName("").WithStartFunctions())
	i.ctx.Context = guarded
	i.spend()
	if err != nil {
		return i.fault(exInitialize, causeOf(err), err)
	}
	i.mod, i.mem = mod, mod.Memory()
	i.made, i.data, i.lost = i.function(exConnectionMade), i.function(exDataReceived), i.function(exConnectionLost)
	return nil
}

func (i *Instance) setReceiveBuffer(packed uint64) error {
	ptr, size := abi.Unpack(packed)
	if size < 1 || size > abi.MaxReceiveBuffer {
		return i.fault(exReceiveBuffer, CauseReceiveBuffer,
			fmt.Errorf("found a buffer of %d bytes, wanted 1 to %d", size, abi.MaxReceiveBuffer))
	}
	if _, ok := i.mem.Read(ptr, size); !ok {
		return i.fault(exReceiveBuffer, CauseReceiveBuffer,
			fmt.Errorf("found a buffer at %#x of %d bytes, outside the memory of %d bytes", ptr, size, i.mem.Size()))
	}
	i.recvPtr, i.recvCap = ptr, size
	return nil
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
		i.query(exStopFactory, 0)
	}
	if i.dead == nil {
		i.dead = errRetired
		i.closeSoon()
	}
}

var errRetired = errors.New("host: the instance has ended")

// Dead tells why no callback may follow, or nil.
func (i *Instance) Dead() error { return i.dead }

// Usable tells whether callbacks may follow: the instance is neither dead nor about to retire.
func (i *Instance) Usable() bool { return i.dead == nil && !i.retiring }

// CountConnections counts the instance's connections.
func (i *Instance) CountConnections() int { return len(i.conns) }

// Memory is the instance's linear memory, in bytes.
func (i *Instance) Memory() uint64 {
	if i.closed {
		return 0
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
	i.account.warn(endedNote, "version", i.guest.name, "bytes", size, "connections", len(i.conns))
	i.dropTimers()
	for _, c := range i.conns {
		c.t.Abort(reactor.OverLimit, cause)
	}
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
	share := i.place.Share
	share.CallLater(0, func() {
		began := i.guest.clocks.Spent()
		i.Close()
		share.Spent(i.guest.clocks.Spent() - began)
	})
}

// Close frees an instance, with no callback. Twice is as good as once.
func (i *Instance) Close() {
	if i.closed {
		return
	}
	i.closed = true
	if i.place != nil {
		delete(i.place.all, i)
	}
	defer i.guest.owner.Closed()
	i.stdout.end(i)
	i.stderr.end(i)
	for _, t := range i.timers {
		i.account.timers.free(t.handle)
	}
	i.timers = nil
	if i.mod == nil {
		return
	}
	if err := i.mod.Close(context.Background()); err != nil {
		i.account.warn(closeNote, "version", i.guest.name, "err", err)
	}
}

// settle retires an instance that has nothing left to do: at a place that is closing,
// with its last connection; one that is for a single connection, when its timers are
// done too. On its loop.
func (i *Instance) settle() {
	if i.dead != nil || i.retiring || len(i.conns) > 0 {
		return
	}
	if i.place.closing || i.guest.single && len(i.timers) == 0 {
		i.retire()
	}
}

// receiveBuffer is where the guest wants its bytes. The view is taken anew each
// time: linear memory may have grown, and moved where it can't be reserved.
func (i *Instance) receiveBuffer() []byte {
	if i.dead != nil {
		return i.account.scratch
	}
	b, _ := i.mem.Read(i.recvPtr, i.recvCap)
	return b
}

// conn is the connection of a handle, or nil.
func (i *Instance) conn(handle int32) *conn {
	if c := i.cur; c != nil && c.handle == handle {
		return c
	}
	c := i.conns[handle]
	if c != nil && i.phase != phaseBuild { // there cur alone leads to the new one
		i.cur = c
	}
	return c
}
