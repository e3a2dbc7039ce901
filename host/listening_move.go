package host

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/guest"
)

// In a handover guests' listeners are held, by both processes: what connects waits with the
// system. They move with their instances, and then those of the others, which stay: as at a
// reload, what listens always goes to the successor.

// leftListeners are listeners that no instance has, where one of a slot is to have them, or
// had.
type leftListeners struct {
	slot *slot
	list guest.Detached
}

// refusedListener is one of a slot's that the other process can't have.
type refusedListener struct {
	slot *slot
	guest.LoneListener
}

// listenerKey is a listener of a plugin's guests.
type listenerKey struct {
	plugin *plugin
	handle int32
}

// GuestListeners are guests' listeners, by plugin, as the other process's
// Options.InheritedGuests is to know them. On no loop.
func (o *Handover) GuestListeners() map[string][]GuestListener {
	all := map[string][]GuestListener{}
	for _, p := range o.plugins {
		if list := p.account.Promised(); len(list) > 0 {
			all[p.name] = list
		}
	}
	return all
}

// holdListeners has no guest's listener take connections. What was taken has its protocol when
// it returns.
func (o *Handover) holdListeners() error {
	if o.held {
		return nil
	}
	o.held = true
	for _, p := range o.plugins {
		if err := p.account.HoldListeners(); err != nil {
			return err
		}
	}
	for _, l := range o.h.reactor.Loops() {
		if err := onLoop(l, func() {}); err != nil {
			return err
		}
	}
	return nil
}

// leaveListeners lets go of those that are the other process's.
func (o *Handover) leaveListeners() (err error) {
	for _, one := range o.left {
		err = errors.Join(err, one.list.Leave())
	}
	return err
}

// closeRefused closes those that the other process can't have. Others that guests have here were made
// since, and are theirs.
func (o *Handover) closeRefused() (err error) {
	for _, one := range o.refused {
		var list guest.Detached
		endErr := onLoop(one.slot.place.Loop, func() { list = one.Detach() })
		err = errors.Join(err, endErr)
		list.Close()
	}
	return err
}

// listenAgain is the end of holdListeners: those that had moved get another instance.
func (o *Handover) listenAgain() (err error) {
	for _, one := range o.left {
		err = errors.Join(err, one.slot.attach(one.list))
	}
	if o.held {
		err = errors.Join(err, releaseListeners(slices.Values(o.plugins)))
	}
	return err
}

// leave notes listeners that have moved from a slot.
func (c *crossing) leave(s *slot, list guest.Detached) {
	if len(list) > 0 {
		c.left = append(c.left, leftListeners{s, list})
	}
}

// attach gives listeners that nobody has to an instance of the slot's: the one for new
// connections, or where each has its own, a new one. Where there is none to be had, they are
// closed, which is told. On no loop.
func (s *slot) attach(list guest.Detached) error {
	single := s.ver.cfg.Isolation == config.IsolationConnection
	given := false
	err := onLoop(s.place.Loop, func() {
		if given = !single && s.running(); given {
			list.Attach(s.inst)
		}
	})
	if err != nil || given {
		return err
	}
	i, err := s.ver.newInstance(s.heir())
	if err != nil {
		s.plugin.account.Note(hclog.Warn, closedNote, "version", s.ver.name, "err", err)
		list.Close()
		return nil
	}
	return onLoop(s.place.Loop, func() {
		if single || !s.running() {
			s.adoptInstance(i)
			list.Attach(i)
			return
		}
		i.Close()
		list.Attach(s.inst)
	})
}

// closedNote is the line of listeners that no instance could be made for.
const closedNote = "listeners are closed: no instance for them to move to"

