package host

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/meter"
	"github.com/wirehost/wirehost/reactor"
)

// export numbers the guest's functions, so that their handles lie in an array.
type export uint8

const (
	exInitialize export = iota
	exReceiveBuffer
	exStartFactory
	exStopFactory
	exBuildProtocol
	exConnectionMade
	exDataReceived
	exConnectionLost
	exReadConnectionLost
	exWriteConnectionLost
	exHandshakeCompleted
	exPauseProducing
	exResumeProducing
	exStopProducing
	exDelayedCall
	exClientConnectionFailed
	exLogPrefix
	exStateVersion
	exSaveState
	exRestoreState
	exRestoreBuffer
	exports
)

var exportNames = [exports]string{
	abi.ExportInitialize, abi.ExportReceiveBuffer, abi.ExportStartFactory, abi.ExportStopFactory,
	abi.ExportBuildProtocol, abi.ExportConnectionMade, abi.ExportDataReceived, abi.ExportConnectionLost,
	abi.ExportReadConnectionLost, abi.ExportWriteConnectionLost, abi.ExportHandshakeCompleted,
	abi.ExportPauseProducing, abi.ExportResumeProducing, abi.ExportStopProducing, abi.ExportDelayedCall,
	abi.ExportClientConnectionFailed, abi.ExportLogPrefix, abi.ExportStateVersion, abi.ExportSaveState,
	abi.ExportRestoreState, abi.ExportRestoreBuffer,
}

func (e export) String() string { return exportNames[e] }

// phase is what an instance is doing, and so what it may ask of the host.
type phase uint8

const (
	phaseIdle    phase = iota
	phaseRun           // a callback in which everything works
	phaseQuery         // only getters, config and log work
	phaseBuild         // buildProtocol: those, and timers
	phaseStart         // startFactory before its commit: write and callLater are held back
	phaseRestore       // restoreState before its commit: the same
)

// instance is one instance of a version's module. It belongs to one goroutine
// at a time: to whoever starts it, then to its event loop.
type instance struct {
	ctx   callContext
	guard *meter.Guard
	ver   *version
	slot  *slot         // nil until it is committed
	loop  *reactor.Loop // the slot's
	mod   api.Module
	mem   api.Memory

	made, data, lost api.Function          // the hot handles
	late             [exports]api.Function // the others, made when first called
	stack            [8]uint64             // parameters and results of the running call

	recvPtr, recvCap uint32
	phase            phase
	left             time.Duration // of a start, for all of its calls; 0 behind it
	dead             error         // why no callback may follow
	closed           bool
	trace            *traced // nil without one
	tracing          bool    // the running callback is traced
	brief            bool    // it is started on its loop
	kept             bool    // it could not be moved to a new version
	moving           *slot   // to which a state is being moved into it, on its loop; else nil
	retiring         bool    // it has nothing left but its stopFactory

	cur        *guestConn // the one that was asked for last
	conns      map[int32]*guestConn
	timers     map[int32]*guestTimer
	out        int      // outgoing connections, those on their way too
	pieces     [][]byte // of a writeSequence
	prefix     string   // for log lines
	prefixCost int      // of each line, in bytes
	stdout     lineLog
	stderr     lineLog
}

// callContext is the context of every call into an instance, and leads a host
// call back to it. It is never done.
type callContext struct {
	context.Context // with the guard
	inst            *instance
}

// newInstance makes an instance and starts it, up to startFactory, whose timers
// are held back until commit. On any goroutine, for which it may take long. The
// error is a *TrapError, errInstances or errNoRoom.
func (v *version) newInstance() (*instance, error) {
	if err := v.take(); err != nil {
		return nil, err
	}
	return v.makeInstance(false)
}

// quickInstance is newInstance on a loop: errSlow says that it took too long, and
// was given up.
func (v *version) quickInstance() (*instance, error) {
	if err := v.take(); err != nil {
		return nil, err
	}
	return v.makeInstance(true)
}

// take takes the place of an instance that is to be made.
func (v *version) take() error {
	if n := v.live.Add(1); v.cfg.Limits.Instances > 0 && int(n) > v.cfg.Limits.Instances {
		v.left()
		return fmt.Errorf("%s has %d instances: %w", v.name, v.cfg.Limits.Instances, errInstances)
	}
	v.plugin.instances.Add(1)
	return nil
}

// giveBack gives a place back.
func (v *version) giveBack() {
	v.plugin.instances.Add(-1)
	v.left()
}

// makeInstance makes an instance in a place that was taken, and gives that back
// where it fails.
func (v *version) makeInstance(brief bool) (*instance, error) {
	i := v.emptyInstance()
	i.brief, i.left = brief, startups*v.cfg.Limits.CallbackTime
	if brief {
		i.left = min(quickStart, v.cfg.Limits.CallbackTime)
	}
	began := v.plugin.host.spent()
	err := i.started()
	v.pace.note(v.plugin.host.spent() - began)
	i.left = 0
	if err == nil {
		return i, nil
	}
	i.close()
	if brief && causeOf(err) == CauseTime {
		v.pace.note(slowStart + 1)
		return nil, fmt.Errorf("%w: %w", errSlow, err)
	}
	return nil, err
}

