package host

import (
	"context"
	"fmt"
	"sync"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/fetch"
)

// Modules of servers are fetched before a change begins, which lets no other begin: a server
// may take minutes. What has come, or why it has not, goes with the change's context.

// aheadKey finds what was fetched ahead in a context.
type aheadKey struct{}

// ahead is what came of each request. One goroutine writes it, before others read.
type ahead map[fetch.Request]fetched

// fetched is a module that has come, or why it has not.
type fetched struct {
	module *fetch.Module
	err    error
}

// fetchRequest is what is wanted of a plugin's module, where that is fetched.
func fetchRequest(cfg config.Plugin, signed bool) (q fetch.Request, remote bool) {
	if config.IsFile(cfg.Module) || isBuiltin(cfg.Module) {
		return q, false
	}
	return fetch.Request{
		Source: cfg.Module, SHA256: cfg.SHA256, Limit: int64(cfg.Limits.Module), Signed: signed,
		Always: cfg.Pull == config.PullAlways, Never: cfg.Pull == config.PullNever,
	}, true
}

// fetchAhead fetches the modules of plugins, all at the same time, for a change with the
// context that it returns. What fails is an error of the change.
func (h *Host) fetchAhead(ctx context.Context, plugins map[string]config.Plugin, t config.Trust) context.Context {
	if !h.ready.started() {
		return ctx // nor does a change begin
	}
	until, cancel := h.untilStopping(ctx)
	defer cancel()
	got := ahead{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, cfg := range plugins {
		q, remote := fetchRequest(cfg, len(t.Keys) > 0)
		if !remote {
			continue
		}
		wg.Go(func() {
			m, err := h.sources.fetch.Get(until, q)
			mu.Lock()
			defer mu.Unlock()
			got[q] = fetched{m, err}
		})
	}
	wg.Wait()
	return context.WithValue(ctx, aheadKey{}, got)
}

// fetchAhead is the host's for the plugin, as it is configured. Where a change of it is under
// way, nothing is fetched for one that is refused.
func (p *plugin) fetchAhead(ctx context.Context) context.Context {
	if !p.changing.TryLock() {
		return ctx
	}
	over := p.over
	p.changing.Unlock()
	if over {
		return ctx
	}
	return p.host.fetchAhead(ctx, map[string]config.Plugin{p.name: p.configured()}, p.host.Config().Trust)
}

// fetchFor is fetchAhead for a change of the configuration. Where another change is under
// way, nothing is fetched for one that is refused.
func (h *Host) fetchFor(ctx context.Context, edit edit) (context.Context, error) {
	if !h.shape.TryLock() {
		return ctx, fmt.Errorf("host: %w", ErrChanging)
	}
	h.shape.Unlock()
	cfg, only, err := edit(h.Config())
	if err != nil {
		return ctx, nil // the change says so, of the configuration that runs then
	}
	wanted := map[string]config.Plugin{}
	for name, p := range cfg.Plugins {
		if only == nil || only[name] {
			wanted[name] = p
		}
	}
	return h.fetchAhead(ctx, wanted, cfg.Trust), nil
}

// get gives what was fetched ahead, or fetches it.
func (s *sources) get(ctx context.Context, q fetch.Request) (*fetch.Module, error) {
	if all, is := ctx.Value(aheadKey{}).(ahead); is {
		if got, there := all[q]; there {
			return got.module, got.err
		}
	}
	return s.fetch.Get(ctx, q)
}
