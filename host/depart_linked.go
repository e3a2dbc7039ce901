package host

import (
	"errors"
	"fmt"
	"time"

	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/reactor"
)

// Instances that have connections to one another inside the process move together, with both
// ends of each: all that hangs together, or nothing of it. So what an instance has of outer
// connections goes, or stays, with those inside that belong to them.

// member is an instance that has connections inside the process, with their numbers.
type member struct {
	slot  *slot
	inst  *guest.Instance
	links []uint64
}

// linked moves what hangs together, before all else. Who is unsettled is tried again, twice.
func (c *crossing) linked(plugins []*plugin, list *[]*Departure) error {
	for try := 0; ; try++ {
		members, err := c.members(plugins)
		if err != nil {
			return err
		}
		again := false
		for _, g := range groupsOf(members) {
			unsettled, err := c.group(g, list, try == 2)
			if again = again || unsettled; err == nil && c.late() {
				err = c.commit()
			}
			if err != nil {
				return err
			}
		}
		if !again {
			return nil
		}
		if len(c.offered) > 0 {
			if err := c.commit(); err != nil {
				return err
			}
		}
		select {
		case <-c.ctx.Done():
			return c.ctx.Err()
		case <-time.After(unsettledWait):
		}
	}
}

// members are the instances that have connections inside the process, and are not done.
func (c *crossing) members(plugins []*plugin) (list []member, err error) {
	for _, p := range plugins {
		for _, s := range p.allSlots() {
			err = errors.Join(err, onLoop(s.place.Loop, func() {
				for i := range s.place.Instances() {
					if c.done[i] || !i.Usable() {
						continue
					}
					if links := i.Links(); len(links) > 0 {
						list = append(list, member{s, i, links})
					}
				}
			}))
		}
	}
	return list, err
}

// groupsOf are those of the list that hang together.
func groupsOf(list []member) (groups [][]member) {
	ends := map[uint64][]int{}
	for n, m := range list {
		for _, link := range m.links {
			ends[link] = append(ends[link], n)
		}
	}
	seen := make([]bool, len(list))
	for n := range list {
		if seen[n] {
			continue
		}
		seen[n] = true
		var group []member
		for next := []int{n}; len(next) > 0; {
			at := next[len(next)-1]
			next = next[:len(next)-1]
			group = append(group, list[at])
			for _, link := range list[at].links {
				for _, other := range ends[link] {
					if !seen[other] {
						seen[other] = true
						next = append(next, other)
					}
				}
			}
		}
		groups = append(groups, group)
	}
	return groups
}

// group freezes what hangs together, and offers it. Where it is unsettled, and not tried for
// the last time, it goes on.
func (c *crossing) group(members []member, list *[]*Departure, last bool) (unsettled bool, err error) {
	if why := groupStays(members); why != "" {
		return false, c.keepGroup(members, list, why)
	}
	batches, failed, err := c.freezeGroup(members, list)
	if err != nil {
		return false, errors.Join(err, c.thawGroup(batches, ""))
	}
	switch {
	case errors.Is(failed, guest.ErrUnsettled) && !last:
		return true, c.thawGroup(batches, "")
	case failed != nil:
		return false, errors.Join(c.thawGroup(batches, ""), c.keepGroup(members, list, failed.Error()))
	}
	if len(c.offered) == 0 {
		c.since = c.h.now()
	}
	for _, b := range batches {
		c.offered = append(c.offered, *b)
	}
	for _, m := range members {
		c.done[m.inst] = true
	}
	if c.to == nil {
		return false, c.settle(nil)
	}
	why, err := c.offerGroup(batches)
	if err != nil || why == "" {
		return false, err
	}
	c.offered = c.offered[:len(c.offered)-len(batches)]
	return false, c.thawGroup(batches, why)
}

// groupStays says why a group can't leave the process; "" = it can.
func groupStays(members []member) string {
	for _, m := range members {
		if why := m.slot.stays(); why != "" {
			return hangs + m.slot.plugin.name + ": " + why
		}
	}
	return ""
}

// hangs stands before a plugin that keeps another's connections, and why it stays itself.
const hangs = "it hangs together with plugin "

// refusedWith is why the new process refuses an instance where it has refused another of its
// group.
const refusedWith = "what it hangs together with is refused"

// stays says why what a slot has can't leave the process; "" = it can.
func (s *slot) stays() string {
	v := s.plugin.current()
	if s.ver != v {
		return "of " + s.ver.name + ", which was replaced before"
	}
	return v.stays()
}

// keepGroup has a group stay. Slots all of whose connections stay are counted later.
func (c *crossing) keepGroup(members []member, list *[]*Departure, why string) (err error) {
	for _, m := range members {
		if m.slot.stays() != "" {
			continue
		}
		c.done[m.inst] = true
		d := departure(list, m.slot.plugin.name)
		err = errors.Join(err, onLoop(m.slot.place.Loop, func() {
			if m.inst.Dead() != nil {
				d.Dropped += m.inst.CountConnections()
			} else {
				d.keep(m.inst.CountConnections(), why)
			}
		}))
	}
	return err
}

