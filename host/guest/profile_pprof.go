package guest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
	"github.com/tetratelabs/wazero/api"

	"github.com/wirehost/wirehost/internal/gate"
	"github.com/wirehost/wirehost/internal/meter"
)

const (
	// otherFrame stands for stacks that were one too many.
	otherFrame = "(other stacks)"
	// deeperFrame stands for callers that wazero does not show.
	deeperFrame = "(more callers)"
	// shownFrames is how many functions wazero shows of a stack: its
	// wasmdebug.MaxFrames, less the one that it takes for its own.
	shownFrames = 29
)

// frameNames are the frames of a stack, the innermost first. A host call stands right on
// its callback: nothing shows which functions are between.
func frameNames(k stackKey, frames []api.FunctionDefinition) []string {
	var names []string
	if k.call != "" {
		names = append(names, k.call)
	}
	for _, d := range frames {
		if name := frameName(d); name != "" {
			names = append(names, name)
		}
	}
	if len(frames) >= shownFrames {
		names = append(names, deeperFrame)
	}
	return append(names, callbackFrame(k.export))
}

// callbackFrame is the frame of a callback, below the function that is exported for it.
func callbackFrame(e export) string { return "callback " + e.String() }

// frameName is a function's name in a profile, "" for what is ours: the meter's refill and
// the gate. Functions that the meter has put in the place of instructions have the
// instruction's name.
func frameName(d api.FunctionDefinition) string {
	name := d.Name()
	switch {
	case d.GoFunction() != nil || gate.Wrote(name):
		return ""
	case name != "":
		return Clean(strings.TrimPrefix(name, meter.ModuleName+"."))
	}
	return fmt.Sprintf("func[%d]", d.Index()-1) // the meter has added an import
}

// End ends a profile, and tells what was sampled. notes go into its comments. Twice is an
// empty one.
func (p *Profile) End(a *Account, notes ...string) *profile.Profile {
	a.endProfile(p)
	all, left := map[stackKey]*stack{}, uint64(0)
	for n := range p.loops {
		stacks, over := p.loops[n].close()
		left += over
		for k, s := range stacks {
			if was := all[k]; was != nil {
				was.count += s.count
				was.spent += s.spent
				continue
			}
			all[k] = s
		}
	}
	if left > 0 {
		notes = append(notes, fmt.Sprintf("%d samples are %s: over %d stacks of a loop", left, otherFrame, maxStacks))
	}
	out := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "fuel", Unit: "units"}, Period: (leastSlice + meter.DefaultSlice) / 2,
		TimeNanos: p.at.UnixNano(), DurationNanos: (p.clock() - p.began).Nanoseconds(), Comments: notes,
		Mapping: []*profile.Mapping{{ID: 1, File: a.name, HasFunctions: true}},
	}
	b := pprofBuilder{out: out, locations: map[string]*profile.Location{}}
	for k, s := range all {
		b.add(a.name, k, s)
	}
	slices.SortFunc(out.Sample, func(x, y *profile.Sample) int { return cmp.Compare(y.Value[1], x.Value[1]) })
	return out
}

// close ends the sampling of a loop, and gives what there is.
func (s *sampler) close() (map[stackKey]*stack, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	stacks := s.stacks
	s.stacks = nil
	return stacks, s.left
}

// pprofBuilder writes samples down as pprof has them.
type pprofBuilder struct {
	out       *profile.Profile
	locations map[string]*profile.Location // by name
}

func (b *pprofBuilder) add(plugin string, k stackKey, s *stack) {
	sample := &profile.Sample{
		Value: []int64{s.count, s.spent.Nanoseconds()},
		Label: map[string][]string{"plugin": {plugin}, "version": {k.guest.name}, "export": {k.export.String()}},
	}
	for _, name := range s.frames {
		sample.Location = append(sample.Location, b.location(name))
	}
	b.out.Sample = append(b.out.Sample, sample)
}

// location is that of a function: of its lines nothing is known.
func (b *pprofBuilder) location(name string) *profile.Location {
	if l := b.locations[name]; l != nil {
		return l
	}
	f := &profile.Function{ID: uint64(len(b.out.Function) + 1), Name: name, SystemName: name}
	l := &profile.Location{ID: f.ID, Mapping: b.out.Mapping[0], Line: []profile.Line{{Function: f}}}
	b.out.Function, b.out.Location = append(b.out.Function, f), append(b.out.Location, l)
	b.locations[name] = l
	return l
}
