package guest

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/internal/meter"
)

const (
	// burstLength is how many samples there are in a burst.
	burstLength = 64
	// burstEvery is the least of a guest's time between two bursts, and the most is
	// three times as much.
	burstEvery = time.Millisecond
	// burstFuel is the least fuel between two samples of a burst, and the most is
	// three times as much.
	burstFuel = 128
	// timedOf is how many callbacks one that is timed stands for, but in bursts: to read
	// the clock twice for each would cost an echo 2 %.
	timedOf = 8
	// leastSlice is the least fuel between two looks at whether a burst is due: half
	// of what there is without a profile.
	leastSlice = meter.DefaultSlice / 2
	// longestSample is what a sample counts for at most: where there is more the
	// process had no processor.
	longestSample = 250 * time.Microsecond
	// sampleCost is what there is of the sampling itself in each sample, or the
	// shortest that was seen.
	sampleCost = 60 * time.Nanosecond
)

// gauge follows the callbacks of one loop, or a call of a start. Most of the time it adds
// up what they take. In a burst it has the meter come up for air after a few instructions
// each time, and notes how long each such piece took and whose it was; what was spent
// since the last burst is then shared out among them. On the goroutine of the call.
type gauge struct {
	samples *samples
	clock   func() time.Duration
	alone   bool // of one call, off the loops
	running running

	mark  time.Duration // what is before it has been counted
	times time.Duration // what the callback takes from then on stands for so many times that; 0 = it is not timed
	early time.Duration // of the callback that runs, before mark, and not counted
	spent time.Duration // since the last burst
	next  time.Duration // how much of that brings the next
	least time.Duration // of a sample in this profile; 0 = not known

	left   int    // samples that the burst has left; 0 = there is none
	skip   int    // samples that are not taken, before those
	at     *stack // whose the time from mark on is; nil = the next sample tells
	given  int64  // fuel that the last sample gave: burstFuel or so, or 0 for another number
	to     *Instance
	burst  []sample
	key    []byte
	frames []api.FunctionDefinition
}

// sample is a piece of a guest's time.
type sample struct {
	of   *stack
	took time.Duration
}

// begin is called before a callback. Where a burst is due, or goes on, the guest is to ask
// for fuel soon: of itself one that is for a single connection might never.
func (g *gauge) begin(i *Instance) {
	if g.left == 0 && g.spent >= g.next {
		g.beginBurst()
	}
	if g.left > 0 {
		g.given, g.to = rand.Int64N(3*burstFuel), i
		i.cell.setFuel(g.given)
	}
	switch {
	case g.left > 0 || g.alone:
		g.times = 1
	case rand.Uint32()%timedOf == 0:
		g.times = timedOf
	default:
		g.times = 0
		return
	}
	g.resume()
}

// since is what the guest has taken since it went on.
func (g *gauge) since() time.Duration {
	if g.times == 0 {
		return 0
	}
	return g.times * (g.clock() - g.mark)
}

// resume is called each time that the guest goes on.
func (g *gauge) resume() { g.mark = g.clock() }

// beginBurst is called where one is due. It begins where most fuel is charged, or with a
// callback, and so nothing is looked at but from a while later on: but for the first, which
// may have nothing to follow it.
func (g *gauge) beginBurst() {
	if g.left, g.to = burstLength, nil; g.next > 0 {
		g.skip = rand.IntN(burstLength)
	}
}

// end is called when a callback has ended.
func (g *gauge) end() {
	spent := g.since()
	if g.left == 0 || g.at == nil {
		g.spent += spent + g.early
		g.early = 0
	} else {
		g.note(g.at, spent)
		g.at = nil // the next callback may be another instance's
	}
	if g.alone {
		g.flush()
	}
}

// outOfFuel looks at a guest that gets fuel, and has so much, which is below 0. Its time
// goes on with resume.
func (g *gauge) outOfFuel(i *Instance, e export, fuel int64, it experimental.StackIterator) {
	spent := g.since()
	g.times = 1 // a long one is timed from here on
	if g.left == 0 {
		g.spent += spent
		if g.spent < g.next {
			// Not always the same, or else a guest whose callbacks are all alike is
			// looked at in the same place of each.
			i.guard.Shorten(leastSlice + rand.Int64N(leastSlice))
			return
		}
		g.beginBurst()
		g.giveLittle(i, fuel)
		return
	}
	g.giveLittle(i, fuel)
	if g.skip > 0 {
		g.skip--
		g.spent += spent
		return
	}
	was := g.at
	if g.at = g.stackOf(i, e, it); g.at == nil {
		g.left = 0
		return
	}
	if was == nil {
		was, spent, g.early = g.at, spent+g.early, 0
	}
	if g.least == 0 || spent < g.least {
		g.least = max(spent, 1)
	}
	g.note(was, max(spent-min(g.least, sampleCost), 1))
	if g.left--; g.left == 0 {
		g.flush()
	}
}