// emptyInstance is an instance without a module.
func (v *version) emptyInstance() *instance {
	i := &instance{ver: v, conns: map[int32]*guestConn{}, timers: map[int32]*guestTimer{}}
	i.trace = v.plugin.trace.Load()
	i.stdout, i.stderr = lineLog{stream: "stdout"}, lineLog{stream: "stderr"}
	i.guard = meter.NewGuard(v.clock, v.cpu)
	i.ctx = callContext{Context: meter.With(context.Background(), i.guard), inst: i}
	return i
}

// started is start, where a panic, which would be a fault of the engine's, is an
// error as well: off the loops nobody else would stop it.
func (i *instance) started() (err error) {
	defer func() {
		if p := recover(); p != nil {
			i.ver.plugin.note(hclog.Error, panicNote, "version", i.ver.name, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = i.fault(exInitialize, CauseOther, fmt.Errorf("panic: %v", p))
		}
	}()
	return i.start()
}

// errInstances is the cause where a version's instances are all taken.
var errInstances = errors.New("over limits.instances")

func (i *instance) start() error {
	i.phase = phaseQuery
	if err := i.instantiate(); err != nil {
		return err
	}
	if i.ver.has[exInitialize] && !i.query(exInitialize, 0) {
		return i.dead
	}
	if !i.query(exReceiveBuffer, 1) {
		return i.dead
	}
	if err := i.setReceiveBuffer(i.stack[0]); err != nil {
		return err
	}
	if i.ver.has[exLogPrefix] {
		if !i.query(exLogPrefix, 1) {
			return i.dead
		}
		ptr, n := abi.Unpack(i.stack[0])
		if b, ok := i.mem.Read(ptr, min(n, maxPrefix)); ok && n > 0 {
			i.prefix = clean(b)
			i.prefixCost = logged(i.prefix)
		}
	}
	if i.ver.has[exStartFactory] {
		if !i.run(phaseStart, exStartFactory, i.handle(exStartFactory), 0, 1) {
			return i.dead
		}
		if code := api.DecodeI32(i.stack[0]); code != 0 {
			return i.fault(exStartFactory, CauseRefusedStart, fmt.Errorf("startFactory returned %d", code))
		}
	}
	return nil
}

// startups is how many times as long as a callback a call of an instance may take
// that is not a loop's yet: a start, or a rehearsal's restore.
const startups = 10

// maxPrefix is how much of a log prefix is kept, in bytes.
const maxPrefix = 64

func (i *instance) instantiate() error {
	mem, err := i.ver.reserve()
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
	mod, err := i.ver.prog.rt.InstantiateModule(&i.ctx, i.ver.prog.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	i.ctx.Context = guarded
	i.spend()
	if err != nil {
		return i.fault(exInitialize, causeOf(err), err)
	}
	i.mod, i.mem = mod, mod.Memory()
	i.made, i.data, i.lost = i.handle(exConnectionMade), i.handle(exDataReceived), i.handle(exConnectionLost)
	return nil
}

func (i *instance) setReceiveBuffer(packed uint64) error {
	ptr, size := abi.Unpack(packed)
	if size < 1 || size > abi.MaxReceiveBuffer {
		return i.fault(exReceiveBuffer, CauseReceiveBuffer, fmt.Errorf("found a buffer of %d bytes, wanted 1 to %d", size, abi.MaxReceiveBuffer))
	}
	if _, ok := i.mem.Read(ptr, size); !ok {
		return i.fault(exReceiveBuffer, CauseReceiveBuffer, fmt.Errorf("found a buffer at %#x of %d bytes, outside the memory of %d bytes", ptr, size, i.mem.Size()))
	}
	i.recvPtr, i.recvCap = ptr, size
	return nil
}

// handle is the function of an export that is known to be there.
func (i *instance) handle(e export) api.Function {
	if i.late[e] == nil {
		i.late[e] = i.mod.ExportedFunction(exportNames[e])
	}
	return i.late[e]
}

// query calls an export that asks nothing but getters of the host.
func (i *instance) query(e export, slots int) bool {
	return i.run(phaseQuery, e, i.handle(e), 0, slots)
}

// run calls a guest's function with i.stack, of which slots are its parameters
// or results, whichever are more. false says that it trapped.
func (i *instance) run(p phase, e export, f api.Function, conn int32, slots int) bool {
	i.phase = p
	limit := i.ver.cfg.Limits.CallbackTime
	switch {
	case i.left > 0:
		limit = i.left
	case i.onLoop() == nil: // none waits
		limit *= startups
	}
	i.guard.Arm(limit)
	var err error
	if i.trace == nil {
		err = f.CallWithStack(&i.ctx, i.stack[:slots])
	} else if r, on := i.beginTrace(e, conn); on {
		err = f.CallWithStack(&i.ctx, i.stack[:slots])
		i.endTrace(r, err)
	} else {
		err = f.CallWithStack(&i.ctx, i.stack[:slots])
	}
	i.phase = phaseIdle
	if s := i.onLoop(); s != nil {
		used := i.guard.Used()
		s.took.add(used)
		s.share.Spent(used)
	} else {
		i.spend()
	}
	if err != nil {
		i.trapped(e, conn, err)
		return false
	}
	return true
}

// onLoop is the slot whose loop waits for the instance's calls, or nil.
func (i *instance) onLoop() *slot {
	if i.slot != nil {
		return i.slot
	}
	return i.moving
}

// spend takes what a call of a start has used from what is left to it.
func (i *instance) spend() {
	if i.left > 0 {
		i.left = max(i.left-i.guard.Used(), time.Millisecond)
	}
}

// callback runs a callback of one connection, or timer.
func (i *instance) callback(e export, f api.Function, handle int32, slots int) bool {
	i.stack[0] = api.EncodeI32(handle)
	return i.run(phaseRun, e, f, handle, slots)
}

// fault makes the error of a start that failed for another reason than a trap.
func (i *instance) fault(e export, cause Cause, err error) *TrapError {
	return &TrapError{Plugin: i.ver.plugin.name, Version: i.ver.name, Export: e.String(), Cause: cause, Err: cutError(err)}
}

// trapped discards the instance: its connections are aborted, and no callback
// follows. A start's trap is told by newInstance's error alone.
func (i *instance) trapped(e export, conn int32, err error) {
	trap := i.fault(e, causeOf(err), err)
	if e != exDelayedCall {
		trap.Conn = conn
	}
	i.dead = trap
	i.stdout.end(i)
	i.stderr.end(i)
	if i.brief && i.left > 0 && trap.Cause == CauseTime {
		return // it is started again, and longer
	}
	i.ver.plugin.trapped(trap)
	if i.loop == nil {
		return
	}
	i.dropTimers()
	for _, c := range i.conns {
		c.t.Abort(reactor.ProtocolFailed, trap)
	}
	i.closeSoon()
}

// commit gives a started instance to its loop, on that loop, and lets the timers
// run that startFactory asked for.
func (i *instance) commit(s *slot) {
	i.slot, i.loop = s, s.loop
	i.trace = i.ver.plugin.trace.Load() // it may have begun, or ended, since the start
	s.all[i] = struct{}{}
	for _, t := range i.timers {
		t.start()
	}
}

// retire ends an instance that has no connections left: stopFactory, when its
// plugin has time for it, and nothing else. On its loop.
func (i *instance) retire() {
	if i.dead != nil || i.retiring {
		return
	}
	i.retiring = true
	i.dropTimers()
	i.slot.share.Call(i.stop)
}

// stop is the last call of an instance. On its loop, or after the loops have ended.
func (i *instance) stop() {
	if i.dead != nil || i.closed {
		return
	}
	if i.ver.has[exStopFactory] {
		i.query(exStopFactory, 0)
	}
	if i.dead == nil {
		i.dead = errRetired
		i.closeSoon()
	}
}

var errRetired = errors.New("host: the instance has ended")

// closeSoon frees the instance in a later turn of the loop: views of its memory may
// be in use up the stack. That counts as the plugin's time: to unmap what a guest has
// touched takes 40 µs for each MiB, and a thousand instances may end in one turn.
func (i *instance) closeSoon() {
	if i.loop == nil {
		i.close()
		return
	}
	share := i.slot.share
	share.CallLater(0, func() {
		began := i.ver.plugin.host.spent()
		i.close()
		share.Spent(i.ver.plugin.host.spent() - began)
	})
}

func (i *instance) close() {
	if i.closed {
		return
	}
	i.closed = true
	if i.slot != nil {
		delete(i.slot.all, i)
	}
	defer i.ver.giveBack()
	i.stdout.end(i)
	i.stderr.end(i)
	for _, t := range i.timers {
		i.ver.plugin.timerHandles.free(t.handle)
	}
	i.timers = nil
	if i.mod == nil {
		return
	}
	if err := i.mod.Close(context.Background()); err != nil {
		i.ver.plugin.note(hclog.Warn, closeNote, "version", i.ver.name, "err", err)
	}
}

// settle ends an instance that has nothing left to do: one of a version that was
// replaced, with its last connection; one that is for a single connection, when
// its timers are done too.
func (i *instance) settle() {
	if i.dead != nil || i.retiring || len(i.conns) > 0 {
		return
	}
	if i.slot.ended || i.ver.cfg.Isolation == config.IsolationConnection && len(i.timers) == 0 {
		i.retire()
	}
}

// receiveBuffer is where the guest wants its bytes. The view is taken anew each
// time: linear memory may have grown, and moved where it can't be reserved.
func (i *instance) receiveBuffer() []byte {
	if i.dead != nil {
		return i.ver.plugin.scratch
	}
	b, _ := i.mem.Read(i.recvPtr, i.recvCap)
	return b
}

// conn is the connection of a handle, or nil.
func (i *instance) conn(handle int32) *guestConn {
	if c := i.cur; c != nil && c.handle == handle {
		return c
	}
	c := i.conns[handle]
	if c != nil && i.phase != phaseBuild { // there cur alone leads to the new one
		i.cur = c
	}
	return c
}
