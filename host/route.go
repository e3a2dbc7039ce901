package host

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/route"
	"github.com/wirehost/wirehost/reactor"
)

// router says which plugin gets a connection of a listener. It is immutable.
type router struct {
	rules *route.Rules
	to    []target // by rule
	own   target   // of the listener; its plugin may be nil
}

// target is a plugin that a router gives connections to.
type target struct {
	plugin *plugin
	given  *atomic.Uint64
}

// routed counts what a listener's rules have given to whom, ever. Any goroutine.
type routed struct {
	mu sync.Mutex
	by map[string]*atomic.Uint64 // by plugin; replaced as a whole
}

// of is a plugin's count.
func (r *routed) of(plugin string) *atomic.Uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := r.by[plugin]; n != nil {
		return n
	}
	by := maps.Clone(r.by)
	if by == nil {
		by = map[string]*atomic.Uint64{}
	}
	by[plugin] = &atomic.Uint64{}
	r.by = by
	return by[plugin]
}

// counts are they by plugin; nil = there are none.
func (r *routed) counts() map[string]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.by) == 0 {
		return nil
	}
	all := map[string]uint64{}
	for plugin, n := range r.by {
		all[plugin] = n.Load()
	}
	return all
}

// newRouter makes a listener's router; nil where it has no rules.
func newRouter(cfg config.Listener, own *plugin, plugins map[string]*plugin, counts *routed) (reactor.Router, error) {
	if len(cfg.Route) == 0 {
		return nil, nil
	}
	r := &router{}
	var list []route.Matchers
	for n, rule := range cfg.Route {
		p := plugins[rule.Plugin]
		if p == nil {
			return nil, fmt.Errorf("listener %s: route.%d: found no plugin %q", cfg.Endpoint, n, rule.Plugin)
		}
		list = append(list, rule.Matchers())
		r.to = append(r.to, target{p, counts.of(p.name)})
	}
	if own != nil {
		r.own = target{own, counts.of(own.name)}
	}
	var err error
	if r.rules, err = route.New(list, reactor.MaxHead); err != nil {
		return nil, fmt.Errorf("listener %s: %w", cfg.Endpoint, err)
	}
	return r, nil
}

// errNoRoute refuses a connection for which no rule holds, where the listener has no plugin of
// its own.
var errNoRoute = errors.New("no rule of route holds for it, and the listener has no plugin")

// Route finds the plugin.
func (r *router) Route(h reactor.Head) (to reactor.Destination, more bool, err error) {
	found, _ := (*h.Kept).(*route.State)
	if found == nil {
		found = &route.State{}
		*h.Kept = found
	}
	n, more := r.rules.Find(found, route.Head{Peer: h.Peer.Addr(), Bytes: h.Bytes, Final: h.Final, TLS: h.TLS,
		ServerName: h.ServerName, Protocol: h.Protocol})
	if more {
		return to, true, nil
	}
	t := r.own
	if n >= 0 {
		t = r.to[n]
	}
	if t.plugin == nil {
		return to, false, errNoRoute
	}
	t.given.Add(1)
	return t.plugin.destination(), false, nil
}

// noPlugin is the factory of a listener that has none: its router finds them all.
type noPlugin struct{}

// BuildProtocol is not called.
func (noPlugin) BuildProtocol(reactor.Transport) (reactor.Protocol, error) { return nil, errNoRoute }

// factory is the listener's own.
func (p *plugin) factory() reactor.Factory {
	if p == nil {
		return noPlugin{}
	}
	return p
}
