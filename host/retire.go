package host

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/reactor"
)

// maxReplaced is how many replaced versions of a plugin may have connections at
// a time. One more closes the oldest one's.
const maxReplaced = 4

// replaceActive makes v the active version, after every loop has changed to it. The
// one before stays loaded until its connections have ended; the last ones replaced stay
// longer, empty as they may be, so that there is a way back: as many as keep_versions says.
func (p *plugin) replaceActive(v *version) {
	p.mu.Lock()
	old := p.active
	p.active, v.state, v.since = v, StateActive, p.host.wall()
	p.failure = nil
	p.account.SetLogRate(int(v.cfg.Limits.LogBytes))
	p.beginDraining(old)
	p.mu.Unlock()
	p.freeEmpty()
}

// beginDraining puts a version among the replaced ones. p.mu is held.
func (p *plugin) beginDraining(v *version) {
	v.state = StateDraining
	p.replaced = append(p.replaced, v)
	p.limitDrain(v)
}

// freeEmpty frees the replaced versions that nothing is left of, but for those that are
// kept for the way back, and closes the connections of the oldest where too many have some.
func (p *plugin) freeEmpty() {
	p.mu.Lock()
	defer p.mu.Unlock()
	draining, kept := 0, 0
	for n := len(p.replaced) - 1; n >= 0; n-- {
		v := p.replaced[n]
		if v.live.Load() > 0 {
			if draining++; draining > maxReplaced {
				p.closeAll(v)
			}
			continue
		}
		if p.leaving && v == p.active {
			continue
		}
		if v.state == StateDraining {
			v.state = StateStandby
			p.log.Debug("version is standby", "version", v.name)
		}
		if v.state != StateRetired && !p.unloaded && kept < p.active.cfg.Keep && !v.copies(p.active) {
			kept++
			continue
		}
		p.replaced = slices.Delete(p.replaced, n, n+1)
		p.retireVersion(v)
	}
	p.trimKept(kept)
}

// copies tells whether a version is the same as another, which has taken its place: there
// is no way back to it, since it is where one is.
func (v *version) copies(of *version) bool {
	return v.mod.hash() == of.mod.hash() && sameSection(v.cfg, of.cfg)
}

// noticeEmpty is told that a version has no instance left. Any goroutine.
func (p *plugin) noticeEmpty(v *version) {
	p.mu.Lock()
	over := v.state == StateDraining || v.state == StateRetired
	p.mu.Unlock()
	if over {
		p.freeEmpty()
	}
}

// giveUp has a version that was tried drain, and freed as soon as nothing is left
// of it.
func (p *plugin) giveUp(v *version) {
	p.mu.Lock()
	v.state = StateRetired
	p.replaced = append([]*version{v}, p.replaced...)
	p.limitDrain(v)
	p.mu.Unlock()
	p.freeEmpty()
}

// limitDrain closes what is left of a version that is replaced now after its drain
// time, unless it was active again in between. p.mu is held.
func (p *plugin) limitDrain(v *version) {
	v.replaced++
	nth := v.replaced
	l := p.loops[0]
	// A loop that has ended has no connections.
	_ = l.CallFromThread(func() {
		if v.drain != nil {
			v.drain.Cancel()
		}
		v.drain = l.CallLater(v.cfg.Drain, func() {
			p.mu.Lock()
			if v.state != StateActive && v.replaced == nth {
				p.closeAll(v) // noticeEmpty is told of the last one
			}
			p.mu.Unlock()
		})
	})
}

// closeAll closes a replaced version's connections.
func (p *plugin) closeAll(v *version) {
	for _, s := range v.slots {
		// A loop that has ended has no connections.
		_ = s.place.Loop.CallFromThread(func() { s.place.Abort(reactor.Replaced) })
	}
}

