package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/reactor"
)

// maxReplaced is how many replaced versions of a plugin may have connections at
// a time. One more closes the oldest one's.
const maxReplaced = 4

var (
	// ErrChanging says that another change of the plugin runs.
	ErrChanging = errors.New("another change is under way")
	// ErrUnknown says that there is no such plugin, or version.
	ErrUnknown = errors.New("not loaded")
	// ErrNoConnection says that there is no such connection.
	ErrNoConnection = errors.New("no such connection")
	// ErrLoaded says that there is such a plugin already.
	ErrLoaded = errors.New("loaded already")
	// ErrNotRunning says that the host has not started, or is shutting down.
	ErrNotRunning = errors.New("host: not running")
)

// Outcome says what became of a plugin's connections when it got another version.
type Outcome struct {
	Plugin    string              `json:"plugin"`
	Version   string              `json:"version"`            // the one that is active now
	Previous  string              `json:"previous,omitempty"` // the one that was replaced
	Unchanged bool                `json:"unchanged"`          // the same bytes and configuration: nothing was done
	Policy    config.ReloadPolicy `json:"policy,omitempty"`   // as it was done
	Why       string              `json:"why,omitempty"`      // why the policy is not the configured one
	Migrated  int                 `json:"migrated"`           // connections
	Kept      map[string]int      `json:"kept,omitempty"`     // connections on the previous version, by reason
	Dropped   int                 `json:"dropped"`            // connections
}

// String is one line for people.
func (o Outcome) String() string {
	if o.Unchanged {
		return fmt.Sprintf("%s is unchanged", o.Version)
	}
	s := fmt.Sprintf("%s is active", o.Version)
	if o.Policy == "" {
		return s
	}
	s += fmt.Sprintf("; %s: migrated %d, dropped %d", o.Policy, o.Migrated, o.Dropped)
	for _, why := range slices.Sorted(maps.Keys(o.Kept)) {
		s += fmt.Sprintf(", kept %d on %s: %s", o.Kept[why], o.Previous, why)
	}
	return s
}

func (o Outcome) log(to hclog.Logger) {
	if !o.Unchanged {
		to.Info("version is active", "version", o.Version, "previous", o.Previous, "policy", o.Policy,
			"migrated", o.Migrated, "dropped", o.Dropped, "kept", o.kept())
	}
}

// kept says how many connections stay on the previous version, and why.
func (o Outcome) kept() string {
	if len(o.Kept) == 0 {
		return "0"
	}
	var parts []string
	for _, why := range slices.Sorted(maps.Keys(o.Kept)) {
		parts = append(parts, fmt.Sprintf("%d: %s", o.Kept[why], why))
	}
	return strings.Join(parts, "; ")
}

func (o *Outcome) keep(n int, why string) {
	if n == 0 {
		return
	}
	if o.Kept == nil {
		o.Kept = map[string]int{}
	}
	if _, known := o.Kept[why]; !known && len(o.Kept) >= maxReasons {
		why = "other reasons"
	}
	o.Kept[why] += n
}

// maxReasons is how many reasons are told apart: their numbers are the guest's.
const maxReasons = 16

// reload gives the plugin a new version, if its module has changed, or force is
// set. On an error the version that was active stays so.
func (p *plugin) reload(ctx context.Context, force bool) (Outcome, error) {
	return p.change(ctx, func(ctx context.Context) (*replacement, error) { return p.plan(ctx, p.current().cfg, force) })
}

// use goes back to a version that is still loaded.
func (p *plugin) use(ctx context.Context, name string) (Outcome, error) {
	return p.change(ctx, func(ctx context.Context) (*replacement, error) {
		if name == p.current().name {
			return p.unchanged(), nil
		}
		v := p.revive(name)
		if v == nil {
			return nil, fmt.Errorf("version %s: %w", name, ErrUnknown)
		}
		r := p.replacing(v)
		r.revived = true
		return r, r.prepare(ctx)
	})
}

