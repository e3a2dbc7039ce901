package guest

import (
	"crypto/rand"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/wirehost/wirehost/abi"
)

// duration reads milliseconds; a negative number is none.
func duration(slot uint64) (time.Duration, bool) {
	ms := api.DecodeI32(slot)
	return time.Duration(ms) * time.Millisecond, ms >= 0
}

func reactorCallLater(i *Instance, stack []uint64) {
	after, ok := duration(stack[0])
	switch {
	case i.phase == phaseQuery:
		fail(stack, abi.ENOTNOW)
	case !ok:
		fail(stack, abi.EINVAL)
	case !i.guest.has[exDelayedCall]: // can't be: the validator asks for it
		fail(stack, abi.ENOTSUP)
	case i.guest.limits.Timers > 0 && len(i.timers) >= i.guest.limits.Timers:
		fail(stack, abi.E2BIG)
	default:
		stack[0] = api.EncodeI32(i.newTimer(after).handle)
	}
}

// timerOf finds the timer that a call is about, or leaves its status.
func timerOf(i *Instance, stack []uint64) *timer {
	if i.phase != phaseRun && i.phase != phaseBuild {
		fail(stack, abi.ENOTNOW)
		return nil
	}
	t := i.timers[int32(stack[0])]
	if t == nil {
		fail(stack, abi.ENOTIMER)
	}
	return t
}

func reactorCancel(i *Instance, stack []uint64) {
	if t := timerOf(i, stack); t != nil {
		i.dropTimer(t)
		stack[0] = 0
	}
}

func reactorReset(i *Instance, stack []uint64) {
	after, ok := duration(stack[1])
	if t := timerOf(i, stack); t != nil {
		if !ok {
			fail(stack, abi.EINVAL)
			return
		}
		t.call.Reset(after)
		stack[0] = 0
	}
}

func reactorSeconds(i *Instance, stack []uint64) {
	stack[0] = api.EncodeF64(i.guest.clocks.Now().Seconds())
}

func reactorTime(i *Instance, stack []uint64) {
	stack[0] = api.EncodeF64(float64(i.guest.clocks.Wall().UnixNano()) / float64(time.Second))
}

func reactorRandom(i *Instance, stack []uint64) {
	if !fillRandom(i, "reactor.random", uint32(stack[0]), uint32(stack[1])) {
		fail(stack, abi.EINVAL)
		return
	}
	stack[0] = api.EncodeI32(int32(abi.StatusOK))
}

// fillRandom fills a range with random bytes; false says that it is larger than one call
// may ask for. 64 KiB take some 40 µs, so it looks at the clock first.
func fillRandom(i *Instance, call string, ptr, size uint32) bool {
	if size > abi.MaxRandom {
		return false
	}
	i.guard.Check()
	rand.Read(view(i, call, ptr, size)) // never fails
	return true
}
