package host

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/wirehost/wirehost/host/guest"
)

// canary tries a new version with some of the new connections, before the rest
// change over. Its connections stay in its instances when that has gone well:
// with isolation loop and shared the others come to a new instance, since state
// is restored into instances that have seen nothing.
type canary struct {
	version *version
	slots   []*slot // by loop; each belongs to its loop
	left    atomic.Int32
	trap    chan *guest.TrapError // the first one
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

// noteTrap notes a trap in the canary's version.
func (k *canary) noteTrap(t *guest.TrapError) {
	select {
	case k.trap <- t:
	default:
	}
}

func (r *replacement) wantsCanary() bool {
	cfg := r.new.cfg.Canary
	return !r.revived && cfg.For > 0 && cfg.Connections > 0
}

// runCanary runs one, if the new version's configuration asks for it and it has not
// been active before. Where a guest traps in that time, the replacement has failed.
func (r *replacement) runCanary(ctx context.Context) error {
	if !r.wantsCanary() {
		return nil
	}
	cfg := r.new.cfg.Canary
	k := &canary{version: r.new, slots: make([]*slot, len(r.loops)), trap: make(chan *guest.TrapError, 1)}
	k.left.Store(int32(cfg.Connections))
	if err := r.placeCanary(k); err != nil {
		return err
	}
	over, err := r.canaryTime()
	if err != nil {
		return err
	}
	r.p.canary.Store(k)
	r.p.log.Info("canary", "version", r.new.name, "connections", cfg.Connections, "for", cfg.For)
	err = r.awaitCanary(ctx, k, over)
	r.p.canary.Store(nil)
	for _, s := range k.slots {
		if s != nil {
			// A loop that has ended has no slots in use.
			_ = onLoop(s.place.Loop, s.beginClosing)
		}
	}
	r.canary = k.slots
	if err != nil {
		return fmt.Errorf("canary: %w", err)
	}
	return r.startFresh(ctx)
}

// closeCanaryListeners closes what the canary's instances listen on, where nobody succeeds
// them.
func (r *replacement) closeCanaryListeners() {
	for _, s := range r.canary {
		if s != nil {
			// A loop that has ended has no slots in use.
			_ = onLoop(s.place.Loop, s.place.CloseListeners)
		}
	}
}

// canaryPatience is how often a canary's time is begun again while it has seen no
// connection.
const canaryPatience = 9

// canaryTime begins a canary's time; what it gives is closed when that is over.
func (r *replacement) canaryTime() (over chan struct{}, err error) {
	over = make(chan struct{})
	first := r.loops[0]
	err = first.CallFromThread(func() { first.CallLater(r.new.cfg.Canary.For, func() { close(over) }) })
	return over, err
}

// awaitCanary waits until the canary's time is over. Where it had no connection to try the
// version with, that begins anew, a few times; then the version is as good as it is without
// a canary, and the outcome says so.
func (r *replacement) awaitCanary(ctx context.Context, k *canary, over <-chan struct{}) error {
	cfg := r.new.cfg.Canary
	seen := func() bool { return k.left.Load() < int32(cfg.Connections) }
	whole := true // what was seen had all of the time that runs
	for more := canaryPatience; ; more-- {
		if err := k.awaitEnd(ctx, over); err != nil || seen() && whole {
			return err
		}
		if !seen() && more == 0 {
			within := (canaryPatience + 1) * cfg.For
			r.out.Canary = fmt.Sprintf("its canary saw no connection within %v", within)
			r.p.log.Warn("the canary saw no connection: the version is untried", "version", r.new.name, "within",
				within)
			return nil
		}
		whole = seen() // one that has come while it ran anew has all of the next
		var err error
		if over, err = r.canaryTime(); err != nil {
			return err
		}
		r.p.log.Info("the canary has seen no connection for long enough: its time begins anew", "version", r.new.name)
	}
}

// placeCanary gives each loop a slot of the new version, with the instance that was
// started for it.
func (r *replacement) placeCanary(k *canary) error {
	for n, l := range r.loops {
		if !r.new.runsOn(n) {
			continue
		}
		s := newSlot(r.new, l)
		k.slots[n] = s
		r.new.addSlot(s)
		err := onLoop(l, func() {
			if i := r.fresh[n]; i != nil {
				s.adoptInstance(i)
				r.fresh[n] = nil
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// awaitEnd waits until the canary's time is over.
func (k *canary) awaitEnd(ctx context.Context, over <-chan struct{}) error {
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
