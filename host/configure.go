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

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/reactor"
)

// reconfiguration is what a reload of the configuration is about to do.
type reconfiguration struct {
	h            *Host
	cfg          config.Config
	by           By
	plugins      map[string]*plugin // that will be there
	plans        []*replacement     // of those that stay
	only         map[string]bool    // where set, the plugins that are looked at; the others stay as they are
	added        []*plugin
	removed      []*plugin
	keep         []*listener // in the order of the configuration
	bound        []*listener // new ones among them
	closing      []*listener
	ports        []nextPort // those of the configuration
	closingPorts []*port
	out          Change
}

// Reload takes another configuration, and reads every module and certificate
// again. Everything that can fail is done first: on an error what ran before
// runs on; but for certificates, of which an old one stays, as the Change says. Settings that
// can't change at run time are named in it too. The error
// is a config.Faults, joins what is wrong with modules (*LoadError) and listeners, or
// is ErrChanging or ErrNotRunning. ctx ends it, as Shutdown does.
func (h *Host) Reload(ctx context.Context, cfg config.Config) (Change, error) {
	return h.reconfigure(ctx, func(config.Config) (config.Config, map[string]bool, error) {
		cfg, err := complete(cfg)
		return cfg, nil, err
	})
}

// LoadPlugin adds a plugin at run time, with listeners where there are any, whose Plugin
// need not be set. A name that is taken is ErrLoaded; the other errors are Reload's, and
// on each nothing has changed.
func (h *Host) LoadPlugin(ctx context.Context, name string, cfg config.Plugin,
	listeners ...config.Listener) (Change, error) {
	return h.reconfigure(ctx, func(c config.Config) (config.Config, map[string]bool, error) {
		if _, there := c.Plugins[name]; there {
			return c, nil, fmt.Errorf("plugin %s: %w", name, ErrLoaded)
		}
		c.Plugins = maps.Clone(c.Plugins)
		c.Plugins[name] = cfg
		for _, l := range listeners {
			if len(l.Chain) == 0 {
				l.Plugin = name
			}
			c.Listeners = append(slices.Clip(c.Listeners), l)
		}
		c, err := complete(c)
		return c, map[string]bool{name: true}, err
	})
}

// UnloadPlugin removes a plugin and its listeners at run time. Its connections may
// finish for the plugin's drain time; it does not wait for them. A name that nothing
// runs under is ErrUnknown; the other errors are Reload's.
func (h *Host) UnloadPlugin(ctx context.Context, name string) (Change, error) {
	return h.reconfigure(ctx, func(c config.Config) (config.Config, map[string]bool, error) {
		if _, there := c.Plugins[name]; !there {
			return c, nil, fmt.Errorf("plugin %s: %w", name, ErrUnknown)
		}
		c = without(c, name)
		for _, l := range c.Listeners {
			if slices.Contains(l.Chain, name) {
				return c, nil,
					fmt.Errorf("plugin %s: found it in the chain of the listener %s, wanted it to be in none",
						name, l.Endpoint)
			}
		}
		return c, map[string]bool{}, nil
	})
}

// edit makes a configuration of the present one. only, where it is set, are the plugins that
// are looked at. It may be called more than once.
type edit func(config.Config) (cfg config.Config, only map[string]bool, err error)

// reconfigure goes over to the configuration that edit makes of the present one.
// It is logged when the next change may come.
func (h *Host) reconfigure(ctx context.Context, edit edit) (Change, error) {
	ctx, err := h.fetchFor(ctx, edit)
	if err != nil {
		return Change{}, err
	}
	r, err := h.reconfigureAlone(ctx, edit)
	if err != nil {
		return Change{}, err
	}
	for _, o := range r.out.Plugins {
		o.log(h.log.With("plugin", o.Plugin), r.by)
	}
	h.log.Info("configuration is active",
		append([]any{"change", strings.Join(r.out.Lines(), "; ")}, r.by.LogArgs()...)...)
	return r.out, nil
}

func (h *Host) reconfigureAlone(ctx context.Context, edit edit) (*reconfiguration, error) {
	if !h.shape.TryLock() {
		return nil, fmt.Errorf("host: %w", ErrChanging)
	}
	defer h.shape.Unlock()
	if h.reactor == nil || h.ended || h.handed {
		return nil, ErrNotRunning
	}
	defer h.leftovers.left()
	ctx, cancel := h.untilStopping(ctx)
	defer cancel()
	h.forgetUnloaded()
	defer h.keepCredentials()
	defer h.expect(nil)
	cfg, only, err := edit(h.cfg)
	if err != nil {
		return nil, err
	}
	r := &reconfiguration{h: h, cfg: cfg, by: ByOf(ctx), only: only, plugins: map[string]*plugin{}}
	r.out.NeedsBoot, r.out.Notes = needsBoot(h.cfg, cfg), notes(h.cfg, cfg)
	r.cfg.Reactor, r.cfg.Admin, r.cfg.Cache, r.cfg.State = h.cfg.Reactor, h.cfg.Admin, h.cfg.Cache, h.cfg.State
	r.cfg.Log.Format, r.cfg.Monitor = h.cfg.Log.Format, h.cfg.Monitor
	defer r.unlock()
	if err := r.prepare(ctx); err != nil {
		return nil, errors.Join(err, r.abandon())
	}
	if err := r.commit(); err != nil {
		return nil, err
	}
	if only == nil { // all was read anew
		h.keepCredentials()
		for _, err := range h.sources.credentials.Refused() {
			r.out.Failed = append(r.out.Failed, "TLS: "+err.Error())
		}
	}
	return r, nil
}

