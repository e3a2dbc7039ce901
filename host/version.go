package host

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/reactor"
)

// State is where a version is in its life. The package's doc has the diagram.
type State string

// The states.
const (
	StateLoading   State = "loading"   // being compiled
	StateValidated State = "validated" // sound, and being tried: rehearsal and canary
	StateActive    State = "active"    // new connections go to it
	StateDraining  State = "draining"  // replaced, and it has connections left
	StateStandby   State = "standby"   // replaced and empty, kept for the way back
	StateRetired   State = "retired"   // freed, or freed as soon as nothing is left of it
)

// version is one version of a plugin: a module and its configuration, compiled. It is
// its guest's owner.
type version struct {
	host    *Host
	plugin  *plugin
	name    string // NAME@HASH, with -2, -3 for copies of the same
	cfg     config.Plugin
	mod     *module
	program *guest.Program
	guest   *guest.Guest

	live     atomic.Int32 // instances, those that are being started too
	pace     pace
	launcher launcher

	drain *reactor.DelayedCall // ends its draining; of the first loop

	// Under plugin.mu:
	state    State
	slots    []*slot // all that it ever had; each belongs to its loop
	replaced int     // how often
	since    time.Time
}

var _ guest.Owner = (*version)(nil)

// newVersion compiles a module for a plugin. Any goroutine.
func newVersion(ctx context.Context, p *plugin, m *module, cfg config.Plugin) (*version, error) {
	h := p.host
	v := &version{host: h, plugin: p, name: p.freeName(m, cfg), cfg: cfg, mod: m, state: StateLoading,
		since: h.wall()}
	v.pace.hurdle.Store(1)
	v.launcher.idle.L = &v.launcher.mu
	allow, err := h.sources.allowList(ctx, cfg.Allow)
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", p.name, err)
	}
	listens, err := h.sources.listenList(ctx, cfg.Allow, h.reactor != nil && !h.ready.started())
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", p.name, err)
	}
	p.setPreparing(v)
	p.shareAssets(m)
	kept := h.keepModule(ctx, m)
	v.program, err = m.loadProgram(ctx, h.loader, &cfg, h.unmetered)
	kept(err == nil)
	if err != nil {
		return nil, m.fault(err)
	}
	m.open = nil // it holds what a builtin is
	pageOut := cfg.PageOut
	if h.paging {
		pageOut = -1
	}
	v.guest = guest.New(v.program, guest.Settings{
		Name: v.name, Config: m.config, Assets: m.assets, Allow: allow, Inside: h.pluginInside, Listens: listens,
		Listen: h.listenForGuest(), HandTo: h.handTo(cfg.Allow.HandOver), SocketEnded: v.socketEnded,
		Room:   h.roomForGuests,
		Single: cfg.Isolation == config.IsolationConnection,
		Image:  cfg.Image, PageOut: pageOut,
		Limits: guest.Limits{
			Memory: uint64(cfg.Limits.Memory), CallbackTime: cfg.Limits.CallbackTime, State: int(cfg.Limits.State),
			Timers: cfg.Limits.Timers, ConnectionsOut: cfg.Limits.ConnectionsOut, Links: cfg.Limits.Links,
			Sockets: cfg.Limits.Sockets, Listeners: cfg.Limits.Listeners, Metrics: cfg.Limits.Metrics,
		},
		Account: p.account, Memory: h.memory, Owner: v,
		Clocks: guest.Clocks{Now: h.guestNow, Wall: h.wall, Spent: v.launcher.hurried(h.spent),
			CPU: v.launcher.hurried(h.cpu)},
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	v.state = StateValidated
	return v, nil
}

// errInstances is the cause where a version's instances are all taken.
var errInstances = errors.New("over limits.instances")

// passing tells the failures of a start that are no fault of the guest's. They
// refuse a connection, and the next one tries again.
func passing(err error) bool { return errors.Is(err, errInstances) || errors.Is(err, guest.ErrNoRoom) }

// newInstance makes an instance and starts it, up to startFactory, whose timers
// are held back until it is committed. On any goroutine, for which it may take long.
// The error is a *guest.TrapError, errInstances or guest.ErrNoRoom.
func (v *version) newInstance(heir guest.Heir, handles ...int32) (*guest.Instance, error) {
	if err := v.takePlace(); err != nil {
		return nil, err
	}
	return v.startInstance(0, nil, heir, handles...)
}

// heir says whose listeners an instance for a loop is to have.
func (v *version) heir(loop int) guest.Heir {
	switch v.cfg.Isolation {
	case config.IsolationConnection: // nobody knows yet whose place it takes
		if v.plugin.account.HoldsListeners() { // but that what listens goes, or comes
			return guest.AnyHeir
		}
		return guest.NoHeir
	case config.IsolationShared:
		return guest.AnyHeir
	}
	return guest.Heir(loop)
}

// quickInstance is newInstance on the loop of a place: guest.ErrSlow says that it took
// too long, and was given up.
func (v *version) quickInstance(at *guest.Place, heir guest.Heir) (*guest.Instance, error) {
	if err := v.takePlace(); err != nil {
		return nil, err
	}
	return v.startInstance(quickStart, at, heir)
}

// startInstance starts an instance that was counted, on the loop of a place within a
// time; 0 and nil = off the loops. It counts until it is closed, as it is where the
// start fails.
func (v *version) startInstance(within time.Duration, at *guest.Place, heir guest.Heir, handles ...int32,
) (*guest.Instance, error) {
	spent := v.host.spent
	began := spent()
	i, err := v.guest.StartHeir(within, at, heir, handles...)
	v.pace.note(spent() - began)
	if errors.Is(err, guest.ErrSlow) {
		v.pace.note(slowStart + 1)
	}
	return i, err
}

// takePlace takes the place of an instance that is to be made.
func (v *version) takePlace() error {
	if n := v.live.Add(1); v.cfg.Limits.Instances > 0 && int(n) > v.cfg.Limits.Instances {
		v.leavePlace()
		return fmt.Errorf("%s has %d instances: %w", v.name, v.cfg.Limits.Instances, errInstances)
	}
	v.plugin.instances.Add(1)
	return nil
}

// Closed gives an instance's place back.
func (v *version) Closed() {
	v.plugin.instances.Add(-1)
	v.leavePlace()
}

func (v *version) leavePlace() {
	if v.live.Add(-1) == 0 {
		v.plugin.noticeEmpty(v)
	}
}

// Trapped tells the canary, if one runs.
func (v *version) Trapped(t *guest.TrapError) {
	if k := v.plugin.canary.Load(); k != nil && k.version == v {
		k.noteTrap(t)
	}
}

// runsOn tells whether a version has a slot on a loop.
func (v *version) runsOn(loop int) bool {
	return v.cfg.Isolation != config.IsolationShared || loop == v.plugin.pinned
}

// addSlot lists a slot of the version's.
func (v *version) addSlot(s *slot) {
	v.plugin.mu.Lock()
	defer v.plugin.mu.Unlock()
	v.slots = append(v.slots, s)
}

func (v *version) hasSlots() bool {
	v.plugin.mu.Lock()
	defer v.plugin.mu.Unlock()
	return len(v.slots) > 0
}

// freeProgram frees what the version has loaded. No instance of it may be in use.
func (v *version) freeProgram(ctx context.Context) error {
	v.guest.Forget()
	return v.program.Close(ctx)
}
