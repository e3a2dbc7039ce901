package host

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/reactor"
)

// batchSockets is how many connections are offered at a time, where each has an
// instance.
const batchSockets = 64

// longestFrozen is how long connections are on their way before they are committed
// without the rest.
const longestFrozen = 50 * time.Millisecond

// unsettledWait is how long an instance has to become one that can move.
const unsettledWait = 50 * time.Millisecond

// crossing is what is on its way to a successor. It is one goroutine's.
type crossing struct {
	ctx     context.Context
	h       *Host
	to      Successor // nil = nobody takes them
	accepts bool      // new connections are the successor's with the next commit
	since   time.Duration
	offered []batch // and not committed

	done    map[*guest.Instance]bool // tried, and settled
	groups  int                      // of instances that hang together, so far
	moving  map[*guest.Socket]bool   // with their instance
	numbers map[*reactor.DatagramSocket]int
	left    []leftListeners      // that have moved
	refused []refusedListener    // and stay
	listens map[listenerKey]bool // with their instance
}

// batch is some instances of a slot, frozen and offered.
type batch struct {
	slot   *slot
	d      *Departure
	frozen []*guest.Frozen
	files  [][]*os.File  // duplicates of each's sockets; nil = there was no room for them
	own    *guest.Frozen // that of them which is for new connections; nil = none is
}

// plugins moves what plugins have of one kind of isolation: instances of one connection each,
// or all others. It notes each plugin's departure in list.
func (c *crossing) plugins(plugins []*plugin, single bool, list *[]*Departure) error {
	for _, p := range plugins {
		if (p.current().cfg.Isolation == config.IsolationConnection) != single {
			continue
		}
		if err := c.plugin(p, departure(list, p.name)); err != nil {
			return err
		}
	}
	return nil
}

// commit commits what was offered, which then is forgotten here, or on an error goes on.
func (c *crossing) commit() error {
	taken, err := c.to.Commit(c.accepts)
	why := err
	if taken {
		why = nil
	}
	return errors.Join(err, c.settle(why))
}

// settle ends what is on its way: where why is an error, that keeps it here.
func (c *crossing) settle(why error) error {
	var errs []error
	for _, b := range c.offered {
		errs = append(errs, onLoop(b.slot.place.Loop, func() { b.settle(why, c) }))
	}
	c.offered = nil
	return errors.Join(errs...)
}

// late tells whether it is time to commit.
func (c *crossing) late() bool {
	return len(c.offered) > 0 && c.h.now()-c.since >= longestFrozen
}

