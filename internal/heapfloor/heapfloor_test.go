package heapfloor

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

const mb = 1 << 20

func TestPercentage(t *testing.T) {
	for _, c := range []struct {
		live, rest uint64
		want       int
	}{
		{0, 0, usual}, {1 * mb, 0, 400}, {2 * mb, mb / 2, 400}, {2 * mb, 2 * mb, 350}, {4 * mb, 0, 300},
		{8 * mb, 0, usual}, {7 * mb, 2 * mb, usual}, {16 * mb, 0, usual}, {1 << 40, mb, usual},
	} {
		if got := percentage(16*mb, c.live, c.rest); got != c.want {
			t.Errorf("%d live, %d beside: %d %%, wanted %d", c.live, c.rest, got, c.want)
		}
	}
}

// TestLook goes from look to look: what is set, and that nothing is for a small change, for
// garbage that comes slowly, and behind the end.
func TestLook(t *testing.T) {
	var set []int
	now := measures{at: time.Unix(0, 0)}
	k := &keeper{floor: 16 * mb, fast: fast, set: func(percent int) { set = append(set, percent) },
		percent: usual, last: now}
	for n, step := range []struct {
		live, garbage uint64
		want          int // 0 = nothing is set
	}{
		{1 * mb, 15 * mb, 0}, {1 * mb, 16 * mb, 400}, {4 * mb, 20 * mb, 0}, {5 * mb, 20 * mb, 220},
		{5*mb + 100, 20 * mb, 0}, {9 * mb, 20 * mb, usual}, {1 * mb, 20 * mb, 400}, {1 * mb, 1 * mb, usual},
		{1 * mb, 0, 0},
	} {
		now.live, now.allocated, now.at = step.live, now.allocated+step.garbage, now.at.Add(time.Second)
		set = nil
		goesOn := k.look(now)
		if !goesOn || step.want == 0 && len(set) > 0 || step.want != 0 && (len(set) != 1 || set[0] != step.want) {
			t.Errorf("look %d has set %v, and goes on: %t; wanted %d", n, set, goesOn, step.want)
		}
	}
	k.end()
	set, now.allocated = nil, now.allocated+100*mb
	if k.look(now) || len(set) > 0 {
		t.Errorf("behind the end it has set %v", set)
	}
}

// TestKeep: the runtime's own figures lead to what they should, behind collections.
func TestKeep(t *testing.T) {
	was := debug.SetGCPercent(usual)
	defer debug.SetGCPercent(was)
	now := func() int {
		s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(s)
		return int(s[0].Value.Uint64())
	}
	await := func(lifted bool) {
		for now() > usual != lifted { // the test's own deadline ends it
			runtime.GC()
			runtime.Gosched()
		}
	}
	stop := keep(64*mb, 0)
	await(true)
	much := make([]byte, 40*mb) // never touched: no page of it is there
	await(false)
	runtime.KeepAlive(much)
	await(true)
	stop()
	if got := now(); got != usual {
		t.Errorf("behind the end GOGC is %d, wanted %d", got, usual)
	}
	debug.SetGCPercent(50)
	keep(64*mb, 0)()
	if got := now(); got != 50 {
		t.Errorf("GOGC was 50 and is %d", got)
	}
}
