package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/reactor"
)

// Validate checks cfg as New does, reads the certificates and compiles and checks every
// plugin that it names, or Options.Resume in its place, and starts nothing. The error joins
// all faults, those of modules as *LoadError. What Config.Absent has is logged. ctx ends it.
func Validate(ctx context.Context, cfg config.Config, o Options) error {
	h, err := New(cfg, o)
	if err != nil {
		return err
	}
	h.resume()
	if h.loader, err = h.newLoader(ctx); err != nil {
		return err
	}
	h.warnAbsent()
	var errs []error
	for n, l := range h.cfg.Listeners {
		if _, err := h.sources.serverTLS(ctx, l.TLS, false); err != nil {
			errs = append(errs, &ListenerError{n, fmt.Errorf("listener %s: %w", l.Endpoint, err)})
		}
		if err := (reactor.SocketOptions{Owner: l.Owner, Group: l.Group}).Check(); err != nil {
			errs = append(errs, &ListenerError{n, fmt.Errorf("listener %s: %w", l.Endpoint, err)})
		}
	}
	loaded, versions := map[string]*plugin{}, map[*plugin]*version{}
	for _, name := range pluginNames(h.cfg) {
		p := newPlugin(h, name, h.cfg.Plugins[name], 0)
		v, err := p.loadVersion(ctx, h.cfg.Plugins[name], h.cfg.Trust)
		if err == nil {
			loaded[name], versions[p] = p, v
			err = v.freeProgram(ctx)
		}
		errs = append(errs, err)
	}
	for n, l := range h.cfg.Listeners {
		if err := takes(l, loaded, func(p *plugin) *version { return versions[p] }); err != nil {
			errs = append(errs, &ListenerError{n, err})
		}
	}
	return errors.Join(errs...)
}

// takes says why plugins can't have what comes to a listener. of is the version of each.
func takes(cfg config.Listener, plugins map[string]*plugin, of func(*plugin) *version) error {
	if !config.ForDatagrams(cfg.Endpoint) {
		return takeConnections(cfg, plugins, of)
	}
	if p := plugins[cfg.Plugin]; p != nil {
		return of(p).takesDatagrams(cfg)
	}
	return nil
}
