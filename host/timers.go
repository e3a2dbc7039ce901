package host

import (
	"time"

	"github.com/wirehost/wirehost/reactor"
)

// guestTimer is a delayed call of a guest. It belongs to its instance and moves
// with it, under the same handle.
type guestTimer struct {
	in     *instance
	handle int32
	after  time.Duration        // while it is held back
	call   *reactor.DelayedCall // nil while it is held back
}

// start lets a timer run that was held back. On the instance's loop.
func (t *guestTimer) start() {
	if t.call == nil {
		t.call = t.in.slot.share.CallLater(t.after, t.due)
	}
}

func (t *guestTimer) due() {
	i := t.in
	delete(i.timers, t.handle)
	if i.dead == nil {
		i.callback(exDelayedCall, i.handle(exDelayedCall), t.handle, 1)
	}
	i.ver.plugin.timerHandles.free(t.handle)
	i.settle()
}

// newTimer makes a timer; in a start or restore it is held back.
func (i *instance) newTimer(after time.Duration) *guestTimer {
	t := &guestTimer{in: i, handle: i.ver.plugin.timerHandles.take(), after: after}
	i.timers[t.handle] = t
	if i.phase == phaseRun || i.phase == phaseBuild {
		t.start()
	}
	return t
}

func (i *instance) dropTimer(t *guestTimer) {
	if t.call != nil {
		t.call.Cancel()
	}
	delete(i.timers, t.handle)
	i.ver.plugin.timerHandles.free(t.handle)
}

func (i *instance) dropTimers() {
	for _, t := range i.timers {
		i.dropTimer(t)
	}
}
