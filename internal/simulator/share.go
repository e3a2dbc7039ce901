package simulator

import (
	"time"

	"github.com/wirehost/wirehost/reactor"
)

// owner is whose time simulated protocols take. They say that callbacks took time
// which has not passed, and so an owner is late at random.
type owner struct {
	share *reactor.Share
	used  time.Duration // in this turn
}

// newOwners makes up to three owners for each loop; often none.
func (w *world) newOwners() {
	for _, l := range w.r.Loops() {
		var list []*owner
		for range max(0, w.c.n(6)-2) {
			list = append(list, &owner{share: l.NewShare()})
		}
		w.owners = append(w.owners, list)
	}
}

// anyOwner is one of l's owners, or nil.
func (w *world) anyOwner(l *reactor.Loop) *owner {
	list := w.owners[l.Index()]
	if len(list) == 0 || w.c.oneIn(4) {
		return nil
	}
	return list[w.c.n(len(list))]
}

// share is whose time an accepted connection takes.
func (w *world) share(l *reactor.Loop) *reactor.Share {
	if o := w.anyOwner(l); o != nil {
		return o.share
	}
	return nil
}

// ownerOf is whose time t takes.
func (w *world) ownerOf(t reactor.Transport) *owner {
	s := t.(interface{ Share() *reactor.Share }).Share()
	for _, o := range w.owners[t.Loop().Index()] {
		if o.share == s {
			return o
		}
	}
	return nil
}

// newTurn is before each turn of the loops.
func (w *world) newTurn() {
	for _, list := range w.owners {
		for _, o := range list {
			o.used = 0
		}
	}
}

// begins is a callback's begin. What the schedule itself calls asks nobody.
func (o *owner) begins(p *protocol) {
	if o != nil && o.used >= reactor.TurnShare && !p.w.closing && !p.w.unasked {
		p.w.violated("%v: a callback in a turn of which its owner has used %v", p, o.used)
	}
}

// ends is a callback's end: most take no time that is known.
func (o *owner) ends(p *protocol) {
	if o == nil {
		return
	}
	var took time.Duration
	if p.w.c.oneIn(p.w.style.slow) {
		took = time.Duration(p.w.c.n(8000)) * time.Microsecond
	}
	p.w.tracef("%v: took %v", p, took)
	if !p.w.unasked {
		o.used += took
	}
	o.share.Spent(took)
}

// delay calls fn later, for p's owner, where it has one.
func (p *protocol) delay(d time.Duration, fn func()) *reactor.DelayedCall {
	if p.owner != nil {
		return p.owner.share.CallLater(d, fn)
	}
	return p.loop.CallLater(d, fn)
}
