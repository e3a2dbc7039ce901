package reactor

import (
	"cmp"
	"slices"
	"time"
)

// Connections yields the loop's connections. Loop only.
func (l *Loop) Connections(yield func(Transport) bool) {
	for _, c := range l.slots {
		if c != nil && !c.unbuilt() && (c.stage < stageLost || c.stage == stageFrozen) && !yield(c) {
			return
		}
	}
}

// SomeConnections yields connections that have a protocol, or are being made by
// Connect, from the nth slot on, of most slots at a time, and tells where to go on; -1 =
// that were all. So a loop with many is looked through in several turns; what comes and
// goes between them may be missed. Loop only.
func (l *Loop) SomeConnections(nth, most int, yield func(Transport, Protocol) bool) (next int) {
	for next = max(0, nth); next < len(l.slots) && most > 0; most-- {
		c := l.slots[next]
		next++
		if c == nil || c.stage >= stageLost && c.stage != stageFrozen {
			continue
		}
		p := c.proto
		if p == nil && c.client != nil {
			p = c.client.proto
		}
		if p != nil && !yield(c, p) {
			break
		}
	}
	if next >= len(l.slots) {
		return -1
	}
	return next
}

// addConn gives c a slot. The slot's generation has grown since its last
// connection, so that no stale event reaches c.
func (l *Loop) addConn(c *connection) {
	if k := len(l.free); k > 0 {
		c.slot = l.free[k-1]
		l.free = l.free[:k-1]
		l.slots[c.slot] = c
	} else {
		c.slot = uint32(len(l.slots))
		l.slots = append(l.slots, c)
		l.gens = append(l.gens, 0)
	}
	c.gen = l.gens[c.slot]
	if c.stage != stageFrozen && c.stage != stageHanding { // opened elsewhere
		l.turns.opened.Add(1)
	}
}

// vacate takes c's slot.
func (l *Loop) vacate(c *connection) {
	l.slots[c.slot] = nil
	l.gens[c.slot] = (l.gens[c.slot] + 1) & (1<<31 - 1)
	l.free = append(l.free, c.slot)
}

func (l *Loop) removeConn(c *connection, forgotten bool) {
	l.vacate(c)
	l.count.Add(-1)
	l.r.countConn(c.link != nil, -1)
	if !forgotten {
		l.turns.lost.Add(1)
		l.details.LostBy[c.reason]++
	}
}

// CloseIdle closes up to n connections that have had no byte for at least idle,
// those that have waited longest first, with reason OverLimit and err, and tells
// how many. Loop only.
func (l *Loop) CloseIdle(n int, idle time.Duration, err error) int {
	now := l.sys.Now()
	var list []*connection
	for _, c := range l.slots {
		if c != nil && (c.stage == stageOpen || c.stage == stageClosing) && now-c.active >= idle {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b *connection) int { return cmp.Compare(a.active, b.active) })
	list = list[:min(n, len(list))]
	for _, c := range list {
		c.endWith(OverLimit, err)
	}
	return len(list)
}
