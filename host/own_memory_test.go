package host

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// heap is a Go runtime of a test.
type heap struct {
	goMemory
	now   time.Duration
	took  time.Duration // of each giving back
	gave  int
	limit []int64
	cells int // linear memories
	freed func()
}

func (h *heap) memory(left *leftovers) *ownMemory {
	return &ownMemory{
		left: left, now: func() time.Duration { return h.now }, read: func() goMemory { return h.goMemory },
		giveBack: func() {
			h.gave++
			h.now += h.took
			if h.freed != nil {
				h.freed()
			}
		},
		memories: func() int { return h.cells },
		limit:    func(n int64) { h.limit = append(h.limit, n) },
	}
}

// TestMemoriesGone: when many linear memories have gone, what was beside them is given
// back, but not all the time.
func TestMemoriesGone(t *testing.T) {
	h := &heap{}
	m := h.memory(&leftovers{})
	for n, step := range []struct {
		cells int
		after time.Duration
		want  bool
	}{
		{0, 0, false}, {1000, 0, false}, {1000 - goneLeast + 1, 0, false}, {1000 - goneLeast, 0, true},
		{1000 - goneLeast, 0, false}, {100, time.Second, false}, {100, giveBackAgain, true},
		{100, giveBackAgain, false},
		{90, giveBackAgain, false}, {500, giveBackAgain, false}, {100, giveBackAgain, true},
	} {
		h.now += step.after
		h.cells = step.cells
		if gave := m.tend(nil, false); gave != step.want {
			t.Errorf("step %d: found %v, wanted %v", n, gave, step.want)
		}
	}
}

// TestLeftovers: what a load leaves is given back once, when no load is under way,
// and where it was worth a collection.
func TestLeftovers(t *testing.T) {
	var left leftovers
	h := &heap{}
	m := h.memory(&left)
	step := func(what string, want int) {
		t.Helper()
		if gave := m.tend(nil, false); gave != (want > 0) || h.gave != want {
			t.Errorf("%s: gave back %d times (%v), wanted %d", what, h.gave, gave, want)
		}
		h.gave = 0
	}
	h.allocated = 100 << 20
	step("nothing has ended", 0)
	ended, other := left.beginLoading(), left.beginLoading()
	ended()
	step("another load is under way", 0)
	other()
	step("both have ended", 1)
	step("nothing since", 0)
	left.left()
	step("nothing was allocated", 0)
	h.allocated += leftoverLeast
	step("nothing has ended since", 0)
	left.left()
	left.left()
	step("two changes have ended", 1)
}

// TestShortOfMemory: before there is an overload of memory, and while there is one,
// memory is given back, in seemly distances.
func TestShortOfMemory(t *testing.T) {
	h := &heap{}
	m := h.memory(&leftovers{})
	for _, c := range []struct {
		what string
		at   time.Duration
		used uint64
		on   bool
		took time.Duration
		want int
	}{
		{"enough", 0, 94, false, 0, 0},
		{"short", 0, 95, false, 0, 1},
		{"at once again", time.Second, 99, false, 0, 0},
		{"overloaded", giveBackAgain - 1, 90, true, 0, 0},
		{"later", giveBackAgain, 85, true, time.Second, 1},
		{"it took a second", giveBackAgain + giveBackShare*time.Second, 99, true, 0, 0},
		{"later than that", 2*giveBackAgain + giveBackShare*time.Second, 99, true, 0, 1},
		{"it has fallen", time.Hour, 84, true, 0, 0},
	} {
		h.now, h.took, h.gave = c.at, c.took, 0
		m.tend([]use{{"descriptors", 100, 100, 0}, {useOfMemory, c.used, 100, 0}}, c.on)
		if h.gave != c.want {
			t.Errorf("%s: gave back %d times, wanted %d", c.what, h.gave, c.want)
		}
	}
}

// TestOverloadOfGarbage: where giving memory back is enough, no connection is
// refused; where it is not, or has just been done, they are.
func TestOverloadOfGarbage(t *testing.T) {
	s := serve(t, configuration(config.Plugin{Module: "testdata/echo.wasm"}))
	used := uint64(99)
	h := &heap{freed: func() { used = 50 }}
	o := &overload{h: s.Host, memory: h.memory(&leftovers{}), measure: func() []use {
		return []use{{useOfMemory, used, 100, 0}}
	}}
	o.check()
	if on, _ := s.Overload(); on || h.gave != 1 {
		t.Errorf("with garbage alone: overload %v, gave back %d times", on, h.gave)
	}
	h.freed = nil
	for _, at := range []time.Duration{1, giveBackAgain} {
		used, h.now = 99, at
		o.check()
		if on, _ := s.Overload(); !on {
			t.Errorf("after %v: no overload", at)
		}
	}
	if h.gave != 2 {
		t.Errorf("gave back %d times, wanted 2", h.gave)
	}
	used = 84
	o.check()
	if on, _ := s.Overload(); on {
		t.Error("use has fallen, and the overload is not over")
	}
}

