package host

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/guest/compile"
	"github.com/wirehost/wirehost/reactor"
)

// State is where a version is in its life.
type State string

const (
	StateLoading   State = "loading"   // being compiled
	StateValidated State = "validated" // sound, and being tried: rehearsal and canary
	StateActive    State = "active"    // new connections go to it
	StateDraining  State = "draining"  // replaced, and it has connections left
	StateStandby   State = "standby"   // replaced and empty, kept for the way back
	StateRetired   State = "retired"   // freed
)

// version is one version of a plugin, compiled: a module and its configuration.
// It has a Runtime of its own.
type version struct {
	plugin *plugin
	name   string // NAME@HASH, with -2, -3 for copies of the same
	cfg    config.Plugin
	mod    *module
	has    [exports]bool
	prog   *program
	memory uint64 // bytes that an instance's linear memory may grow to
	allow  *allowList

	live    atomic.Int32 // instances, those that are being started too
	pace    pace
	starter starter

	clock, cpu func() time.Duration // what its instances are metered with

	drain *reactor.DelayedCall // ends its draining; of the first loop

	// Under plugin.mu:
	state    State
	slots    []*slot // all that it ever had; each belongs to its loop
	replaced int     // how often
	since    time.Time
}

// newVersion compiles a module for a plugin. Any goroutine.
func newVersion(ctx context.Context, p *plugin, m *module, cfg config.Plugin) (*version, error) {
	v := &version{plugin: p, name: p.freeName(p.name + "@" + m.hash()), cfg: cfg, mod: m, state: StateLoading, since: p.host.wall()}
	v.pace.hurdle.Store(1)
	v.starter.idle.L = &v.starter.mu
	v.clock, v.cpu = v.starter.hurried(p.host.spent), v.starter.hurried(p.host.cpu)
	var err error
	if v.allow, err = p.host.newAllowList(ctx, cfg.Allow); err != nil {
		return nil, fmt.Errorf("plugin %s: %w", p.name, err)
	}
	p.try(v)
	what := compile.Module{Sum: hex.EncodeToString(m.sum[:]), Open: m.open, Unmetered: p.host.unmetered}
	if v.prog, err = p.host.engine.load(ctx, what, cfg.Limits); err != nil {
		return nil, m.fail(err)
	}
	v.memory = mostMemory(v.prog.compiled, cfg.Limits.Memory)
	m.open = nil // it holds what a builtin is
	for e := range v.has {
		v.has[e] = slices.Contains(v.prog.exports, exportNames[e])
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	v.state = StateValidated
	return v, nil
}

// growthRefused is told of each growth of a linear memory past its limit, or while
// the process is short of memory.
func (v *version) growthRefused(wanted uint64) {
	v.plugin.growthsRefused.Add(1)
	if wanted <= v.memory {
		v.plugin.note(hclog.Warn, shortNote, "version", v.name, "bytes", wanted)
		return
	}
	v.plugin.note(hclog.Warn, growthNote, "version", v.name, "bytes", wanted, "limit", int64(v.cfg.Limits.Memory))
}

// runsOn are the loops that a version has slots on.
func (v *version) runsOn(loop int) bool {
	return v.cfg.Isolation != config.IsolationShared || loop == v.plugin.pinned
}

// movable tells whether a version's state can be moved at all.
func (v *version) movable() bool { return v.has[exSaveState] && v.has[exRestoreState] }

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

// left is told of each instance that has been closed.
func (v *version) left() {
	if v.live.Add(-1) == 0 {
		v.plugin.emptied(v)
	}
}

// close frees the version. No instance of it may be in use.
func (v *version) close(ctx context.Context) error { return v.prog.close(ctx) }