// change makes one change of the plugin, if no other runs. It is logged when the
// next one may come: who waits for that line is not told that one is under way.
func (p *plugin) change(ctx context.Context, plan func(context.Context) (*replacement, error)) (Outcome, error) {
	out, err := p.changeAlone(ctx, plan)
	if err == nil {
		out.log(p.log)
	}
	return out, err
}

func (p *plugin) changeAlone(ctx context.Context, plan func(context.Context) (*replacement, error)) (Outcome, error) {
	if !p.changing.TryLock() {
		return Outcome{}, fmt.Errorf("plugin %s: %w", p.name, ErrChanging)
	}
	defer p.changing.Unlock()
	if p.over {
		if _, err := p.host.plugin(p.name); err != nil {
			return Outcome{}, err
		}
		return Outcome{}, ErrNotRunning
	}
	ctx, cancel := p.host.untilStopping(ctx)
	defer cancel()
	defer p.try(nil)
	defer p.host.leftovers.left()
	r, err := plan(ctx)
	if err != nil {
		p.failed(err)
		return Outcome{}, err
	}
	return r.commit()
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

// try has v listed beside the versions that serve, while it is prepared.
func (p *plugin) try(v *version) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trying = v
}

// failed keeps why the last change failed, until one does not.
func (p *plugin) failed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failure, p.failedAt = err, p.host.wall()
}

// plan prepares another version: on an error nothing is left of it. p.changing
// is held until the replacement is committed or abandoned.
func (p *plugin) plan(ctx context.Context, cfg config.Plugin, force bool) (*replacement, error) {
	old := p.current()
	loaded := sync.OnceFunc(p.host.leftovers.load())
	defer loaded()
	m, err := p.host.readModule(ctx, p.name, cfg)
	if err != nil {
		return nil, err
	}
	if !force && m.hash() == old.mod.hash() && reflect.DeepEqual(cfg, old.cfg) {
		return p.unchanged(), nil
	}
	v, err := newVersion(ctx, p, m, cfg)
	loaded()
	if err != nil {
		return nil, err
	}
	r := p.replacing(v)
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	return r, r.canary(ctx)
}

// current is the active version.
func (p *plugin) current() *version {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.active
}

// freeName is the name for a version beside those that are loaded.
func (p *plugin) freeName(name string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := map[string]bool{}
	for _, v := range p.versions() {
		taken[v.name] = true
	}
	free := name
	for n := 2; taken[free]; n++ {
		free = fmt.Sprintf("%s-%d", name, n)
	}
	return free
}

// replacement is a change of a plugin from one version to another: first
// everything that can fail, then, loop by loop, the change, each between two
// callbacks.
type replacement struct {
	p        *plugin
	old, new *version
	out      Outcome
	fresh    []*instance   // by loop, started and not committed; of isolation loop and shared
	revived  bool          // new was active before
	moveBy   time.Duration // on Host.now: what has not moved then stays
}

func (p *plugin) unchanged() *replacement {
	v := p.current()
	return &replacement{p: p, old: v, new: v, out: Outcome{Plugin: p.name, Version: v.name, Unchanged: true}}
}

func (p *plugin) replacing(v *version) *replacement {
	r := &replacement{p: p, old: p.current(), new: v, fresh: make([]*instance, len(p.host.reactor.Loops()))}
	r.out = Outcome{Plugin: p.name, Version: v.name, Previous: r.old.name}
	r.out.Policy, r.out.Why = r.policy()
	return r
}

// commit makes the new version the active one. It fails only where the loops
// have ended.
func (r *replacement) commit() (Outcome, error) {
	if r.out.Unchanged {
		return r.out, nil
	}
	r.moveBy = r.p.host.now() + r.new.cfg.MoveTime
	for n, l := range r.p.host.reactor.Loops() {
		if err := r.change(n, l); err != nil {
			return Outcome{}, err
		}
	}
	r.p.replacedBy(r.new)
	r.p.host.announce() // what failed may be gone
	return r.out, nil
}

// abandon lets go of a version that is not to be committed.
func (r *replacement) abandon() error {
	if r.out.Unchanged {
		return nil
	}
	r.letGo()
	switch {
	case r.revived:
		r.p.putBack(r.new)
		return nil
	case r.new.hasSlots(): // from its canary, with connections
		r.p.giveUp(r.new)
		return nil
	}
	return r.new.close(context.Background())
}

