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

// Result tells what was sampled. note, where it is not empty, goes into its comments. What
// is sampled afterwards is lost.
func (p *Profile) Result(note string) *profile.Profile {
	var notes []string
	if note != "" {
		notes = append(notes, note)
	}
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
		PeriodType: &profile.ValueType{Type: "fuel", Unit: "units"}, Period: 2 * burstFuel,
		TimeNanos: p.at.UnixNano(), DurationNanos: (p.clock() - p.began).Nanoseconds(), Comments: notes,
		Mapping: []*profile.Mapping{{ID: 1, File: p.plugin, HasFunctions: true}},
	}
	b := pprofBuilder{out: out, locations: map[string]*profile.Location{}}
	for k, s := range all {
		if s.count > 0 { // else its burst was not over
			b.add(p.plugin, k, s)
		}
	}
	slices.SortFunc(out.Sample, func(x, y *profile.Sample) int { return cmp.Compare(y.Value[1], x.Value[1]) })
	return out
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