// reviveSame is revive for one that has a module's bytes and settings, and is trusted.
func (p *plugin) reviveSame(m *module, cfg config.Plugin, t config.Trust) (v *version, later int) {
	p.mu.Lock()
	name := ""
	for _, v := range p.replaced {
		if v.mod.hash() == m.hash() && sameSection(v.cfg, cfg) && v.mod.trusted(t) == nil {
			name = v.name
		}
	}
	p.mu.Unlock()
	return p.revive(name)
}

// revive takes a replaced version out of the list, to be made active again; nil
// where it is not there. later is how many were replaced after it.
func (p *plugin) revive(name string) (v *version, later int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, v := range p.replaced {
		if v.name == name && v.state != StateRetired {
			p.replaced = slices.Delete(p.replaced, n, n+1)
			return v, len(p.replaced) - n
		}
	}
	return nil, 0
}

// putBack is revive's inverse. Where the version's last connection, or its drain time,
// has ended meanwhile, what follows from that is done now.
func (p *plugin) putBack(v *version, later int) {
	p.mu.Lock()
	p.replaced = slices.Insert(p.replaced, max(0, len(p.replaced)-later), v)
	p.mu.Unlock()
	p.freeEmpty()
}

// beginUnload lets the plugin's connections drain, and frees it when they have ended,
// or its drain time is over. p.changing is held.
func (p *plugin) beginUnload() {
	p.over = true
	if p.inside != nil {
		_ = p.inside.Close() // it has no socket
	}
	for n, l := range p.loops {
		// A loop that has ended has no slots in use.
		_ = onLoop(l, func() {
			if s := p.slots[n]; s != nil {
				p.slots[n] = nil
				s.beginClosing()
			}
		})
	}
	for _, s := range p.allSlots() {
		_ = onLoop(s.place.Loop, s.place.CloseListeners) // as above
	}
	p.drainAll()
	p.freeEmpty()
}

// beginLeaving lets the plugin's connections drain where another process has taken over. What
// was accepted here before has no plugin yet as long as route looks at it, or its PROXY header
// is awaited; and guests that stay connect to others, or hand connections over. So the plugin
// takes connections, and starts instances for them, until its drain time is over; nothing of it
// is freed before the process ends. p.changing is held.
func (p *plugin) beginLeaving() {
	p.over = true
	for n, l := range p.loops {
		// A loop that has ended has no slots in use.
		_ = onLoop(l, func() {
			if s := p.slots[n]; s != nil {
				s.beginLeaving()
			}
		})
	}
	p.mu.Lock()
	p.leaving = true
	p.mu.Unlock()
	p.drainAll()
}

// drainAll has all that is left of the plugin drain.
func (p *plugin) drainAll() {
	p.mu.Lock()
	p.unloaded = true
	close(p.gone)
	p.beginDraining(p.active)
	p.mu.Unlock()
}

// freeVersions frees all versions after the loops have ended. What instances are left
// then are stopped until a moment of Host.spent, and the others dropped.
func (p *plugin) freeVersions(ctx context.Context, by time.Duration) error {
	p.mu.Lock()
	versions := p.versions()
	p.replaced, p.active = nil, nil
	p.mu.Unlock()
	p.freeing.Wait()
	var errs []error
	for _, v := range versions {
		v.launcher.stopLaunches()
		for _, s := range v.slots {
			s.giveUpStarts()
			s.place.StopLoop(func() bool { return p.host.spent() < by })
		}
		errs = append(errs, v.freeProgram(ctx))
	}
	return errors.Join(errs...)
}

// retireVersion frees a version, which takes a while. p.mu is held.
func (p *plugin) retireVersion(v *version) {
	v.state = StateRetired
	// The call would keep the version for as long as it was to come.
	_ = p.loops[0].CallFromThread(func() { v.drain.Cancel() })
	p.freeing.Go(func() {
		if err := v.freeProgram(context.Background()); err != nil {
			p.log.Warn("freeing a version", "version", v.name, "err", err)
			return
		}
		p.host.leftovers.left()
		p.host.sweepModules()
		p.log.Info("version is retired", "version", v.name)
	})
}