// TestThresholds: of a small memory more than a twentieth must be left.
func TestThresholds(t *testing.T) {
	for _, c := range []struct {
		use          use
		starts, ends float64
	}{
		{use{"", 0, 1000, 0}, 0.95, 0.85},
		{use{"", 0, 1000, 50}, 0.95, 0.85},
		{use{"", 0, 1000, 200}, 0.8, 0.7},
		{use{"", 5, 0, 0}, 1, 0.9},
	} {
		if d1, d2 := c.use.beginsAt()-c.starts, c.use.endsAt()-c.ends; max(d1, -d1, d2, -d2) > 1e-9 {
			t.Errorf("%+v: found %v and %v, wanted %v and %v", c.use, c.use.beginsAt(), c.use.endsAt(),
				c.starts, c.ends)
		}
	}
}

// TestHeapLimit: Go gets what others leave of the memory, and always room above
// what lives.
func TestHeapLimit(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		what        string
		used, limit uint64
		now         goMemory
		want        int64
	}{
		{"all is Go's", 400 * mb, 1000 * mb, goMemory{mapped: 400 * mb, heap: 390 * mb, live: 100 * mb}, 800 * mb},
		{"others have a part", 700 * mb, 1000 * mb, goMemory{mapped: 400 * mb, heap: 390 * mb, live: 100 * mb},
			500 * mb},
		{"Go's is not all resident", 300 * mb, 1000 * mb, goMemory{mapped: 400 * mb, heap: 390 * mb, live: 100 * mb},
			800 * mb},
		{"others have nearly all", 950 * mb, 1000 * mb, goMemory{mapped: 150 * mb, heap: 140 * mb, live: 100 * mb},
			135 * mb},
		{"more than all lives", 1500 * mb, 1000 * mb, goMemory{mapped: 1400 * mb, heap: 1380 * mb, live: 1200 * mb},
			1520 * mb},
	} {
		got := heapLimit(use{useOfMemory, c.used, c.limit, 0}, c.now)
		if d := got - c.want; max(d, -d) > 1 {
			t.Errorf("%s: found %d, wanted %d", c.what, got, c.want)
		}
	}
}

// TestLimitFollows: Go's limit is set at the start and where it changes by more
// than a little.
func TestLimitFollows(t *testing.T) {
	const mb = 1 << 20
	h := &heap{goMemory: goMemory{mapped: 100 * mb, heap: 90 * mb, live: 50 * mb}}
	m := h.memory(&leftovers{})
	for _, used := range []uint64{100, 101, 130, 300, 299, 100} {
		m.tend([]use{{useOfMemory, used * mb, 1000 * mb, 0}}, false)
	}
	if len(h.limit) != 3 {
		t.Errorf("found %d, wanted three of them", h.limit)
	}
	m.tend([]use{{useOfMemory, 100 * mb, 0, 0}}, false) // a machine that does not tell
	m.limit = nil
	m.tend([]use{{useOfMemory, 900 * mb, 1000 * mb, 0}}, false) // not ours to set
	if len(h.limit) != 3 {
		t.Errorf("found %d", h.limit)
	}
}

// TestReadGoMemory holds the names of the measures against the runtime.
func TestReadGoMemory(t *testing.T) {
	m := readGoMemory()
	if m.allocated == 0 || m.mapped == 0 || m.heap == 0 || m.heap > m.mapped {
		t.Errorf("found %+v", m)
	}
}

// TestGivenBackAfterLoads: after the start, and after a change that was refused,
// the host gives back what they needed.
func TestGivenBackAfterLoads(t *testing.T) {
	s := newServer(t, configuration(numbered("testdata/echo.wasm", config.IsolationLoop, 0)))
	given := make(chan struct{}, 100)
	s.giveBack = func() { given <- struct{}{} }
	limits := make(chan int64, 100)
	s.o.SetMemoryLimit = func(n int64) { limits <- n }
	var garbage [][]byte
	litter := func() { garbage = append(garbage[:0], make([]byte, 2*leftoverLeast)) }
	awaitGiven := func() {
		t.Helper()
		select {
		case <-given:
		case <-time.After(patience):
			t.Fatal("nothing was given back")
		}
	}
	litter()
	s.start(t)
	awaitGiven()
	litter()
	if err := last(s.Reload(context.Background(),
		configuration(numbered("testdata/none.wasm", config.IsolationLoop, 0)))); err == nil {
		t.Error("found no error of a module that is not there")
	}
	awaitGiven()
	litter()
	before := s.plugins["guest"].current().name
	next := numbered("testdata/echo.wasm", config.IsolationLoop, 1)
	if err := last(s.Reload(context.Background(), configuration(next))); err != nil {
		t.Fatal(err)
	}
	awaitGiven()
	litter() // going back loads nothing
	if _, err := s.UsePlugin(context.Background(), before); err != nil {
		t.Fatal(err)
	}
	awaitGiven()
	litter() // nor does a plugin that goes
	if _, err := s.UnloadPlugin(context.Background(), "guest"); err != nil {
		t.Fatal(err)
	}
	awaitGiven()
	uses := processUse(0, s.descriptors, s.sharedImages)()
	if slices.ContainsFunc(uses, func(u use) bool { return u.what == useOfMemory }) && <-limits <= 0 {
		t.Error("found a memory limit of nothing")
	}
}
