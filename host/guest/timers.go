package guest

import (
	"time"

	"github.com/wirehost/wirehost/reactor"
)

// timer is a delayed call of a guest. It belongs to its instance and moves
// with it, under the same handle.
type timer struct {
	in     *Instance
	handle int32
	after  time.Duration        // while it is held back
	call   *reactor.DelayedCall // nil while it is held back
}

// start lets a timer run that was held back. On the instance's loop.
func (t *timer) start() {
	if t.call == nil {
		t.call = t.in.place.Share.CallLater(t.after, t.due)
	}
}

func (t *timer) due() {
	i := t.in
	delete(i.timers, t.handle)
	if i.dead == nil {
		i.callback(exDelayedCall, t.handle)
	}
	i.account.timers.free(t.handle)
	i.settle()
}

// newTimer makes a timer; in a start or restore it is held back.
func (i *Instance) newTimer(after time.Duration) *timer {
	t := &timer{in: i, handle: i.account.timers.take(), after: after}
	if i.timers == nil {
		i.timers = map[int32]*timer{}
	}
	i.timers[t.handle] = t
	if i.phase == phaseRun || i.phase == phaseBuild {
		t.start()
	}
	return t
}

func (i *Instance) dropTimer(t *timer) {
	if t.call != nil {
		t.call.Cancel()
	}
	delete(i.timers, t.handle)
	i.account.timers.free(t.handle)
}

func (i *Instance) dropTimers() {
	for _, t := range i.timers {
		i.dropTimer(t)
	}
}

// hold has a timer wait for start again, and tells how long it has left. On the
// instance's loop.
func (t *timer) hold() time.Duration {
	if t.call != nil {
		t.after = t.call.Remaining()
		t.call.Cancel()
		t.call = nil
	}
	return t.after
}
