package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/reactor"
)

// reload gives the plugin a new version, if its module has changed, or force is
// set. On an error the version that was active stays so.
func (p *plugin) reload(ctx context.Context, force bool) (Outcome, error) {
	ctx = p.fetchAhead(ctx)
	return p.change(ctx, func(ctx context.Context) (*replacement, error) {
		return p.plan(ctx, p.configured(), p.host.Config().Trust, force)
	})
}

// goBack makes a version active again that is still loaded.
func (p *plugin) goBack(ctx context.Context, name string) (Outcome, error) {
	return p.change(ctx, func(ctx context.Context) (*replacement, error) { return p.planBack(ctx, name) })
}

// change makes one change of the plugin, if no other runs. It is logged when the
// next one may come: who waits for that line is not told that one is under way.
func (p *plugin) change(ctx context.Context, plan func(context.Context) (*replacement, error)) (Outcome, error) {
	out, err := p.changeAlone(ctx, plan)
	if err == nil {
		out.log(p.log, ByOf(ctx))
	}
	return out, err
}

func (p *plugin) changeAlone(ctx context.Context, plan func(context.Context) (*replacement, error)) (Outcome, error) {
	if !p.changing.TryLock() {
		return Outcome{}, fmt.Errorf("plugin %s: %w", p.name, ErrChanging)
	}
	defer p.changing.Unlock()
	if p.over {
		if _, err := p.host.plugin(p.name); err != nil && !p.host.isStopping() {
			return Outcome{}, err
		}
		return Outcome{}, ErrNotRunning
	}
	ctx, cancel := p.host.untilStopping(ctx)
	defer cancel()
	defer p.setPreparing(nil)
	defer p.host.leftovers.left()
	r, err := plan(ctx)
	if err != nil {
		if !errors.Is(err, ErrUnknown) { // a mistyped version is no change that failed
			p.noteFailure(err)
		}
		return Outcome{}, err
	}
	if err := r.fitsListeners(); err != nil {
		err = errors.Join(err, r.abandon())
		p.noteFailure(err)
		return Outcome{}, err
	}
	out, err := r.commit()
	if err == nil && r.old.cfg.Isolation != r.new.cfg.Isolation {
		err = p.host.placeAgain()
	}
	return out, err
}

// untilStopping is a context for a change: the host's end ends it too.
func (h *Host) untilStopping(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-h.stopping:
			cancel(ErrNotRunning)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// plan prepares another version of a configuration, where it is another or force is
// set, of a module that is trusted: bytes, module, program, instances. On an error nothing
// is left of it. p.changing is held until the replacement is committed or abandoned.
func (p *plugin) plan(ctx context.Context, cfg config.Plugin, t config.Trust, force bool) (*replacement, error) {
	if pin := p.currentPin(); pin != nil {
		m, err := p.host.sources.readModule(ctx, p.name, cfg, t)
		if err != nil {
			return nil, err
		}
		if p.noteSeen(m); pin.of(m) {
			return p.planPinned(ctx, pin.follow(cfg), m, t, force)
		}
	}
	return p.planConfigured(ctx, cfg, t, force)
}

// planConfigured is plan for the module that is configured, whatever is pinned.
func (p *plugin) planConfigured(ctx context.Context, cfg config.Plugin, t config.Trust,
	force bool) (*replacement, error) {
	old := p.current()
	loaded := sync.OnceFunc(p.host.leftovers.beginLoading())
	defer loaded()
	m, err := p.host.sources.readModule(ctx, p.name, cfg, t)
	if err != nil {
		return nil, err
	}
	p.noteSeen(m)
	if !force && m.hash() == old.mod.hash() && sameSection(cfg, old.cfg) {
		return p.unchanged(), nil
	}
	if !force {
		if v, later := p.reviveSame(m, cfg, t); v != nil {
			return p.returning(ctx, v, later, nil)
		}
	}
	times := p.beginTimeline()
	var v *version
	err = times.step("compile", func() error {
		v, err = newVersion(ctx, p, m, cfg)
		return err
	})
	loaded()
	if err != nil {
		times.end(Outcome{}, err)
		return nil, err
	}
	r := p.replacing(v)
	r.keepTimes(times)
	return r, r.prepare(ctx)
}

// planBack prepares the way back to a version that is still loaded.
func (p *plugin) planBack(ctx context.Context, name string) (*replacement, error) {
	if name == p.current().name {
		r := p.unchanged()
		if r.pin = p.currentPin(); r.pin != nil {
			r.out.Pinned = true
		}
		return r, nil
	}
	v, later := p.revive(name)
	if v == nil {
		if k := p.keptVersion(name); k != nil {
			return p.planKept(ctx, k)
		}
		return nil, fmt.Errorf("version %s: %w; loaded: %s", name, ErrUnknown, strings.Join(p.usable(), ", "))
	}
	if err := v.mod.trusted(p.host.Config().Trust); err != nil {
		p.putBack(v, later)
		return nil, fmt.Errorf("version %s: %w", name, err)
	}
	return p.returning(ctx, v, later, p.pinTo(ctx, v))
}

// returning prepares a version that was active before, and was revived. pin is what is to
// hold it; nil = nothing.
func (p *plugin) returning(ctx context.Context, v *version, later int, pin *Pin) (*replacement, error) {
	r := p.replacing(v)
	r.keepTimes(p.beginTimeline())
	r.revived, r.later, r.pin, r.out.Pinned = true, later, pin, pin != nil
	return r, r.prepare(ctx)
}

// usable are the names of the versions that can be gone over to, the active one first.
func (p *plugin) usable() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	names := []string{p.active.name}
	for _, v := range slices.Backward(p.replaced) {
		if v.state != StateRetired {
			names = append(names, v.name)
		}
	}
	for _, k := range slices.Backward(p.kept) {
		names = append(names, k.Version)
	}
	return names
}

