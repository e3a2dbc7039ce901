package guest

import (
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/wirehost/wirehost/internal/gate"
	"github.com/wirehost/wirehost/reactor"
)

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

// query calls an export that asks nothing but getters of the host.
func (i *Instance) query(e export) bool { return i.run(phaseQuery, e, 0) }

// run calls a guest's function with the parameters that i.stack begins with, and
// leaves its result there. false says that the instance has ended.
func (i *Instance) run(p phase, e export, conn int32) bool {
	if i.cell == nil && !i.pageIn() {
		return false
	}
	i.calls++
	i.phase = p
	i.stack[gate.Params] = i.guest.numbers[e]
	limit := i.guest.limits.CallbackTime
	switch {
	case i.left > 0:
		limit = i.left
	case i.onLoop() == nil: // none waits
		limit *= startups
	}
	i.guard.Arm(limit)
	var err error
	if c := i.cell; i.watch == nil {
		err = c.call.CallWithStack(&c.ctx, i.stack[:])
	} else {
		err = i.watched(e, conn)
	}
	i.phase = phaseIdle
	if s := i.onLoop(); s != nil {
		used := i.guard.Used()
		s.Took.add(used)
		s.Share.Spent(used)
	} else {
		i.spend()
	}
	if err != nil {
		i.trapped(e, conn, err)
		return false
	}
	return true
}

// onLoop is the place whose loop waits for the instance's calls, or nil.
func (i *Instance) onLoop() *Place {
	if i.place != nil {
		return i.place
	}
	return i.moving
}

// spend takes what a call of a start has used from what is left to it.
func (i *Instance) spend() {
	if i.left > 0 {
		i.left = max(i.left-i.guard.Used(), time.Millisecond)
	}
}

// callback runs a callback of one connection, or timer.
func (i *Instance) callback(e export, handle int32) bool {
	i.stack[0] = api.EncodeI32(handle)
	return i.run(phaseRun, e, handle)
}

// fault makes the error of a start that failed for another reason than a trap.
func (i *Instance) fault(e export, cause string, err error) *TrapError {
	return &TrapError{Plugin: i.account.name, Version: i.guest.name, Export: e.String(), Cause: cause,
		Err: cutError(err)}
}

// kindOf is what a handle of the instance's is of.
func (i *Instance) kindOf(handle int32) string {
	switch {
	case i.sockets[handle] != nil:
		return "socket"
	case i.listeners[handle] != nil:
		return "listener"
	}
	return "connection"
}

// trapped discards the instance: its connections are aborted, and no callback
// follows. A start's trap is told by Start's error as well.
func (i *Instance) trapped(e export, handle int32, err error) {
	trap := i.fault(e, causeOf(err), err)
	if e != exDelayedCall {
		trap.Conn, trap.of = handle, i.kindOf(handle)
	}
	i.dead = trap
	i.stdout.end(i)
	i.stderr.end(i)
	if i.brief && i.left > 0 && trap.Cause == causeTime {
		return // it is started again, and longer
	}
	i.account.trapped(trap)
	i.guest.owner.Trapped(trap)
	if i.place == nil || i.place.stopped {
		return
	}
	i.dropTimers()
	i.loseListeners()
	for c := range i.conns.all() {
		c.t.Abort(reactor.ProtocolFailed, trap)
	}
	i.loseSockets(reactor.ProtocolFailed, trap)
	i.closeSoon()
}
