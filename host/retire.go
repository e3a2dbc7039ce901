package host

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/wirehost/wirehost/reactor"
)

// replacedBy makes v the active version, after every loop has changed to it. The
// one before stays loaded until its connections have ended; the last one
// replaced stays longer, empty as it may be, so that there is a way back: until
// the next change, or until its drain time is over.
func (p *plugin) replacedBy(v *version) {
	p.mu.Lock()
	old := p.active
	p.active, v.state, v.since = v, StateActive, p.host.wall()
	p.failure = nil
	p.budget.setRate(int(v.cfg.Limits.LogBytes))
	old.state = StateDraining
	old.replaced++
	p.replaced = append(p.replaced, old)
	p.limitDrain(old, old.replaced)
	p.mu.Unlock()
	p.settle()
}

// settle frees the replaced versions that nothing is left of, but for the last
// one, and closes the connections of the oldest where too many have some.
func (p *plugin) settle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	draining := 0
	for n := len(p.replaced) - 1; n >= 0; n-- {
		v := p.replaced[n]
		if v.live.Load() > 0 {
			if draining++; draining > maxReplaced {
				p.closeAll(v)
			}
			continue
		}
		if v.state == StateDraining {
			v.state = StateStandby
		}
		if n < len(p.replaced)-1 || v.state == StateRetired || p.unloaded {
			p.replaced = slices.Delete(p.replaced, n, n+1)
			p.free(v)
		}
	}
}

// emptied is told that a version has no instance left. Any goroutine.
func (p *plugin) emptied(v *version) {
	p.mu.Lock()
	over := v.state == StateDraining || v.state == StateRetired
	p.mu.Unlock()
	if over {
		p.settle()
	}
}

// giveUp has a version that was tried drain, and freed as soon as nothing is left
// of it.
func (p *plugin) giveUp(v *version) {
	p.mu.Lock()
	v.state = StateRetired
	v.replaced++
	p.replaced = append([]*version{v}, p.replaced...)
	p.limitDrain(v, v.replaced)
	p.mu.Unlock()
	p.settle()
}

// limitDrain closes what is left of a replaced version after its drain time,
// unless it was active again in between.
func (p *plugin) limitDrain(v *version, time int) {
	l := p.host.reactor.Loops()[0]
	// A loop that has ended has no connections.
	_ = l.CallFromThread(func() {
		if v.drain != nil {
			v.drain.Cancel()
		}
		v.drain = l.CallLater(v.cfg.Drain, func() {
			p.mu.Lock()
			over := v.state != StateActive && v.replaced == time
			if over {
				v.state = StateRetired
				p.closeAll(v)
			}
			p.mu.Unlock()
			if over {
				p.settle()
			}
		})
	})
}

// closeAll closes a replaced version's connections.
func (p *plugin) closeAll(v *version) {
	for _, s := range v.slots {
		// A loop that has ended has no connections.
		_ = s.loop.CallFromThread(func() { s.closeConnections(reactor.Replaced) })
	}
}

// revive takes a replaced version out of the list, to be made active again; nil
// where it is not there.
func (p *plugin) revive(name string) *version {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, v := range p.replaced {
		if v.name == name && v.state != StateRetired {
			p.replaced = slices.Delete(p.replaced, n, n+1)
			return v
		}
	}
	return nil
}

// putBack is revive's inverse.
func (p *plugin) putBack(v *version) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.replaced = append(p.replaced, v)
}

// versions are all that are loaded, the active one last. p.mu is held.
func (p *plugin) versions() []*version {
	list := slices.Clone(p.replaced)
	if p.active != nil && !p.unloaded {
		list = append(list, p.active)
	}
	return list
}

// listed are the versions to tell of, the active one last. p.mu is held.
func (p *plugin) listed() []*version {
	list := p.versions()
	if p.trying != nil && !slices.Contains(list, p.trying) {
		list = slices.Insert(list, 0, p.trying)
	}
	return list
}

// end frees all versions after the loops have ended. What instances are left then
// are stopped until a moment of Host.spent, and the others dropped.
func (p *plugin) end(ctx context.Context, by time.Duration) error {
	p.mu.Lock()
	versions := p.versions()
	p.replaced, p.active = nil, nil
	p.mu.Unlock()
	p.freeing.Wait()
	var errs []error
	for _, v := range versions {
		v.starter.stop()
		for _, s := range v.slots {
			s.ended = true
			s.share = nil // its loop has none any more, and other plugins end beside this one
			s.quiet()
			for i := range s.all {
				i.loop = nil // what it does now is done here
				if len(i.conns) == 0 && p.host.spent() < by {
					i.stop()
				}
				i.close() // the turn of the loop in which it was to be never comes
			}
		}
		errs = append(errs, v.close(ctx))
	}
	return errors.Join(errs...)
}

// free closes a version's Runtime, which takes a while. p.mu is held.
func (p *plugin) free(v *version) {
	v.state = StateRetired
	// The call would keep the version for as long as it was to come.
	_ = p.host.reactor.Loops()[0].CallFromThread(func() { v.drain.Cancel() })
	p.freeing.Go(func() {
		if err := v.close(context.Background()); err != nil {
			p.log.Warn("freeing a version", "version", v.name, "err", err)
			return
		}
		p.host.leftovers.left()
		p.log.Info("version is retired", "version", v.name)
	})
}