// replacement is a change of a plugin from one version to another. prepare does
// everything that can fail; then commit makes the change loop by loop, each between
// two callbacks, or abandon leaves all as it was. It owns the new version until then.
type replacement struct {
	host     *Host
	p        *plugin
	loops    []*reactor.Loop
	old, new *version
	out      Outcome
	times    *timeline
	fresh    []*guest.Instance // by loop, started and not committed; of isolation loop and shared
	revived  bool              // new was active before
	later    int               // then: how many versions were replaced after it
	pin      *Pin              // that holds the new version; nil = none does
	left     []*slot           // of loops where new does not run
	canary   []*slot           // by loop, those that it had; nil = none
	moveBy   time.Duration     // on Host.now: what has not moved then stays
}

func (p *plugin) unchanged() *replacement {
	v := p.current()
	return &replacement{p: p, old: v, new: v, out: Outcome{Plugin: p.name, Version: v.name, Unchanged: true}}
}

func (p *plugin) replacing(v *version) *replacement {
	r := &replacement{host: p.host, p: p, loops: p.loops, old: p.current(), new: v}
	r.fresh = make([]*guest.Instance, len(r.loops))
	r.out = Outcome{Plugin: p.name, Version: v.name, Previous: r.old.name}
	r.out.Policy, r.out.Why = r.policy()
	return r
}

// policy is what will be done with the connections, and why it is not what is
// configured.
func (r *replacement) policy() (policy config.ReloadPolicy, why string) {
	configured := r.new.cfg.Reload
	if configured != config.ReloadMigrate {
		return configured, ""
	}
	switch {
	case r.old.cfg.Isolation != r.new.cfg.Isolation:
		return config.ReloadDrain, "the isolation changes"
	case !r.old.guest.Movable():
		return config.ReloadDrain, "the previous version has no saveState and restoreState"
	case !r.new.guest.Movable():
		return config.ReloadDrain, "the new version has no saveState and restoreState"
	}
	return config.ReloadMigrate, ""
}

// prepare starts instances, rehearses the move and runs the canary, off the loops. Where
// something fails the replacement is abandoned.
func (r *replacement) prepare(ctx context.Context) error {
	began := time.Now()
	stay := r.endStartsWith(ctx)
	err := r.times.step("start", func() error { return r.startFresh(ctx) })
	if err == nil {
		err = r.times.step("rehearse", func() error { return r.rehearse(ctx) })
	}
	stay()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if err == nil {
		r.p.log.Debug("rehearsed", "version", r.new.name, "took", time.Since(began))
		if r.wantsCanary() {
			err = r.times.step("canary", func() error { return r.runCanary(ctx) })
		}
	}
	if err != nil {
		err = fmt.Errorf("version %s failed, %s stays active: %w", r.new.name, r.old.name, err)
		r.times.end(Outcome{}, err)
		return errors.Join(err, r.abandon())
	}
	return nil
}

