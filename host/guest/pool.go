package guest

import (
	"bytes"
	"errors"
	"math"
	"time"

	"github.com/wirehost/wirehost/reactor"
)

const (
	// coldCells is how many instances of one connection a place keeps in cells of which
	// each has hardly been called of late. One more takes the cell of such a one.
	coldCells = 256
	// coldCalls is how many calls between two sweeps are hardly any: a new connection
	// has buildProtocol and connectionMade.
	coldCalls = 2
	// lookedAt is how many instances are looked at for one that is cold.
	lookedAt = 8
	// freeCells is how many cells wait for an instance after a sweep. The others are
	// closed.
	freeCells = 16
	// sweptAtOnce is how many instances leave their cells, and cells are closed, in one
	// turn of the loop: 25 to 50 µs each.
	sweptAtOnce = 16
	// maxDifferent is how many bytes of memory may differ from the origin, as far as the
	// system tells, of an instance that leaves its cell: to compare them holds the loop
	// for 0.2 ms.
	maxDifferent = 2 << 20
	// maxKept is how many of them stay in a cell that is free.
	maxKept = 512 << 10
)

// pool is what a place has of cells: those that wait for an instance, and the
// instances that may leave theirs. On its loop.
type pool struct {
	free  []*cell
	busy  []*Instance
	hand  int // where the next cold one is looked for
	sweep *reactor.DelayedCall

	spans []span // of the memory that was looked at last
	saved []byte // of the instance that left its cell last
}

// pages tells whether instances of the guest leave their cells when they are idle.
func (g *Guest) pages() bool { return (g.pageOut < 0 || g.pageOut > 0 && g.single) && g.images }

// takeCell gives a cell whose memory is the origin's and so many pages large; its
// globals are anything. Where there is no room for one more, an instance leaves its own
// that is cold, and with anyone any other.
func (p *Place) takeCell(o *origin, pages uint32, anyone bool) (*cell, error) {
	c := p.pool.take(pages)
	if c == nil && len(p.pool.busy) >= coldCells && p.evict(false) {
		c = p.pool.take(pages)
	}
	if c == nil {
		var err error
		c, err = p.Guest.newCell(o)
		for tries := 0; errors.Is(err, ErrNoRoom) && tries < lookedAt && p.evict(anyone); tries++ {
			if c = p.pool.take(pages); c != nil {
				err = nil
			}
		}
		if err != nil {
			return nil, err
		}
	}
	if err := c.grow(pages); err != nil {
		p.closeCell(c)
		return nil, err
	}
	return c, nil
}

// take gives a free cell with a memory of at most so many pages, or nil: memory does
// not shrink.
func (l *pool) take(pages uint32) *cell {
	for n := len(l.free) - 1; n >= 0; n-- {
		c := l.free[n]
		if c.pages() <= pages {
			last := len(l.free) - 1
			l.free[n] = l.free[last]
			l.free[last] = nil
			l.free = l.free[:last]
			return c
		}
	}
	return nil
}

// evict has an instance leave its cell that was hardly called of late, or has its last
// call before it and waits for its turn, and with anyone any other, and tells whether
// there was one.
func (p *Place) evict(anyone bool) bool {
	l := &p.pool
	for range min(lookedAt, len(l.busy)) {
		if l.hand++; l.hand >= len(l.busy) {
			l.hand = 0
		}
		if i := l.busy[l.hand]; (anyone || i.calls <= coldCalls || i.retiring) && p.pageOut(i) {
			return true
		}
	}
	return false
}

// makeRoom has a cold instance leave for a new one that brings a cell: what is started
// off the loops takes none of the pool's.
func (p *Place) makeRoom() {
	l := &p.pool
	if len(l.busy) < coldCells {
		return
	}
	began := p.Guest.clocks.Spent()
	if p.evict(false) && len(l.free) > freeCells {
		p.closeCell(l.take(math.MaxUint32))
	}
	p.Share.Spent(p.Guest.clocks.Spent() - began)
}

// admit puts an instance among those that may leave their cells.
func (p *Place) admit(i *Instance) {
	l := &p.pool
	l.busy = append(l.busy, i)
	i.seat = int32(len(l.busy))
	i.calls, i.quiet = 0, 0
	if l.sweep == nil && !p.stopped {
		l.sweep = p.Share.CallLater(p.Guest.sweepEvery(), p.sweepCells)
	}
}

// sweepEvery is how long there is between two sweeps.
func (g *Guest) sweepEvery() time.Duration { return max(0, g.pageOut/sweeps) }

// dismiss is admit's inverse; nothing for an instance that was not admitted.
func (l *pool) dismiss(i *Instance) {
	if i.seat == 0 {
		return
	}
	last := len(l.busy) - 1
	moved := l.busy[last]
	l.busy[i.seat-1], moved.seat = moved, i.seat
	i.seat = 0
	l.busy[last] = nil
	l.busy = l.busy[:last]
}

// sweeps is how often instances are looked at in the time after which they leave.
const sweeps = 2

