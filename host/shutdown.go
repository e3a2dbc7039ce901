package host

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

// Shutdown stops accepting, lets connections finish until ctx is done, closes
// the rest with reactor.ShuttingDown, and stops the plugins. It ends a change that is
// under way. It returns ctx's error if some connections had to be closed. A second call,
// or one without Start, does nothing.
func (h *Host) Shutdown(ctx context.Context) error {
	h.stopOnce.Do(func() { close(h.stopping) })
	h.shape.Lock()
	defer h.shape.Unlock()
	if h.reactor == nil || h.ended {
		return nil
	}
	h.stopBackground()
	for _, p := range h.loaded() { // a change has no loops to lose, and no other begins
		p.changing.Lock()
		p.over = true
		p.changing.Unlock()
	}
	h.log.Info("shutting down", "connections", h.reactor.Connections())
	return h.freePlugins(ctx, h.reactor.Shutdown(ctx))
}

// freePlugins frees the plugins after the loops have ended: err is how that went.
func (h *Host) freePlugins(ctx context.Context, err error) error {
	ctx = context.WithoutCancel(ctx)
	h.ended = true
	h.mu.Lock()
	plugins := append(slices.Collect(maps.Values(h.plugins)), h.unloaded...)
	for _, t := range h.ports {
		t.closeGiven() // of a takeover that has not come to its end
	}
	h.plugins, h.listeners, h.ports = map[string]*plugin{}, nil, nil
	h.mu.Unlock()
	// All at the same time: one whose instances take long to stop takes nothing of
	// another's time.
	by := h.spent() + stopPatience
	errs := make([]error, len(plugins))
	var wg sync.WaitGroup
	for n, p := range plugins {
		wg.Go(func() {
			errs[n] = p.freeVersions(ctx, by)
			p.account.TellCut(true)
		})
	}
	wg.Wait()
	return errors.Join(append(errs, err)...)
}

// stopPatience is how long a plugin's instances, all together, may take for their
// stopFactory when the host ends. The rest are dropped without it.
const stopPatience = 500 * time.Millisecond
