package guest

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"github.com/tetratelabs/wazero/api"
)

// spentBy sums the time of a profile by the innermost function.
func spentBy(p *profile.Profile) map[string]int64 {
	by := map[string]int64{}
	for _, s := range p.Sample {
		by[s.Location[0].Line[0].Function.Name] += s.Value[1]
	}
	return by
}

// profiled has a guest of testdata/works.wat be called so often while a profile runs,
// whose clock goes on by a microsecond each time that it is read: pieces of the same fuel
// take the same time.
func profiled(t *testing.T, s *stand, calls int) *profile.Profile {
	t.Helper()
	now := time.Duration(0)
	clock := func() time.Duration { now += time.Microsecond; return now }
	p := s.account.BeginProfile(1, clock)
	if p == nil || s.account.BeginProfile(1, clock) != nil {
		t.Fatal("found two profiles at once, or none, wanted one")
	}
	to := &sink{}
	c, err := s.instance(t).BuildProtocol(to)
	if err != nil {
		t.Fatal(err)
	}
	c.ConnectionMade(to)
	for range calls {
		c.DataReceived([]byte("1234"))
	}
	s.account.EndProfile(p)
	s.place.FollowWatch()
	p.Stop(0)
	c.DataReceived([]byte("and no more"))
	out := p.Result("")
	if err := out.CheckValid(); err != nil {
		t.Fatal(err)
	}
	return out
}

// Callbacks that are much shorter than a slice of fuel are sampled by what they do, and
// not where that happens to be used up. The guest does three parts in one function, one in
// another.
func TestProfileIsFair(t *testing.T) {
	// With 20,000 callbacks the part found has a standard deviation of 0.02, with these 0.007.
	out := profiled(t, standing(t, "works"), 150_000)
	by := spentBy(out)
	three, one := float64(by["func[4]"]), float64(by["func[5]"]) // as the module counts them
	if part := three / (three + one); math.Abs(part-0.75) > 0.05 {
		t.Errorf("found %.3f of the time in the first function, wanted 0.75: %v", part, by)
	}
	if by["transport.write"] == 0 {
		t.Errorf("found no time in the host call: %v", by)
	}
	for _, s := range out.Sample {
		names := []string{}
		for _, l := range s.Location {
			names = append(names, l.Line[0].Function.Name)
		}
		if names[0] == "func[4]" &&
			fmt.Sprint(names) != "[func[4] func[6] dataReceived callback dataReceived]" {
			t.Errorf("found the stack %q", names)
		}
		if want := map[string][]string{"plugin": {"guest"}, "version": {"guest@test"},
			"export": {"dataReceived"}}; names[0] == "func[4]" && fmt.Sprint(s.Label) != fmt.Sprint(want) {
			t.Errorf("found the labels %v, wanted %v", s.Label, want)
		}
	}
}

// What is called a few times is in the profile, too, though it never uses up a slice.
func TestProfileOfLittle(t *testing.T) {
	s := standing(t, "works")
	if out := profiled(t, s, 3); spentBy(out)["func[4]"] == 0 {
		t.Errorf("found %v", spentBy(out))
	}
	if out := profiled(t, s, 0); len(out.SampleType) != 2 {
		t.Errorf("found %v", out)
	}
}

// How many stacks there are is the guest's doing: what is one too many is counted as one.
func TestProfileIsBounded(t *testing.T) {
	s := standing(t, "works")
	p := s.account.BeginProfile(1, func() time.Duration { return 0 })
	defer s.account.EndProfile(p)
	g := &p.loops[0].gauge
	for n := range maxStacks + 10 {
		key := binary.LittleEndian.AppendUint32(nil, uint32(n))
		of := g.samples.find(stackKey{guest: s.Guest, export: exDataReceived}, key, func() []string {
			return []string{fmt.Sprint("f", n), callbackFrame(exDataReceived)}
		})
		g.note(of, time.Microsecond)
	}
	p.Stop(0)
	out := p.Result("")
	if got := spentBy(out)[otherFrame]; got != 10_000 || len(out.Sample) != maxStacks+1 {
		t.Errorf("found %d ns in other stacks, and %d stacks", got, len(out.Sample))
	}
	if want := "10 samples are (other stacks): over 4096 stacks of a loop"; !slices.Contains(out.Comments, want) {
		t.Errorf("found %q, wanted %q", out.Comments, want)
	}
}

// Names of functions are the guest's text, and end on a terminal.
func TestProfileNames(t *testing.T) {
	for name, want := range map[string]string{
		"main.f": "main.f", "a\x1b[2Jb": "a\uFFFD[2Jb", "wirehost_meter.memory.copy": "memory.copy",
		"wirehost.call": "", "": "func[6]",
	} {
		if got := frameName(named{name: name}); got != want {
			t.Errorf("%q: found %q, wanted %q", name, got, want)
		}
	}
}

// named is a function of a module, with its number in the metered one.
type named struct {
	api.FunctionDefinition
	name string
}

func (n named) Name() string          { return n.name }
func (n named) GoFunction() any       { return nil }
func (n named) ExportNames() []string { return nil }
func (n named) Index() uint32         { return 7 }
