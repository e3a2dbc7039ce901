package guest

import (
	"sync"
	"time"

	"github.com/tetratelabs/wazero/api"
)

// A profile tells where guests spend their time. Samples are taken where the meter gives
// fuel: there the guest's own functions lie on the stack, and wazero shows them to a
// listener. They come in bursts; why, and what samples leave out, is in RATIONALE.md.

// Profile is a running profile of all the guests of an account. Any goroutine.
type Profile struct {
	plugin string
	clock  func() time.Duration
	began  time.Duration
	at     time.Time
	loops  []samples // by loop, and one more for what runs on none
}

// samples are those of one loop, or of the starts off the loops.
type samples struct {
	gauge gauge // the loop's; a call off the loops has its own

	mu     sync.Mutex // the end of the profile and starts contend for it, and nothing else
	closed bool
	stacks map[stackKey]*stack
	left   uint64 // samples whose stack was one too many

	_ [64]byte // the next loop's are in another line of the processor's cache
}

// maxStacks bounds the distinct stacks that are kept for each loop; what comes later is
// one stack of its own. One takes about 700 bytes.
const maxStacks = 4096

// stackKey tells stacks apart.
type stackKey struct {
	guest  *Guest
	export export
	call   string // the host call, or ""
	frames string // indices of the functions, the innermost first, 4 bytes each
}

// stack is what was sampled of one.
type stack struct {
	key    stackKey
	frames []string // names of the functions, the innermost first
	count  int64
	spent  time.Duration
}

// BeginProfile begins a profile of all instances of an account on so many loops, which
// clock times: of those that are made or committed from then on, of others by
// Place.FollowWatch. nil says that one runs already.
func (a *Account) BeginProfile(loops int, clock func() time.Duration) *Profile {
	p := &Profile{plugin: a.name, clock: clock, began: clock(), at: time.Now(), loops: make([]samples, loops+1)}
	for n := range p.loops {
		s := &p.loops[n]
		s.stacks, s.gauge = map[stackKey]*stack{}, gauge{samples: s, clock: clock}
	}
	begun := true
	a.rewatch(func(w *watch) {
		if begun = w.profile == nil; begun {
			w.profile = p
		}
	})
	if !begun {
		return nil
	}
	return p
}

// EndProfile ends one, as BeginProfile begins it.
func (a *Account) EndProfile(p *Profile) {
	a.rewatch(func(w *watch) {
		if w.profile == p {
			w.profile = nil
		}
	})
}

// gauge is what follows the callbacks of an instance; nil where p is. On the instance's
// goroutine.
func (p *Profile) gauge(i *Instance) *gauge {
	if p == nil {
		return nil
	}
	if place := i.onLoop(); place != nil {
		return &p.loops[place.Loop.Index()].gauge
	}
	return &gauge{samples: &p.loops[len(p.loops)-1], clock: p.clock, alone: true}
}

// Stop counts what a loop has sampled and not counted. On the loop, when its instances
// are not profiled any more.
func (p *Profile) Stop(loop int) { p.loops[loop].gauge.flush() }

// find gives the stack of a key whose frames lie in key still; frames are called for one
// that is new. nil says that the profile has ended.
func (s *samples) find(k stackKey, key []byte, frames func() []string) *stack {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	if found := s.stacks[stackKey{k.guest, k.export, k.call, string(key)}]; found != nil {
		return found
	}
	k.frames = string(key)
	if len(s.stacks) < maxStacks {
		return s.put(k, frames())
	}
	s.left++
	k.call, k.frames = "", otherFrame
	if other := s.stacks[k]; other != nil {
		return other
	}
	return s.put(k, []string{otherFrame, callbackFrame(k.export)})
}

func (s *samples) put(k stackKey, frames []string) *stack {
	made := &stack{key: k, frames: frames}
	s.stacks[k] = made
	return made
}

// close ends the sampling of a loop, and gives what there is.
func (s *samples) close() (map[stackKey]*stack, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	stacks := s.stacks
	s.stacks = nil
	return stacks, s.left
}

// frameNames are the frames of a stack, the innermost first.
func frameNames(e export, frames []api.FunctionDefinition) []string {
	var names []string
	for _, d := range frames {
		if name := frameName(d); name != "" {
			names = append(names, name)
		}
	}
	if len(frames) >= shownFrames {
		names = append(names, deeperFrame)
	}
	return append(names, callbackFrame(e))
}