// letGo ends the instances that were started for the change.
func (r *replacement) letGo() {
	for n, i := range r.fresh {
		if i != nil {
			i.close()
			r.fresh[n] = nil
		}
	}
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
	case !r.old.movable():
		return config.ReloadDrain, "the previous version has no saveState and restoreState"
	case !r.new.movable():
		return config.ReloadDrain, "the new version has no saveState and restoreState"
	}
	return config.ReloadMigrate, ""
}

// prepare starts instances and rehearses the move, off the loops.
func (r *replacement) prepare(ctx context.Context) error {
	began := time.Now()
	err := r.startFresh(ctx)
	if err == nil {
		err = r.rehearse()
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		err = fmt.Errorf("version %s failed, %s stays active: %w", r.new.name, r.old.name, err)
		return errors.Join(err, r.abandon())
	}
	r.p.log.Debug("rehearsed", "version", r.new.name, "took", time.Since(began))
	return nil
}

func (r *replacement) startFresh(ctx context.Context) error {
	for n := range r.fresh {
		if r.new.cfg.Isolation == config.IsolationConnection || !r.new.runsOn(n) {
			continue
		}
		i, err := r.new.newInstance()
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

// onLoop runs fn on a loop and waits for it.
func onLoop(l *reactor.Loop, fn func()) error {
	done := make(chan struct{})
	if err := l.CallFromThread(func() { defer close(done); fn() }); err != nil {
		return err
	}
	<-done
	return nil
}

// onShare is onLoop for the plugin: its other callbacks count against the same share
// of the loop's turns.
func (p *plugin) onShare(l *reactor.Loop, fn func()) error {
	done := make(chan struct{})
	if err := p.share(l).CallFromThread(func() { defer close(done); fn() }); err != nil {
		return err
	}
	<-done
	return nil
}

// late says why connections that have not moved are to stay; "" where there is time.
func (r *replacement) late() string {
	select {
	case <-r.p.host.stopping:
		return "the host is shutting down"
	default:
	}
	if r.p.host.now() >= r.moveBy {
		return fmt.Sprintf("move_time, %v, was over", r.new.cfg.MoveTime)
	}
	return ""
}

// change gives one loop its slot of the new version.
func (r *replacement) change(n int, l *reactor.Loop) error {
	if !r.new.runsOn(n) {
		return onLoop(l, func() { r.install(n, nil) })
	}
	s := newSlot(r.new, l)
	if r.new.cfg.Isolation == config.IsolationConnection {
		return r.changeConnections(n, l, s)
	}
	var failed error
	err := r.p.onShare(l, func() {
		if failed = r.moveLoop(n, s); failed == nil {
			r.install(n, s)
		}
	})
	if err != nil || failed == nil {
		return err
	}
	// What was half restored serves nobody: the connections stay where they
	// are, and new ones get an instance that has seen nothing.
	r.fresh[n].close()
	i, startErr := r.new.newInstance()
	return onLoop(l, func() {
		if old := r.p.slots[n]; old != nil {
			r.out.keep(old.connections(), failed.Error())
		}
		if startErr == nil {
			s.adopt(i)
		} else {
			s.failed(startErr)
		}
		r.install(n, s)
	})
}

// moveLoop moves a loop's one instance, or commits the new one empty. On the
// loop.
func (r *replacement) moveLoop(n int, s *slot) error {
	old := r.p.slots[n]
	fresh := r.fresh[n]
	if r.out.Policy != config.ReloadMigrate || old == nil || old.inst == nil || old.inst.dead != nil {
		s.adopt(fresh)
		return nil
	}
	from := old.inst
	moved := len(from.conns)
	if why := r.late(); why != "" {
		r.out.keep(moved, why)
		s.adopt(fresh)
		return nil
	}
	if err := move(from, fresh, s); err != nil {
		if from.dead != nil {
			r.out.Dropped += moved
		}
		return err
	}
	s.inst = fresh
	s.started()
	r.out.Migrated += moved
	return nil
}

// install makes s the loop's slot for new connections. On the loop.
func (r *replacement) install(n int, s *slot) {
	old := r.p.slots[n]
	r.serve(n, s)
	if old == nil {
		return
	}
	switch r.out.Policy {
	case config.ReloadDrop:
		r.out.Dropped += old.connections()
		old.drop()
	case config.ReloadDrain:
		r.out.keep(old.connections(), "draining")
	}
	old.end()
}

// serve makes s the slot for new connections. On the loop.
func (r *replacement) serve(n int, s *slot) {
	if old := r.p.slots[n]; old != nil {
		old.handOn()
	}
	r.p.slots[n] = s
	if s != nil {
		r.new.addSlot(s)
	}
}

// moveBatch is how many instances of one connection each are made, and then
// moved in one go. A thousand take 92 ms in twos and 64 ms in sixteens; an echo
// beside them has a p99 of 2.5 times the quiet one, and 9 times.
const moveBatch = 2

// changeConnections is change where each connection has an instance: new
// connections go to the new version at once, the others follow a few at a time,
// so that the loop is never held for long.
func (r *replacement) changeConnections(n int, l *reactor.Loop, s *slot) error {
	var old *slot
	left := 0
	err := onLoop(l, func() {
		old = r.p.slots[n]
		if old == nil || r.out.Policy != config.ReloadMigrate {
			r.install(n, s)
			return
		}
		r.serve(n, s)
		left = len(old.all)
	})
	var fresh []*instance
	for err == nil && left > 0 {
		why := r.late()
		if why == "" {
			if fresh = r.batch(fresh, min(left, moveBatch)); len(fresh) == 0 {
				why = "the new version has no instance left for them"
			}
		}
		if why != "" {
			err = onLoop(l, func() { r.keepRest(old, why) })
			break
		}
		err = r.p.onShare(l, func() { left, fresh = r.moveSome(old, s, fresh) })
	}
	for _, i := range fresh {
		i.close()
	}
	if err != nil || old == nil {
		return err
	}
	return onLoop(l, old.end)
}

// keepRest counts the connections that were not tried. On the loop.
func (r *replacement) keepRest(old *slot, why string) {
	for i := range old.all {
		if i.stays() {
			r.out.keep(len(i.conns), why)
		}
	}
}

// stays tells whether an instance is still to be moved, if there is time.
func (i *instance) stays() bool { return i.dead == nil && !i.kept && !i.retiring }

// batch makes fresh up to n instances.
func (r *replacement) batch(fresh []*instance, n int) []*instance {
	for len(fresh) < n {
		i, err := r.new.newInstance()
		if err != nil {
			r.p.note(hclog.Warn, moveNote, "version", r.new.name, "err", err)
			break
		}
		fresh = append(fresh, i)
	}
	return fresh
}

// moveSome moves as many instances as there are fresh ones, unless the plugin has
// used up its share of the turn before. It tells how many are left, and which fresh
// ones. On the loop.
func (r *replacement) moveSome(old, s *slot, fresh []*instance) (left int, rest []*instance) {
	for i := range old.all {
		if !i.stays() {
			continue
		}
		if len(fresh) == 0 || s.share.Late() {
			left++
			continue
		}
		to := fresh[0]
		fresh = fresh[1:]
		conns := len(i.conns)
		if err := move(i, to, s); err != nil {
			to.close()
			i.kept = true
			if i.dead == nil {
				r.out.keep(conns, err.Error())
			} else {
				r.out.Dropped += conns
			}
			continue
		}
		r.out.Migrated += conns
	}
	return left, fresh
}

// dropEvery spreads the closing of a dropped version's connections.
const dropEvery = time.Millisecond

// drop closes the slot's connections, one after the other. On its loop.
func (s *slot) drop() {
	for i := range s.all {
		for _, c := range i.conns {
			c.t.Abort(reactor.Replaced, nil)
			s.loop.CallLater(dropEvery, s.drop)
			return
		}
	}
}