// plugin moves a plugin's connections.
func (c *crossing) plugin(p *plugin, d *Departure) error {
	for _, s := range p.allSlots() {
		var err error
		if why := s.stays(); why != "" {
			err = s.keepAll(d, why)
		} else {
			err = (&move{crossing: c, slot: s, d: d}).all()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// stays says why a version's connections can't leave the process, "" = they can.
func (v *version) stays() string {
	switch {
	case v.cfg.Reload != config.ReloadMigrate:
		return "reload: " + string(v.cfg.Reload)
	case !v.guest.Movable():
		return "the module has no saveState and restoreState"
	}
	return ""
}

// keepAll counts what stays.
func (s *slot) keepAll(d *Departure, why string) error {
	return onLoop(s.place.Loop, func() { d.keep(s.place.CountConnections(), why) })
}

// move is the way of a slot's instances.
type move struct {
	*crossing
	slot      *slot
	d         *Departure
	unsettled int // instances, in the last batch
}

// all moves them batch by batch, and what is unsettled again a little later: nobody is
// frozen while that is waited for.
func (m *move) all() error {
	for try := 0; ; {
		more, err := m.batch()
		if err == nil && m.late() {
			err = m.commit()
		}
		switch {
		case err != nil:
			return err
		case more:
			continue
		case m.unsettled == 0 || try == 2:
			return onLoop(m.slot.place.Loop, m.keepRest)
		}
		try++
		if len(m.offered) > 0 {
			if err := m.commit(); err != nil {
				return err
			}
		}
		select {
		case <-m.ctx.Done():
			return m.ctx.Err()
		case <-time.After(unsettledWait):
		}
	}
}

// batch offers some instances; more says that others may be left.
func (m *move) batch() (more bool, err error) {
	if err := m.ctx.Err(); err != nil {
		return false, err
	}
	b := batch{slot: m.slot, d: m.d}
	since := m.h.now()
	if err := onLoop(m.slot.place.Loop, func() { more = m.freeze(&b) }); err != nil {
		return false, err
	}
	if len(b.frozen) == 0 {
		return more, nil
	}
	if len(m.offered) == 0 {
		m.since = since
	}
	m.offered = append(m.offered, b)
	if m.to == nil {
		return more, m.settle(nil)
	}
	refused, err := m.offer(&b)
	if err == nil && slices.ContainsFunc(refused, func(why string) bool { return why != "" }) {
		at := &m.offered[len(m.offered)-1]
		err = onLoop(m.slot.place.Loop, func() { at.thaw(refused, m.moving) })
	}
	return more, err
}

// offer offers a batch.
func (m *move) offer(b *batch) (refused []string, err error) {
	refused, err = m.to.Offer(b.handed())
	b.closeFiles()
	return refused, err
}

// handed is what a batch is to the successor.
func (b *batch) handed() []Handed {
	s := b.slot
	list := make([]Handed, len(b.frozen))
	for n, f := range b.frozen {
		list[n] = Handed{Plugin: s.plugin.name, Loop: s.place.Loop.Index(), Isolation: s.ver.cfg.Isolation,
			State: f.State, Given: f.State.Files(), Sockets: b.sockets(n)}
	}
	return list
}

// closeFiles closes the duplicates that were made ahead.
func (b *batch) closeFiles() {
	for _, files := range b.files {
		closeFiles(files)
	}
}

// sockets gives those of the nth instance: the duplicates that were made as it was frozen, or
// where there were not enough descriptors, some that are made now.
func (b *batch) sockets(n int) func(from, to int) ([]*os.File, error) {
	return func(from, to int) (files []*os.File, err error) {
		if ready := b.files[n]; ready != nil {
			files = slices.Clone(ready[from:to])
			clear(ready[from:to])
			return files, nil
		}
		endErr := onLoop(b.slot.place.Loop, func() { files, err = b.frozen[n].Files(from, to) })
		return files, errors.Join(err, endErr)
	}
}

// freeze freezes instances. On the loop.
func (m *move) freeze(b *batch) (more bool) {
	s := m.slot
	m.unsettled = 0
	sockets := 0
	for i := range s.place.Instances() {
		if m.done[i] {
			continue
		}
		if sockets >= batchSockets || len(b.frozen) > 0 && s.place.Share.Late() {
			return true
		}
		f, err := i.Freeze(false)
		switch {
		case errors.Is(err, guest.ErrUnsettled):
			m.unsettled++
			continue
		case err != nil:
			m.done[i] = true
			if i.Dead() != nil {
				m.d.Dropped += i.CountConnections()
			} else {
				m.d.keep(i.CountConnections(), err.Error())
			}
			continue
		}
		m.done[i] = true
		sockets += f.State.Files()
		m.take(b, f, i)
	}
	return false
}

// take has a batch have a frozen instance. On the loop.
func (c *crossing) take(b *batch, f *guest.Frozen, i *guest.Instance) {
	for n, k := range f.Sockets {
		f.State.Sockets[n].Number = c.numbers[k.On()]
		c.moving[k] = true
	}
	b.add(f, c.to != nil)
	if i == b.slot.inst {
		b.slot.waiting, b.own = true, f
	}
}

// add takes a frozen instance, with duplicates of its sockets where there is room for them. On
// the loop.
func (b *batch) add(f *guest.Frozen, sockets bool) {
	var files []*os.File
	if sockets {
		var err error
		if files, err = f.Files(0, f.State.Files()); err != nil { // see batch.sockets
			closeFiles(files)
			files = nil
		}
	}
	b.frozen, b.files = append(b.frozen, f), append(b.files, files)
}

// thaw has what is refused go on here. On the loop.
func (b *batch) thaw(refused []string, moving map[*guest.Socket]bool) {
	var rest []*guest.Frozen
	for n, f := range b.frozen {
		if refused[n] == "" {
			rest = append(rest, f)
			continue
		}
		b.d.keep(len(f.State.Connections)+f.Staying(), refused[n])
		for _, k := range f.Sockets {
			delete(moving, k)
		}
		f.Thaw()
		b.serve(f)
	}
	b.frozen = rest
}

// serve has new connections come, where they have waited for what becomes of an instance. On
// the loop.
func (b *batch) serve(f *guest.Frozen) {
	s := b.slot
	if f != b.own {
		return
	}
	s.waiting = false
	if !s.running() {
		s.inst = nil
	}
	s.releaseWaiters(nil)
}

// settle does what was decided: where why is an error, all goes on here; else it is forgotten,
// or goes on in a dry run. On the loop.
func (b *batch) settle(why error, c *crossing) {
	for _, f := range b.frozen {
		conns := len(f.State.Connections)
		if why != nil {
			b.d.keep(conns+f.Staying(), why.Error())
		} else {
			b.d.Moved += conns
			b.d.Sockets += len(f.Sockets)
			b.d.Listeners += len(f.State.Listeners)
			for n := range f.State.Listeners {
				c.listens[listenerKey{b.slot.plugin, f.State.Listeners[n].Handle}] = true
			}
			if why := f.Stay(); why != nil {
				b.d.keep(f.Staying(), why.Error())
			}
		}
		if why != nil || c.to == nil {
			f.Thaw()
		} else {
			f.Forget()
			c.leave(b.slot, f.Left)
		}
		b.serve(f)
	}
}

// keepRest counts the connections of instances that never were settled. On the loop.
func (m *move) keepRest() {
	for i := range m.slot.place.Instances() {
		if !m.done[i] {
			m.d.keep(i.CountConnections(), guest.ErrUnsettled.Error())
		}
	}
}