// needsBoot names the settings that differ and can't be changed at run time.
func needsBoot(before, after config.Config) []string {
	var names []string
	for _, s := range []struct {
		name          string
		before, after any
	}{
		{"reactor", before.Reactor, after.Reactor}, {"admin", before.Admin, after.Admin},
		{"monitor", before.Monitor, after.Monitor},
		{"cache", before.Cache, after.Cache}, {"state", before.State, after.State},
		{"log.format", before.Log.Format, after.Log.Format},
	} {
		if !reflect.DeepEqual(s.before, s.after) {
			names = append(names, s.name)
		}
	}
	return names
}

func (r *reconfiguration) prepare(ctx context.Context) error {
	var errs []error
	for _, name := range pluginNames(r.cfg) {
		errs = append(errs, r.preparePlugin(ctx, name, r.cfg.Plugins[name]))
	}
	for name, p := range r.h.plugins {
		if _, stays := r.cfg.Plugins[name]; stays {
			continue
		}
		if !p.changing.TryLock() {
			errs = append(errs, fmt.Errorf("plugin %s: %w", name, ErrChanging))
			continue
		}
		r.removed = append(r.removed, p)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return r.prepareListeners(ctx)
}

func (r *reconfiguration) preparePlugin(ctx context.Context, name string, cfg config.Plugin) error {
	p := r.h.plugins[name]
	if p == nil {
		p = newPlugin(r.h, name, cfg, len(r.h.plugins)%len(r.h.reactor.Loops()))
		r.h.expect(p)
		v, err := p.loadVersion(ctx, cfg, r.cfg.Trust)
		if err != nil {
			return err
		}
		p.active = v
		r.added = append(r.added, p)
		r.plugins[name] = p
		return nil
	}
	if r.only != nil && !r.only[name] {
		r.plugins[name] = p
		return nil
	}
	if !p.changing.TryLock() {
		return fmt.Errorf("plugin %s: %w", name, ErrChanging)
	}
	plan, err := p.plan(ctx, cfg, r.cfg.Trust, false)
	if err != nil {
		p.setPreparing(nil)
		p.changing.Unlock()
		return err
	}
	r.plans = append(r.plans, plan)
	r.plugins[name] = p
	return nil
}

// expect notes a plugin that a change is adding; nil = they are there, or don't come.
func (h *Host) expect(p *plugin) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p == nil {
		h.coming = nil
		return
	}
	h.coming = append(h.coming, p)
}

// prepareListeners finds out which listeners stay, and binds new ones.
func (r *reconfiguration) prepareListeners(ctx context.Context) error {
	r.closing, r.closingPorts = slices.Clone(r.h.listeners), slices.Clone(r.h.ports)
	have := make([]*listener, len(r.cfg.Listeners))
	for n, cfg := range r.cfg.Listeners {
		if at := slices.IndexFunc(r.closing, func(l *listener) bool {
			return sameSocket(l.cfg.Endpoint, cfg.Endpoint)
		}); at >= 0 && !config.ForDatagrams(cfg.Endpoint) {
			have[n] = r.closing[at]
			r.closing = slices.Delete(r.closing, at, at+1)
		}
	}
	var errs []error
	for n, cfg := range r.cfg.Listeners {
		if config.ForDatagrams(cfg.Endpoint) {
			if err := r.preparePort(cfg); err != nil {
				errs = append(errs, &ListenerError{n, err})
			}
			continue
		}
		l, err := r.prepareListener(ctx, have[n], cfg)
		if err != nil {
			errs = append(errs, &ListenerError{n, err})
			continue
		}
		r.keep = append(r.keep, l)
	}
	return errors.Join(errs...)
}

// sameSocket tells whether one socket can serve both endpoints, one after the other: with
// TLS or without it.
func sameSocket(a, b string) bool {
	schemeA, restA, _ := strings.Cut(a, "://")
	schemeB, restB, _ := strings.Cut(b, "://")
	return restA == restB && (schemeA == schemeB || schemeA != "unix" && schemeB != "unix")
}

