package reactor

import (
	"container/heap"
	"time"
)

// DelayedCall is a function that a loop will call once (Twisted's
// IDelayedCall). Its methods are for the loop that made it.
type DelayedCall struct {
	loop  *Loop
	fn    func()
	when  time.Duration // on the loop's clock
	seq   uint64        // order among equals, and what was added during a run
	index int           // in its heap; -1 when it is not there
	share *Share        // whose time it takes, and in whose heap it is; nil = nobody's, the loop's
}

// CallLater calls fn after d, on the loop, after the I/O of its turn. With d of
// 0 or less that is the loop's next turn. Loop only.
func (l *Loop) CallLater(d time.Duration, fn func()) *DelayedCall {
	t := l.newCall(fn)
	t.schedule(d)
	return t
}

func (l *Loop) newCall(fn func()) *DelayedCall { return &DelayedCall{loop: l, fn: fn, index: -1} }

// heap is the one that the call is in, or is to be in.
func (t *DelayedCall) heap() *timerHeap {
	if t.share != nil {
		return &t.share.timers
	}
	return &t.loop.timers
}

func (t *DelayedCall) schedule(d time.Duration) { t.scheduleAt(t.loop.sys.Now() + max(0, d)) }

// scheduleAt has the call come at a moment of the loop's clock, which may have
// passed.
func (t *DelayedCall) scheduleAt(when time.Duration) {
	l := t.loop
	l.timerSeq++
	t.when, t.seq = when, l.timerSeq
	t.heap().put(t)
	t.share.follow()
}

// Cancel reports whether the call was still to come.
func (t *DelayedCall) Cancel() bool {
	if t.index < 0 {
		return false
	}
	heap.Remove(t.heap(), t.index)
	t.share.follow()
	return true
}

// Reset makes the call come d from now and reports whether it was still to come.
func (t *DelayedCall) Reset(d time.Duration) bool {
	if t.index < 0 {
		return false
	}
	t.schedule(d)
	return true
}

// Remaining is the time until the call, 0 when it is due, has come or was
// cancelled.
func (t *DelayedCall) Remaining() time.Duration {
	if t.index < 0 {
		return 0
	}
	return max(0, t.when-t.loop.sys.Now())
}

// runTimers calls what is due and was there before the run began, so that a
// call that schedules itself with 0 can't hold the loop.
func (l *Loop) runTimers() (ran bool) {
	last := l.timerSeq
	l.timersAt, l.timersSeq = l.now, last
	for len(l.timers) > 0 {
		t := l.timers[0]
		if t.when > l.now || t.seq > last {
			break
		}
		heap.Pop(&l.timers)
		ran = true
		t.fn()
		l.settle()
	}
	return ran
}

// timerHeap is ordered by time, then by age.
type timerHeap []*DelayedCall

func (h timerHeap) Len() int { return len(h) }
func (h timerHeap) Less(i, j int) bool {
	return h[i].when < h[j].when || h[i].when == h[j].when && h[i].seq < h[j].seq
}
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// put puts t where its time belongs.
func (h *timerHeap) put(t *DelayedCall) {
	if t.index >= 0 {
		heap.Fix(h, t.index)
		return
	}
	heap.Push(h, t)
}

func (h *timerHeap) Push(x any) {
	t := x.(*DelayedCall)
	t.index = len(*h)
	*h = append(*h, t)
}
func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = -1
	return t
}