// freezeGroup freezes the instances of a group, one after the other, and then what is on its
// way between them. failed is why one can't be.
func (c *crossing) freezeGroup(members []member, list *[]*Departure) (batches []*batch, failed, err error) {
	of := map[*slot]*batch{}
	for _, m := range members {
		b := of[m.slot]
		if b == nil {
			b = &batch{slot: m.slot, d: departure(list, m.slot.plugin.name)}
			of[m.slot], batches = b, append(batches, b)
		}
		err := onLoop(m.slot.place.Loop, func() {
			var f *guest.Frozen
			if f, failed = m.inst.Freeze(true); failed == nil {
				c.take(b, f, m.inst)
			}
		})
		if err != nil || failed != nil {
			return batches, failed, err
		}
	}
	ends := map[uint64]int{}
	for _, b := range batches {
		err := onLoop(b.slot.place.Loop, func() {
			for _, f := range b.frozen {
				failed = errors.Join(failed, f.FreezeLinks())
				c.noteLinks(f, ends)
			}
		})
		if err != nil || failed != nil {
			return batches, failed, err
		}
	}
	for _, n := range ends {
		if n != 2 { // one has been made since
			return batches, guest.ErrUnsettled, nil
		}
	}
	return batches, nil, nil
}

// noteLinks counts an instance's ends of connections inside the process, and says where they
// came to. An end whose other one has closed counts twice.
func (c *crossing) noteLinks(f *guest.Frozen, ends map[uint64]int) {
	for n := range f.State.Connections {
		one := &f.State.Connections[n]
		link := one.Socket.Link
		if link == nil {
			continue
		}
		if ln := f.Listener(n); ln != nil {
			one.Listener = c.h.insideName(ln)
		}
		ends[link.Number]++
		if link.Alone {
			ends[link.Number]++
		}
	}
}

// insideName is what another process finds a listener inside the process by: its plugin's, or
// that of a place in a chain.
func (h *Host) insideName(ln *reactor.Listener) string {
	for _, l := range h.listeners {
		for n, at := 1, l.ln.Next(); at != nil; n, at = n+1, at.Next() {
			if at == ln {
				return fmt.Sprintf("%d%s%s", n, behind, l.ln.Endpoint())
			}
		}
	}
	return ln.Endpoint().String()
}

// behind stands between the place in a chain and the chain's endpoint.
const behind = " behind "

// offerGroup offers a group, and tells why it is refused; "" = it is not.
func (c *crossing) offerGroup(batches []*batch) (why string, err error) {
	var list []Handed
	c.groups++
	for _, b := range batches {
		for _, one := range b.handed() {
			one.Group = c.groups
			list = append(list, one)
		}
	}
	refused, err := c.to.Offer(list)
	for _, b := range batches {
		b.closeFiles()
	}
	for n, text := range refused {
		if text != "" && (why == "" || why == refusedWith) {
			why = text
			if text != refusedWith {
				why = hangs + list[n].Plugin + ": " + text
			}
		}
	}
	return why, err
}

// thawGroup has what is frozen go on here. why is counted; "" = nothing is.
func (c *crossing) thawGroup(batches []*batch, why string) (err error) {
	for _, b := range batches {
		b.closeFiles()
		refused := make([]string, len(b.frozen))
		for n := range refused {
			refused[n] = why
		}
		if why == "" {
			b.d = &Departure{}
			for n := range refused {
				refused[n] = "it is tried again"
			}
		}
		err = errors.Join(err, onLoop(b.slot.place.Loop, func() { b.thaw(refused, c.moving) }))
	}
	return err
}

// wholeGroups has each group of an offer that was refused in part be refused whole.
func (t *Takeover) wholeGroups(list []Handed, refused []string, adopted map[*slot][]adoption) {
	broken := map[int]bool{}
	for n := range list {
		if refused[n] != "" {
			broken[list[n].Group] = true
		}
	}
	for s, all := range adopted {
		for _, a := range all {
			if a.group != 0 && broken[a.group] && *a.refused == "" {
				*a.refused = refusedWith
				t.dropOne(s, a.inst)
			}
		}
	}
}

// dropOne lets go of an instance that was adopted and not committed.
func (t *Takeover) dropOne(s *slot, i *guest.Instance) {
	var rest []*guest.Instance
	for _, other := range t.prepared[s] {
		if other != i {
			rest = append(rest, other)
		}
	}
	t.prepared[s] = rest
	err := onLoop(s.place.Loop, func() {
		i.DropAdopted(s.place)
		i.Close()
	})
	if err != nil { // the loop has ended
		i.Close()
	}
}