// endStartsWith has starts of the new version run out of time when ctx is done, until
// stay is called: one that never returns would hold up the host's end for all that it
// may take. A version that was active before may have connections, which would run out
// of time as well, and has started before.
func (r *replacement) endStartsWith(ctx context.Context) (stay func() bool) {
	return context.AfterFunc(ctx, func() {
		if !r.revived {
			r.new.launcher.hurryStarts()
		}
	})
}

// startFresh starts the instances that the loops are to change to.
func (r *replacement) startFresh(ctx context.Context) error {
	for n := range r.fresh {
		if r.new.cfg.Isolation == config.IsolationConnection || !r.new.runsOn(n) {
			continue
		}
		i, err := r.new.newInstance(r.new.heir(n))
		if err != nil {
			return err
		}
		r.fresh[n] = i
		if err := context.Cause(ctx); err != nil {
			return err
		}
	}
	return nil
}

// closeFresh ends the instances that were started for the change.
func (r *replacement) closeFresh() {
	for n, i := range r.fresh {
		if i != nil {
			i.Close()
			r.fresh[n] = nil
		}
	}
}

// rehearsed is how many connections of a loop are tried.
const rehearsed = 2

// rehearse fails where the new version can't be started, or can't take what the
// old one's connections would bring: it gets a copy of what a few of them have, in an
// instance whose output goes nowhere.
func (r *replacement) rehearse(ctx context.Context) error {
	if r.out.Policy != config.ReloadMigrate {
		if r.new.cfg.Isolation != config.IsolationConnection {
			return nil // its instances have been started
		}
		return r.restoreSample(nil)
	}
	samples, err := r.takeSamples()
	if err != nil {
		return err
	}
	if len(samples) == 0 {
		samples = []*guest.Sample{{}}
	}
	for _, s := range samples {
		if err := context.Cause(ctx); err != nil { // each may take long
			return err
		}
		if err := r.restoreSample(s); err != nil {
			return fmt.Errorf("rehearsal: %w", err)
		}
	}
	return nil
}

// takeSamples copies the state of a few of each loop's connections.
func (r *replacement) takeSamples() (samples []*guest.Sample, err error) {
	for n, l := range r.loops {
		var list []*guest.Sample
		var unfit error
		err := r.p.onShare(l, func() {
			if s := r.p.slots[n]; s != nil {
				list, unfit = s.place.Samples(rehearsed, r.new.guest)
			}
		})
		if err != nil {
			return nil, err
		}
		if unfit != nil {
			return nil, fmt.Errorf("rehearsal: %w", unfit)
		}
		samples = append(samples, list...)
	}
	return samples, nil
}

// restoreSample starts an instance of the new version, gives it a sample where there is
// one, and ends it.
func (r *replacement) restoreSample(s *guest.Sample) error {
	i, err := r.new.newInstance(guest.AnyHeir)
	if err != nil {
		return err
	}
	defer i.Close()
	if s == nil {
		return nil
	}
	return s.Restore(i)
}

// commit makes the new version the active one. It fails only where the loops
// have ended.
func (r *replacement) commit() (Outcome, error) {
	if r.out.Unchanged {
		r.p.setPin(r.pin)
		return r.out, nil
	}
	r.moveBy = r.host.now() + r.new.cfg.MoveTime
	err := r.times.step("move", r.changeLoops)
	defer func() { r.times.end(r.out, err) }()
	if err != nil {
		return Outcome{}, err
	}
	r.p.replaceActive(r.new)
	r.p.setPin(r.pin)
	r.host.announceReady() // what failed may be gone
	return r.out, nil
}

// changeLoops changes each loop, those first where the new version does not run.
func (r *replacement) changeLoops() error {
	var list guest.Detached
	for _, runs := range []bool{false, true} {
		for n, l := range r.loops {
			if r.new.runsOn(n) != runs {
				continue
			}
			if err := r.changeLoop(n, l); err != nil {
				return err
			}
		}
		if !runs {
			var err error
			if list, err = r.gatherListeners(); err != nil {
				return err
			}
		}
	}
	return r.bringListeners(list)
}

// abandon lets go of a version that is not to be committed.
func (r *replacement) abandon() error {
	if r.out.Unchanged {
		return nil
	}
	r.times.end(Outcome{}, errNotAlone)
	r.closeFresh()
	r.closeCanaryListeners()
	switch {
	case r.revived:
		r.p.putBack(r.new, r.later)
		return nil
	case r.new.hasSlots(): // from its canary, with connections
		r.p.giveUp(r.new)
		return nil
	}
	return r.new.freeProgram(context.Background())
}