// giveLittle has the guest get as much as is used up soon. A loop's head that takes more
// than that asks again, and would for ever: so every other time it is as much as was used.
func (g *gauge) giveLittle(i *Instance, fuel int64) {
	little := burstFuel + rand.Int64N(2*burstFuel)
	if g.to == i && g.given > 0 {
		i.guard.Shorten(max(little, g.given-fuel))
		g.given = 0
		return
	}
	i.guard.Shorten(little)
	g.to, g.given = i, little
}

// stackOf is the stack of a guest; nil says that the profile has ended.
func (g *gauge) stackOf(i *Instance, e export, it experimental.StackIterator) *stack {
	g.key, g.frames = g.key[:0], g.frames[:0]
	for it.Next() {
		d := it.Function().Definition()
		g.frames = append(g.frames, d)
		g.key = binary.LittleEndian.AppendUint32(g.key, d.Index())
	}
	return g.samples.find(stackKey{guest: i.guest, export: e}, g.key, func() []string {
		return frameNames(e, g.frames)
	})
}

// hostCall makes a host call. In a burst it has a sample of its own, on the stack that was
// seen last.
func (g *gauge) hostCall(i *Instance, e export, im abi.Import, call hostCall, stack []uint64) {
	if g.left == 0 || g.skip > 0 {
		call(i, stack)
		return
	}
	began := g.clock()
	k, on := stackKey{guest: i.guest, export: e}, []string{callbackFrame(e)}
	if g.at != nil {
		g.note(g.at, began-g.mark)
		k, on = g.at.key, g.at.frames
	} else {
		g.early += began - g.mark
	}
	g.mark = began
	call(i, stack)
	k.call = im.Key()
	of := g.samples.find(k, []byte(k.frames), func() []string { return append([]string{k.call}, on...) })
	if of != nil {
		g.note(of, g.clock()-began)
	}
	g.resume()
}

// note counts a sample.
func (g *gauge) note(of *stack, took time.Duration) {
	g.burst = append(g.burst, sample{of, min(took, longestSample)})
}

// flush ends a burst: its samples get what was spent since the last one, by what they
// took.
func (g *gauge) flush() {
	var all time.Duration
	for _, s := range g.burst {
		all += s.took
	}
	if all > 0 {
		g.samples.count(g.burst, float64(all+g.spent)/float64(all))
		g.spent = 0
	}
	g.burst, g.left, g.at = g.burst[:0], 0, nil
	g.next = burstEvery + rand.N(2*burstEvery)
}

// count adds samples, each of which stands for so many times what it took.
func (s *samples) count(list []sample, times float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	for _, one := range list {
		one.of.count++
		one.of.spent += time.Duration(float64(one.took) * times)
	}
}

// profiler has wazero show the guest's stack where the meter gives fuel.
type profiler struct{}

// NewFunctionListener listens to the meter's one function.
func (profiler) NewFunctionListener(api.FunctionDefinition) experimental.FunctionListener {
	return profiler{}
}

// profiled tells whether the callback that runs is; i may be nil.
func (i *Instance) profiled() bool { return i != nil && i.running != nil && i.running.gauge != nil }

// Before is called on the goroutine of the instance.
func (profiler) Before(ctx context.Context, _ api.Module, _ api.FunctionDefinition, params []uint64,
	it experimental.StackIterator) {
	if i := ctx.(*callContext).inst; i.profiled() {
		i.running.gauge.outOfFuel(i, i.running.export, int64(params[0]), it)
	}
}

// After leaves out what the meter itself has taken, and who else had the processor then.
func (profiler) After(ctx context.Context, _ api.Module, _ api.FunctionDefinition, _ []uint64) {
	if i := ctx.(*callContext).inst; i.profiled() {
		i.running.gauge.resume()
	}
}

// Abort does nothing.
func (profiler) Abort(context.Context, api.Module, api.FunctionDefinition, error) {}