func (r *reconfiguration) prepareListener(ctx context.Context, l *listener, cfg config.Listener) (*listener, error) {
	counts := &routed{}
	if l != nil {
		counts = l.routed
	}
	p, o, err := r.h.options(ctx, cfg, r.plugins, counts, false)
	if err == nil {
		err = takeConnections(cfg, r.plugins, r.versionOf)
	}
	if err != nil {
		return nil, err
	}
	if l != nil {
		o.Scheme, _, _ = strings.Cut(cfg.Endpoint, "://")
		return &listener{cfg: cfg, ln: l.ln, plugin: p, routed: counts, options: o,
			changed: !reflect.DeepEqual(cfg, l.cfg)}, nil
	}
	o.Beside = r.onPort(cfg.Endpoint)
	l, err = r.h.listenFor(cfg, p, counts, o)
	if err != nil {
		return nil, err
	}
	r.bound = append(r.bound, l)
	return l, nil
}

// onPort are the listeners that are to be closed and have the port of a new one.
func (r *reconfiguration) onPort(endpoint string) (list []*reactor.Listener) {
	ep, err := reactor.ParseEndpoint(endpoint)
	if err != nil || ep.Scheme == "unix" {
		return nil
	}
	for _, l := range r.closing {
		if have := l.ln.Endpoint(); have.Scheme != "unix" && have.Port == ep.Port {
			list = append(list, l.ln)
		}
	}
	return list
}

// abandon undoes what prepare has done.
func (r *reconfiguration) abandon() error {
	var errs []error
	for _, plan := range r.plans {
		errs = append(errs, plan.abandon())
	}
	for _, p := range r.added {
		errs = append(errs, p.freeVersions(context.Background(), r.h.spent()+stopPatience))
	}
	for _, l := range r.bound {
		errs = append(errs, l.ln.Close())
	}
	r.abandonPorts()
	return errors.Join(errs...)
}

func (r *reconfiguration) unlock() {
	for _, plan := range r.plans {
		plan.p.setPreparing(nil)
		plan.p.changing.Unlock()
	}
	for _, p := range r.removed {
		p.changing.Unlock()
	}
}

// forgetUnloaded lets go of the plugins of which nothing is left. h.shape is held.
func (h *Host) forgetUnloaded() {
	var over []*plugin
	h.mu.Lock()
	h.unloaded = slices.DeleteFunc(h.unloaded, func(p *plugin) bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.replaced) > 0 {
			return false
		}
		over = append(over, p)
		return true
	})
	h.mu.Unlock()
	for _, p := range over {
		p.freeing.Wait() // it is short, takes h.mu, and ends before the loader does
	}
}

// commit does it. From here on only the end of the loops is an error.
func (r *reconfiguration) commit() error {
	h := r.h
	for _, plan := range r.plans {
		out, err := plan.commit()
		if err != nil {
			return err
		}
		r.out.Plugins = append(r.out.Plugins, out)
	}
	var wg sync.WaitGroup
	for _, p := range r.added {
		if err := errors.Join(p.openInside(), p.startOnLoops(&wg)); err != nil {
			return err
		}
		p.log.Info("plugin is loaded", append([]any{"version", p.active.name}, r.by.LogArgs()...)...)
		r.out.Added = append(r.out.Added, "plugin "+p.name)
	}
	wg.Wait()
	err := r.commitListeners()
	err = errors.Join(err, r.commitPorts()) // of one that the system does not let change, too: the rest is done
	for _, p := range r.removed {
		p.log.Info("plugin is unloaded", append([]any{"previous", p.active.name}, r.by.LogArgs()...)...)
		p.beginUnload()
		h.mu.Lock()
		h.unloaded = append(h.unloaded, p)
		h.mu.Unlock()
		r.out.Removed = append(r.out.Removed, "plugin "+p.name)
	}
	h.announceReady() // what failed may be gone
	slices.Sort(r.out.Removed)
	return err
}

// commitListeners changes to the listeners that were prepared. What one's error is, the others
// change.
func (r *reconfiguration) commitListeners() error {
	h := r.h
	h.placing.Lock()
	defer h.placing.Unlock()
	h.mu.Lock()
	h.cfg, h.plugins, h.listeners, h.ports = r.cfg, r.plugins, r.keep, r.portsToBe()
	h.mu.Unlock()
	errs := []error{h.place(r.keep, r.plugins)} // isolations may have changed, of those behind them too
	isNew := map[*listener]bool{}
	for _, l := range r.bound {
		isNew[l] = true
	}
	for _, l := range r.keep {
		text := l.info().text()
		switch {
		case isNew[l]:
			r.out.Added = append(r.out.Added, text)
			errs = append(errs, l.ln.Start())
		case l.changed:
			r.out.Changed = append(r.out.Changed, text)
		}
	}
	for _, l := range r.closing {
		r.out.Removed = append(r.out.Removed, l.info().text())
		errs = append(errs, l.ln.Close())
	}
	return errors.Join(errs...)
}