// loneListeners moves what guests listen on and has not moved with an instance.
func (c *crossing) loneListeners(plugins []*plugin, list *[]*Departure) error {
	for _, p := range plugins {
		for _, s := range p.allSlots() {
			var alone []guest.LoneListener
			if err := onLoop(s.place.Loop, func() { alone = s.place.LoneListeners() }); err != nil {
				return err
			}
			alone = slices.DeleteFunc(alone, func(one guest.LoneListener) bool {
				return c.listens[listenerKey{p, one.State.Handle}] // of a dry run
			})
			if len(alone) == 0 {
				continue
			}
			d := departure(list, p.name)
			if c.to == nil {
				d.Listeners += len(alone)
				continue
			}
			if err := c.offerListeners(s, alone, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// offerListeners offers such listeners of a slot. What is refused ends with its plugin here.
func (c *crossing) offerListeners(s *slot, alone []guest.LoneListener, d *Departure) error {
	var all []Handed
	for _, one := range alone {
		h := Handed{Plugin: s.plugin.name, Loop: s.place.Loop.Index(), Isolation: s.ver.cfg.Isolation, Alone: true,
			State: guest.State{Listeners: []guest.ListenerState{one.State}}, Given: 1}
		h.Sockets = func(from, to int) (files []*os.File, err error) {
			endErr := onLoop(s.place.Loop, func() {
				var f *os.File
				if f, err = one.File(); err == nil {
					files = append(files, f)
				}
			})
			return files, errors.Join(err, endErr)
		}
		all = append(all, h)
	}
	refused, err := c.to.Offer(all)
	if err != nil {
		return err
	}
	if slices.Contains(refused, "") {
		if err := c.commit(); err != nil {
			return err
		}
	}
	c.noteClosed(s, d, alone, refused)
	return onLoop(s.place.Loop, func() {
		for n, one := range alone {
			if refused[n] == "" {
				d.Listeners++
				c.leave(s, one.Detach())
			}
		}
	})
}

// noteClosed notes what the other process has refused.
func (c *crossing) noteClosed(s *slot, d *Departure, alone []guest.LoneListener, refused []string) {
	for n, why := range refused {
		if why != "" {
			d.Closed = append(d.Closed, guest.Clean(alone[n].State.Bound+": "+why))
			c.refused = append(c.refused, refusedListener{s, alone[n]})
		}
	}
}

// awaitGuests has the plugin's starts know of the listeners that another process may give, and
// take no handle of what may come with them.
func (p *plugin) awaitGuests() error {
	if p.host.o.TakeOver == nil {
		return nil
	}
	if err := p.account.HoldListeners(); err != nil {
		return err
	}
	if p.host.o.InheritedGuests != nil {
		last, list := p.host.o.InheritedGuests(p.name)
		p.account.GoOn(last.Connections, last.Timers)
		p.account.PromiseListeners(list, func(n int) int { return p.loopAt(n).Index() })
	}
	return nil
}

// adoptListeners takes listeners that come without their instance.
func (t *Takeover) adoptListeners(one *Handed) error {
	p := t.h.plugins[one.Plugin]
	if p == nil {
		return fmt.Errorf("plugin %s: %w", one.Plugin, ErrUnknown)
	}
	s := p.slots[p.loopAt(one.Loop).Index()]
	if s == nil {
		return errNotHere
	}
	if want := one.State.Files(); one.Given != want {
		return fmt.Errorf("found %d sockets, wanted %d", one.Given, want)
	}
	files, err := one.Sockets(0, one.Given)
	defer closeFiles(files)
	if err != nil {
		return err
	}
	list, err := s.ver.guest.AdoptListeners(one.State.Listeners, files, s.place.Loop.Index())
	if err == nil {
		t.listen = append(t.listen, leftListeners{s, list})
	}
	return err
}

// commitListeners gives those to instances.
func (t *Takeover) commitListeners() (err error) {
	for _, one := range t.listen {
		err = errors.Join(err, one.slot.attach(one.list))
	}
	t.listen = nil
	return err
}

// releaseListeners has guests' listeners be this process's: what was promised and has not come
// is bound by those whose start listens there, and what else they have claimed is others'.
func releaseListeners(plugins iter.Seq[*plugin]) (err error) {
	for p := range plugins {
		p.account.ReleaseListeners()
		for _, s := range p.allSlots() {
			err = errors.Join(err, onLoop(s.place.Loop, func() {
				for i := range s.place.Instances() {
					i.SettlePromises()
				}
			}))
		}
	}
	return err
}
