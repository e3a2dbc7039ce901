// Package heapfloor has Go's collector let a small heap grow to a floor before it begins
// again, while garbage comes fast. Go's own floor is 4 MB: a process whose objects take
// 1 MB, and that makes 60 KB of garbage for each TLS handshake, collects every 40 of them.
package heapfloor

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// Server is the floor of a server's heap, bytes (internal/command/RATIONALE.md).
const Server = 16 << 20

const (
	// fast is from how many bytes a second on garbage comes fast: who makes less collects
	// seldom anyway, and keeps the memory.
	fast = 16 << 20
	// usual is Go's own GOGC, and what a heap of half the floor, or more, has.
	usual = 100
	// steady is by how much of itself a percentage changes before it is set: that stops all
	// goroutines for a moment.
	steady = 4
	// least is Go's own floor where GOGC is usual, bytes.
	least = 4 << 20
)

// Keep has no collection begin before the heap has floor bytes, or is twice what lives in
// it as ever, where garbage comes fast and Go's memory limit has nothing against it. Behind
// each collection it looks at what lives, on the runtime's goroutine of finalizers. stop has
// GOGC what it was. Any goroutine.
func Keep(floor uint64) (stop func()) { return keep(floor, fast) }

func keep(floor, fast uint64) (stop func()) {
	was := debug.SetGCPercent(usual)
	if was < usual { // somebody wants less memory, or no collector
		debug.SetGCPercent(was)
		return func() {}
	}
	k := &keeper{floor: floor, fast: fast, set: func(percent int) { debug.SetGCPercent(percent) },
		percent: usual, last: read()}
	k.arm()
	return func() {
		k.end()
		debug.SetGCPercent(was)
	}
}

// keeper is a floor that is kept.
type keeper struct {
	floor uint64
	fast  uint64 // bytes of garbage a second
	set   func(percent int)

	mu      sync.Mutex
	last    measures // of the look before
	percent int      // that was set last
	ended   bool
}

// measures are what the runtime tells, in bytes, and when.
type measures struct {
	live      uint64 // that the last collection found
	rest      uint64 // stacks and globals, which are marked too
	allocated uint64 // ever
	at        time.Time
}

func read() measures {
	s := [...]metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"},
		{Name: "/gc/heap/allocs:bytes"},
	}
	metrics.Read(s[:])
	number := func(n int) uint64 {
		if s[n].Value.Kind() != metrics.KindUint64 { // a runtime that has no such measure
			return 0
		}
		return s[n].Value.Uint64()
	}
	return measures{live: number(0), rest: number(1) + number(2), allocated: number(3), at: time.Now()}
}

// cycle is garbage at once: its finalizer runs when the next collection has ended.
type cycle struct{ of *keeper }

func (k *keeper) arm() {
	runtime.SetFinalizer(&cycle{k}, func(c *cycle) {
		if c.of.look(read()) {
			c.of.arm()
		}
	})
}

// look sets the percentage for what there is now, and tells whether the floor is kept yet.
func (k *keeper) look(now measures) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ended {
		return false
	}
	wanted := usual
	if float64(now.allocated-k.last.allocated) >= float64(k.fast)*now.at.Sub(k.last.at).Seconds() {
		wanted = percentage(k.floor, now.live, now.rest)
	}
	k.last = now
	if change := max(wanted-k.percent, k.percent-wanted); change*steady > k.percent || wanted == usual && change > 0 {
		k.percent = wanted
		k.set(wanted)
	}
	return true
}

func (k *keeper) end() {
	k.mu.Lock()
	k.ended = true
	k.mu.Unlock()
}

// percentage is the GOGC with which the heap grows to floor: to live, and GOGC percent of
// live and rest, but to GOGC percent of least in any case.
func percentage(floor, live, rest uint64) int {
	if floor <= live || live+rest == 0 {
		return usual
	}
	return max(usual, int(min((floor-live)*100/(live+rest), floor*100/least)))
}
