package host

import (
	"context"
	"fmt"
	"sync/atomic"
)

// canary tries a new version with some of the new connections, before the rest
// change over. Its connections stay in its instances when that has gone well:
// with isolation loop and shared the others come to a new instance, since state
// is restored into instances that have seen nothing.
type canary struct {
	version string
	slots   []*slot // by loop; each belongs to its loop
	left    atomic.Int32
	trap    chan *TrapError // the first one
}

// slot is the canary's on a loop, for one connection; nil where it has had its
// share.
func (k *canary) slot(loop int) *slot {
	s := k.slots[loop]
	if s == nil || k.left.Add(-1) < 0 {
		return nil
	}
	return s
}

// trapped notes a trap in the canary's version.
func (k *canary) trapped(t *TrapError) {
	if t.Version == k.version {
		select {
		case k.trap <- t:
		default:
		}
	}
}

// canary runs one, if the new version's configuration asks for it. Where a guest
// traps in that time, the version drains and is not to be committed.
func (r *replacement) canary(ctx context.Context) error {
	cfg := r.new.cfg.Canary
	if r.out.Unchanged || cfg.For <= 0 || cfg.Connections <= 0 {
		return nil
	}
	p, loops := r.p, r.p.host.reactor.Loops()
	k := &canary{version: r.new.name, slots: make([]*slot, len(loops)), trap: make(chan *TrapError, 1)}
	k.left.Store(int32(cfg.Connections))
	over := make(chan struct{})
	for n, l := range loops {
		if !r.new.runsOn(n) {
			continue
		}
		k.slots[n] = newSlot(r.new, l)
		r.new.addSlot(k.slots[n])
		if err := onLoop(l, func() {
			if i := r.fresh[n]; i != nil {
				k.slots[n].adopt(i)
				r.fresh[n] = nil
			}
		}); err != nil {
			return err
		}
	}
	if err := loops[0].CallFromThread(func() { loops[0].CallLater(cfg.For, func() { close(over) }) }); err != nil {
		return err
	}
	p.canary.Store(k)
	p.log.Info("canary", "version", r.new.name, "connections", cfg.Connections, "for", cfg.For)
	err := k.wait(ctx, over)
	p.canary.Store(nil)
	for n, l := range loops {
		if s := k.slots[n]; s != nil {
			// A loop that has ended has no slots in use.
			_ = onLoop(l, s.end)
		}
	}
	if err != nil {
		p.giveUp(r.new)
		return fmt.Errorf("version %s failed, %s stays active: canary: %w", r.new.name, r.old.name, err)
	}
	if err := r.startFresh(ctx); err != nil {
		r.letGo()
		p.giveUp(r.new)
		return fmt.Errorf("version %s failed, %s stays active: %w", r.new.name, r.old.name, err)
	}
	return nil
}

// wait waits until the canary's time is over.
func (k *canary) wait(ctx context.Context, over <-chan struct{}) error {
	select {
	case t := <-k.trap:
		return t
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-over:
	}
	select { // both may have come
	case t := <-k.trap:
		return t
	default:
		return nil
	}
}
