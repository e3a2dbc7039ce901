package host

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/reactor"
)

// portsToBe are those of the configuration.
func (r *reconfiguration) portsToBe() (list []*port) {
	for _, t := range r.ports {
		list = append(list, t.port)
	}
	return list
}

// preparePort finds the port of an endpoint that stays, or binds a new one.
func (r *reconfiguration) preparePort(cfg config.Listener) error {
	p := r.plugins[cfg.Plugin]
	if p == nil {
		return fmt.Errorf("listener %s: found no plugin %q", cfg.Endpoint, cfg.Plugin)
	}
	v := r.versionOf(p)
	at := slices.IndexFunc(r.closingPorts, func(t *port) bool { return t.cfg.Endpoint == cfg.Endpoint })
	if at < 0 {
		t, err := r.h.bindPort(cfg, p, v)
		if err == nil {
			r.ports = append(r.ports, nextPort{port: t, cfg: cfg, plugin: p, bound: true})
		}
		return err
	}
	t := r.closingPorts[at]
	o, err := datagramOptions(cfg, p, v)
	o.KeepFile = t.kept
	if err == nil {
		err = t.fits(p, v)
	}
	switch n := len(t.on.Sockets()); {
	case err != nil:
		return err
	case n > 1 && (cfg.Broadcast || len(cfg.Multicast) > 0):
		return severalSockets(cfg, n)
	}
	r.closingPorts = slices.Delete(r.closingPorts, at, at+1)
	r.ports = append(r.ports, nextPort{port: t, cfg: cfg, plugin: p, options: o})
	return nil
}

// versionOf is the version that a plugin will have after the change.
func (r *reconfiguration) versionOf(p *plugin) *version {
	for _, plan := range r.plans {
		if plan.p == p {
			return plan.new
		}
	}
	return p.current()
}

// fits says why the port's sockets, which stay on their loops, can't be a version's.
func (t *port) fits(p *plugin, v *version) error {
	sharing := v.cfg.Isolation == config.IsolationShared
	if own := t.plugin.Load(); sharing != t.shared || sharing && own.pinned != p.pinned {
		return fmt.Errorf("listener %s: found isolation %s of plugin %s, which runs on other loops than the sockets "+
			"are on: it takes another start", t.cfg.Endpoint, v.cfg.Isolation, p.name)
	}
	return nil
}

// fitsListeners says why the new version can't have the plugin's listeners.
func (r *replacement) fitsListeners() error {
	r.p.host.mu.Lock()
	defer r.p.host.mu.Unlock()
	for _, l := range r.p.host.listeners {
		if !slices.Contains(takers(l.cfg), r.p.name) {
			continue
		}
		if err := r.new.takesConnections(l.cfg); err != nil {
			return err
		}
	}
	for _, t := range r.p.host.ports {
		if t.plugin.Load() != r.p {
			continue
		}
		if err := r.new.takesDatagrams(t.cfg); err != nil {
			return err
		}
		if err := t.fits(r.p, r.new); err != nil {
			return err
		}
	}
	return nil
}

// abandonPorts undoes what preparePort has done.
func (r *reconfiguration) abandonPorts() {
	for _, t := range r.ports {
		if t.bound {
			t.on.Close(reactor.Replaced)
		}
	}
}

// commitPorts changes to the ports that were prepared. What one's error is, the others change.
func (r *reconfiguration) commitPorts() error {
	var errs []error
	for _, t := range r.ports {
		text := "listener " + t.on.Endpoint().String() + " for plugin " + t.plugin.name
		switch {
		case t.bound:
			r.out.Added = append(r.out.Added, text)
			errs = append(errs, t.on.Start())
		case !reflect.DeepEqual(t.cfg, t.port.cfg):
			r.out.Changed = append(r.out.Changed, text)
			errs = append(errs, t.on.Configure(t.options))
		}
		t.port.cfg = t.cfg
		errs = append(errs, t.give(t.plugin))
	}
	for _, t := range r.closingPorts {
		r.out.Removed = append(r.out.Removed, "listener "+t.on.Endpoint().String())
		t.on.Close(reactor.Done)
	}
	return errors.Join(errs...)
}
