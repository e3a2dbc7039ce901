package host

import (
	"errors"

	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/reactor"
)

// errShort is why an instance was ended that had done nothing wrong.
var errShort = errors.New("the process is out of memory, and the instance had the largest linear memory")

// endLargest ends instances, those with the largest linear memories first, until
// so many bytes are free: past the limit the system would end the process, with all
// of them. Pages that guests have are touched without a call, so there is no other
// moment to refuse them. Where linear memories are not what the memory is for (less
// than half of the limit), none is ended. One goroutine, and not a loop's.
func (o *overload) endLargest(excess, limit uint64) {
	h := o.h
	if !h.ready.started() {
		return
	}
	loops := h.reactor.Loops()
	lists := make([][]*guest.Instance, len(loops)) // each its loop's
	sums := make([]uint64, len(loops))
	all := uint64(0)
	for n, l := range loops {
		places := placesOn(h, l)
		// A loop that has ended has no instances in use.
		_ = onLoop(l, func() {
			lists[n] = guest.Largest(places)
			for _, i := range lists[n] {
				sums[n] += i.Memory()
			}
		})
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
				part -= min(part, i.Discard(errShort))
			}
		})
	}
}

// pageOut has all instances that can give their memory back.
func (o *overload) pageOut() {
	if !o.h.ready.started() {
		return
	}
	for _, l := range o.h.reactor.Loops() {
		places := placesOn(o.h, l)
		// A loop that has ended has no instances in use.
		_ = l.CallFromThread(func() {
			for _, p := range places {
				p.PageOut()
			}
		})
	}
}

// sharedImages is how many bytes the files in memory have that instances share, of all
// versions. Any goroutine.
func (h *Host) sharedImages() (n uint64) {
	var last *guest.Guest
	for _, p := range h.all() {
		for _, s := range p.allSlots() { // those of a version follow each other
			if g := s.place.Guest; g != last {
				n += g.SharedImages()
				last = g
			}
		}
	}
	return n
}

// placesOn are the places of all plugins' instances on a loop, those of unloaded ones
// too.
func placesOn(h *Host, l *reactor.Loop) (list []*guest.Place) {
	for _, p := range h.all() {
		for _, s := range p.allSlots() {
			if s.place.Loop == l {
				list = append(list, s.place)
			}
		}
	}
	return list
}
