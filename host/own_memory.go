package host

import (
	"runtime/metrics"
	"sync/atomic"
	"time"
)

const (
	// giveBackAgain is how long a process that is short of memory is not made to
	// look for more that it could give back.
	giveBackAgain = 10 * time.Second
	// giveBackShare bounds the processor time of that: the next time comes after so
	// many times as long as the last one took.
	giveBackShare = 20
	// leftoverLeast is how many bytes must have been allocated for it to be worth a
	// collection of garbage.
	leftoverLeast = 4 << 20
	// goneLeast is how many linear memories must have gone for the same. wazero keeps
	// 14 KB of Go's heap beside that of a C guest, 16 to 34 KB beside a Go guest's, which
	// is garbage then, and a server at rest collects it minutes later: 2,000 cells of a Go
	// guest were left by 10,000 connections that had just been opened.
	goneLeast = leftoverLeast / (16 << 10)

	// heapBelow is how far below the end of an overload Go is to keep the process,
	// as a part of the limit: garbage alone neither begins one nor keeps one.
	heapBelow = 0.05
	// heapRoom is the least that Go's limit leaves above what lives, as a part of
	// it: less, and the collector would do nothing else.
	heapRoom = 0.25
	// heapStep is by which part of itself the limit must change to be set anew: the
	// collector paces itself by it, and less than that is noise.
	heapStep = 1.0 / 16
)

// leftovers knows whether what is over may have left memory behind. Any goroutine.
type leftovers struct {
	loading atomic.Int32
	some    atomic.Bool
}

// beginLoading says that something begins that takes memory for a while, such as reading
// and compiling a module. The memory is given back to the system soon after the
// function that it returns was called, which is at the end.
func (l *leftovers) beginLoading() (ended func()) {
	l.loading.Add(1)
	return func() {
		l.some.Store(true)
		l.loading.Add(-1)
	}
}

// left says that something has ended and may have left memory behind.
func (l *leftovers) left() { l.some.Store(true) }

// take tells, once, whether there is something to give back now.
func (l *leftovers) take() bool {
	return l.loading.Load() == 0 && l.some.Swap(false)
}

// ownMemory gives back to the system what Go holds and does not need, and keeps Go's
// own limit at what the process may have. One goroutine.
type ownMemory struct {
	left     *leftovers
	now      func() time.Duration
	read     func() goMemory
	giveBack func()            // returns when it is done
	memories func() int        // linear ones, that there are
	limit    func(bytes int64) // sets Go's own; nil = it is not this host's to set

	set   int64         // what limit was called with last; 0 = never
	last  time.Duration // giving back, but for what a load left: when it ended
	took  time.Duration
	short bool   // last and took are set
	most  int    // linear memories, since some had gone
	alloc uint64 // goMemory.allocated when memory was given back last
}

// goMemory is what Go's runtime tells of itself, in bytes.
type goMemory struct {
	mapped    uint64 // from the system, and not given back
	heap      uint64 // of that, in the heap: objects, garbage and room for more
	live      uint64 // objects that the last collection found in use
	allocated uint64 // of all objects, since the process began
}

func newOwnMemory(h *Host) *ownMemory {
	return &ownMemory{left: &h.leftovers, now: h.spent, read: readGoMemory, giveBack: h.giveBack,
		memories: h.memory.Live, limit: h.o.SetMemoryLimit}
}

// tend gives memory back where something has left some, or before it is short. It
// tells whether it did.
func (m *ownMemory) tend(uses []use, overloaded bool) (gave bool) {
	if m == nil {
		return false
	}
	now := m.read()
	if m.left.take() && now.allocated-m.alloc >= leftoverLeast {
		m.give()
		gave = true
	}
	n := m.memories()
	m.most = max(m.most, n)
	wanted := m.most-n >= goneLeast
	for _, u := range uses {
		if u.what == useOfMemory {
			m.follow(u, now)
			wanted = wanted || u.part() >= u.least(overloaded)
		}
	}
	if wanted && !gave && m.may() {
		began := m.now()
		m.give()
		gave, m.most = true, n
		m.last = m.now()
		m.took, m.short = m.last-began, true
	}
	return gave
}

// may tells whether enough time has passed since memory was short last.
func (m *ownMemory) may() bool {
	return !m.short || m.now()-m.last >= max(giveBackAgain, giveBackShare*m.took)
}

func (m *ownMemory) give() {
	m.alloc = m.read().allocated
	m.giveBack()
}

// follow sets Go's limit to what the process's resident memory leaves for it.
func (m *ownMemory) follow(u use, now goMemory) {
	if m.limit == nil || u.limit == 0 {
		return
	}
	n := heapLimit(u, now)
	if m.set > 0 && max(n-m.set, m.set-n) < int64(heapStep*float64(m.set)) {
		return
	}
	m.set = n
	m.limit(n)
}

// heapLimit is what Go may map, in bytes. What is not Go's counts as well, and is
// out of its sight: linear memories, machine code, the program itself.
func heapLimit(u use, now goMemory) int64 {
	others := u.used - min(u.used, now.mapped)
	limit := uint64((u.endsAt() - heapBelow) * float64(u.limit))
	limit -= min(limit, others)
	least := now.mapped - now.heap + now.live + uint64(heapRoom*float64(now.live))
	return int64(max(limit, least))
}

// readGoMemory asks the runtime, which stops nothing for it.
func readGoMemory() goMemory {
	s := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"},
	}
	metrics.Read(s)
	at := func(n int) uint64 {
		if s[n].Value.Kind() != metrics.KindUint64 { // a runtime that has no such measure
			return 0
		}
		return s[n].Value.Uint64()
	}
	return goMemory{mapped: at(0) - min(at(0), at(1)), heap: at(2) + at(3) + at(4), live: at(5), allocated: at(6)}
}
