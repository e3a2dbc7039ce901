package host

import (
	"cmp"
	"errors"
	"slices"

	"github.com/hashicorp/go-hclog"
	"github.com/wirehost/wirehost/reactor"
)

// errShort is why an instance was ended that had done nothing wrong.
var errShort = errors.New("the process is out of memory, and the instance had the largest linear memory")

// endLargest ends instances, those with the largest linear memories first, until
// so many bytes are free: past the limit the system would end the process, with all
// of them. Pages that guests have are touched without a call, so there is no other
// moment to refuse them. Where linear memories are not what the memory is for (less
// than half of the limit), none is ended. One goroutine, and not a loop's.
func (h *Host) endLargest(excess, limit uint64) {
	if !h.started() {
		return
	}
	loops := h.reactor.Loops()
	lists := make([][]*instance, len(loops)) // each its loop's
	sums := make([]uint64, len(loops))
	all := uint64(0)
	for n, l := range loops {
		// A loop that has ended has no instances in use.
		_ = onLoop(l, func() { lists[n], sums[n] = h.largest(l) })
		all += sums[n]
	}
	if all < limit/2 {
		return
	}
	for n, l := range loops {
		part := uint64(float64(excess) * float64(sums[n]) / float64(all))
		_ = onLoop(l, func() {
			for _, i := range lists[n] {
				if part == 0 {
					return
				}
				part -= min(part, i.end())
			}
		})
	}
}

// largest are the instances of a loop, those with the largest memory first, and the
// bytes of all. On the loop.
func (h *Host) largest(l *reactor.Loop) (list []*instance, sum uint64) {
	for _, p := range h.snapshot() {
		p.mu.Lock()
		var slots []*slot
		for _, v := range p.listed() {
			slots = append(slots, v.slots...)
		}
		p.mu.Unlock()
		for _, s := range slots {
			if s.loop != l {
				continue
			}
			for i := range s.all {
				if i.dead == nil {
					list = append(list, i)
					sum += uint64(i.mem.Size())
				}
			}
		}
	}
	slices.SortFunc(list, func(a, b *instance) int { return cmp.Compare(b.mem.Size(), a.mem.Size()) })
	return list, sum
}

// end discards an instance and its connections for the sake of the others, and tells
// how many bytes that frees. On its loop.
func (i *instance) end() uint64 {
	if i.dead != nil {
		return 0
	}
	size := uint64(i.mem.Size())
	i.dead = errShort
	i.ver.plugin.note(hclog.Warn, endedNote, "version", i.ver.name, "bytes", size, "connections", len(i.conns))
	i.dropTimers()
	for _, c := range i.conns {
		c.t.Abort(reactor.OverLimit, errShort)
	}
	i.closeSoon()
	return size
}
