package guest

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/internal/meter"
)

// A profile tells where guests spend their time. A sample is taken where the meter gives
// fuel: there the guest's own functions lie on the stack, and wazero shows them to a
// listener. How samples are spread, and what they leave out, is in RATIONALE.md.

const (
	// maxStacks bounds the distinct stacks that are kept for each loop; what comes
	// later is one stack of its own. One takes about 700 bytes.
	maxStacks = 4096
	// callsPerSample is how many host calls one that is timed stands for. Timing each
	// would cost an echo 2 %.
	callsPerSample = 8
	// leastSlice is the least fuel between two samples: half of what there is without
	// a profile.
	leastSlice = meter.DefaultSlice / 2
)

// Profile is a running profile of all the guests of an account. Any goroutine.
type Profile struct {
	clock func() time.Duration
	began time.Duration
	at    time.Time
	loops []sampler // by loop, and one more for what runs on none
}

// sampler takes the samples of one loop, and the last one those of starts off the loops.
type sampler struct {
	profile *Profile
	running running       // the loop's; one that runs on no loop has its own
	pending time.Duration // the loop's: spent in callbacks since its last sample

	mu     sync.Mutex // only the end of the profile contends for it, and starts
	closed bool
	stacks map[stackKey]*stack
	left   uint64 // samples whose stack was one too many
	key    []byte
	frames []api.FunctionDefinition

	_ [64]byte // the next loop's is in another line of the processor's cache
}

// stackKey tells stacks apart.
type stackKey struct {
	guest  *Guest
	export export
	call   string // the host call, or ""
	frames string // indices of the functions, the innermost first, 4 bytes each
}

// stack is what was sampled of one.
type stack struct {
	frames []string // names of the functions, the innermost first
	count  int64
	spent  time.Duration
}

// BeginProfile begins a profile of all instances of an account on so many loops, which
// clock times: of those that are made or committed from then on, of others by
// Place.FollowWatch. nil says that one runs already.
func (a *Account) BeginProfile(loops int, clock func() time.Duration) *Profile {
	p := &Profile{clock: clock, began: clock(), at: time.Now(), loops: make([]sampler, loops+1)}
	for n := range p.loops {
		p.loops[n].profile, p.loops[n].stacks = p, map[stackKey]*stack{}
	}
	a.rewatch(func(w *watch) {
		if w.profile != nil {
			p = nil
			return
		}
		w.profile = p
	})
	return p
}

// endProfile has the account's guests run unwatched, but for a trace.
func (a *Account) endProfile(p *Profile) {
	a.rewatch(func(w *watch) {
		if w.profile == p {
			w.profile = nil
		}
	})
}

// running is where a callback of an instance is noted; p may be nil. On the instance's
// goroutine.
func (p *Profile) running(i *Instance) *running {
	if p == nil {
		return &running{}
	}
	place := i.onLoop()
	if place == nil {
		return &running{sampler: &p.loops[len(p.loops)-1]}
	}
	s := &p.loops[place.Loop.Index()]
	s.running.sampler = s
	return &s.running
}

func (r *running) begin() {
	if r.sampler != nil {
		r.mark = r.sampler.profile.clock()
	}
}

// end leaves what was spent since the last sample to the loop's next one.
func (r *running) end() {
	if s := r.sampler; s != nil && r == &s.running {
		s.pending += s.profile.clock() - r.mark
	}
}

// hostCall makes a host call, and takes a sample of one in callsPerSample. What that
// took is no part of the guest's own time.
func (r *running) hostCall(i *Instance, im abi.Import, call hostCall, stack []uint64) {
	s := r.sampler
	if rand.Uint32()%callsPerSample != 0 {
		call(i, stack)
		return
	}
	began := s.profile.clock()
	call(i, stack)
	took := callsPerSample * (s.profile.clock() - began)
	r.mark += took
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frames = s.frames[:0]
	s.add(stackKey{guest: i.guest, export: r.export, call: im.Key()}, nil, took)
}

// sample takes one of a guest that is out of fuel.
func (r *running) sample(i *Instance, it experimental.StackIterator) {
	s := r.sampler
	now := s.profile.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	spent := now - r.mark
	r.mark = now
	if r == &s.running {
		spent, s.pending = spent+s.pending, 0
	}
	if spent < 0 { // host calls stood for more than there was: it is made up for by the next
		r.mark, spent = now-spent, 0
	}
	s.key, s.frames = s.key[:0], s.frames[:0]
	for it.Next() {
		d := it.Function().Definition()
		s.frames = append(s.frames, d)
		s.key = binary.LittleEndian.AppendUint32(s.key, d.Index())
	}
	s.add(stackKey{guest: i.guest, export: r.export}, s.key, spent)
	i.guard.Shorten(leastSlice + rand.Int64N(meter.DefaultSlice-leastSlice+1))
}

// add counts a sample of the stack whose frames are in s.frames. s.mu is held.
func (s *sampler) add(k stackKey, frames []byte, spent time.Duration) {
	if s.closed {
		return
	}
	found := s.stacks[stackKey{k.guest, k.export, k.call, string(frames)}]
	if found == nil {
		found = s.newStack(k, string(frames))
	}
	found.count++
	found.spent += spent
}

// newStack is a stack that was not seen before, or the one for all that are too many.
func (s *sampler) newStack(k stackKey, frames string) *stack {
	names := frameNames(k, s.frames)
	if k.frames = frames; len(s.stacks) >= maxStacks {
		s.left++
		k.call, k.frames, names = "", "-", []string{otherFrame, callbackFrame(k.export)}
		if other := s.stacks[k]; other != nil {
			return other
		}
	}
	made := &stack{frames: names}
	s.stacks[k] = made
	return made
}

// profiler has wazero show the guest's stack where the meter gives fuel: 15 ns more for
// each refill where nothing is profiled.
type profiler struct{}

// NewFunctionListener listens to the meter's one function.
func (profiler) NewFunctionListener(api.FunctionDefinition) experimental.FunctionListener {
	return profiler{}
}

// Before is called on the goroutine of the instance.
func (profiler) Before(ctx context.Context, _ api.Module, _ api.FunctionDefinition, _ []uint64,
	it experimental.StackIterator) {
	i := ctx.(*callContext).inst
	if r := i.running; r != nil && r.sampler != nil {
		r.sample(i, it)
	}
}

// After does nothing.
func (profiler) After(context.Context, api.Module, api.FunctionDefinition, []uint64) {}

// Abort does nothing.
func (profiler) Abort(context.Context, api.Module, api.FunctionDefinition, error) {}