// sweepCells has the instances leave that have been idle, and closes cells that nobody
// needs, some in each turn.
func (p *Place) sweepCells() {
	l := &p.pool
	l.sweep = nil
	began := p.Guest.clocks.Spent()
	for n := len(l.busy) - 1; n >= 0; n-- {
		i := l.busy[n]
		if i.quiet++; i.calls > 0 {
			i.calls, i.quiet = 0, 0
		}
	}
	p.Share.Spent(p.Guest.clocks.Spent() - began)
	p.sweepSome()
}

// sweepSome does a part of a sweep.
func (p *Place) sweepSome() {
	l := &p.pool
	l.sweep = nil
	began := p.Guest.clocks.Spent()
	left := sweptAtOnce
	for n := len(l.busy) - 1; n >= 0 && left > 0; n-- {
		if i := l.busy[n]; i.quiet >= sweeps {
			left-- // whether it leaves or not: to look takes as long
			p.pageOut(i)
		}
	}
	for ; len(l.free) > freeCells && left > 0; left-- {
		p.closeOldest()
	}
	p.Share.Spent(p.Guest.clocks.Spent() - began)
	switch {
	case left == 0:
		l.sweep = p.Share.CallLater(0, p.sweepSome)
	case len(l.busy) > 0:
		l.sweep = p.Share.CallLater(p.Guest.sweepEvery(), p.sweepCells)
	}
}

// PageOut has all instances leave their cells that can, and closes the cells, some in
// each turn: memory is short. On the loop.
func (p *Place) PageOut() {
	if p.pool.sweep == nil {
		return // there are none
	}
	for _, i := range p.pool.busy {
		i.quiet, i.calls = sweeps, 0
	}
	p.pool.sweep.Cancel()
	p.sweepSome()
}

// pageOut has an instance leave its cell, and tells whether it did. Otherwise it is looked
// at again after some sweeps.
func (p *Place) pageOut(i *Instance) bool {
	l, c, o := &p.pool, i.cell, p.Guest.origin.Load()
	i.quiet = 0
	if i.dead != nil || i.phase != phaseIdle || !c.based {
		return false
	}
	l.saved = o.appendHead(l.saved[:0], c)
	if !l.reset(o, c, true) {
		return false
	}
	i.saved = bytes.Clone(l.saved)
	l.dismiss(i)
	i.leave()
	p.free(c)
	return true
}

// reset puts a cell's memory back to the origin, unless too much of it differs, and tells
// whether it did. With keep, what was other is appended to l.saved.
func (l *pool) reset(o *origin, c *cell, keep bool) bool {
	l.spans = dirty(c.bytes(), l.spans[:0])
	if spanned(l.spans) > maxDifferent {
		return false
	}
	l.saved = o.reset(c.bytes(), l.spans, l.saved, keep)
	return true
}

// free puts a cell into the pool that has been reset. l.spans are those of its memory.
func (p *Place) free(c *cell) {
	if p.isEnding() {
		p.closeCell(c)
		return
	}
	if spanned(p.pool.spans) > maxKept {
		if err := p.Guest.origin.Load().image.drop(c.linear); err != nil {
			p.Guest.account.warn(closeNote, "version", p.Guest.name, "err", err)
			p.closeCell(c)
			return
		}
	}
	if len(p.pool.free) >= coldCells { // of a size that nobody needs, or their instances have all ended
		p.closeOldest()
	}
	p.pool.free = append(p.pool.free, c)
}

// closeOldest closes the free cell that has waited longest.
func (p *Place) closeOldest() {
	l := &p.pool
	p.closeCell(l.free[0])
	l.free[0] = nil // nothing else drops it: it has 14 KB of Go's heap and more
	l.free = l.free[1:]
}

// giveBack takes the cell of an instance that has ended. One that has not trapped is
// reset, for the next.
func (p *Place) giveBack(i *Instance, c *cell) {
	if p.isEnding() || !c.based || !p.Guest.pages() || i.dead != nil && !errors.Is(i.dead, errRetired) ||
		!p.pool.reset(p.Guest.origin.Load(), c, false) {
		p.closeCell(c)
		return
	}
	p.free(c)
}

// pageIn has an instance take a cell, and tells whether it did. Otherwise it has ended.
func (i *Instance) pageIn() bool {
	p, o := i.place, i.guest.origin.Load()
	began := i.guest.clocks.Spent()
	pages, saved := pagesOf(i.saved)
	c, err := p.takeCell(o, pages, true)
	if err != nil {
		i.Discard(err)
		return false
	}
	apply(c.bytes(), o.putGlobals(c, saved))
	i.saved = nil
	i.enter(c)
	p.admit(i)
	p.Share.Spent(i.guest.clocks.Spent() - began)
	return true
}

// isEnding tells whether no instance will need a cell any more.
func (p *Place) isEnding() bool { return p.stopped || p.closing && len(p.all) == 0 }

// drain closes the free cells, where nothing will need them.
func (p *Place) drain() {
	l := &p.pool
	if !p.isEnding() {
		return
	}
	for _, c := range l.free {
		p.closeCell(c)
	}
	l.free = nil
	if l.sweep != nil && !p.stopped {
		l.sweep.Cancel()
	}
	l.sweep = nil
}

func (p *Place) closeCell(c *cell) { p.Guest.closeCell(c) }

func (g *Guest) closeCell(c *cell) {
	if err := c.close(); err != nil {
		g.account.warn(closeNote, "version", g.name, "err", err)
	}
}
