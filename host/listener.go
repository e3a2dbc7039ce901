package host

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/reactor"
)

// listener is one entry of the configuration's listeners.
type listener struct {
	cfg     config.Listener
	ln      *reactor.Listener
	plugin  *plugin // nil = its rules alone find whose a connection is
	routed  *routed
	options reactor.ListenOptions
	changed bool // by the last reload
}

// name is its plugin's, or "".
func (l *listener) name() string {
	if l.plugin == nil {
		return ""
	}
	return l.plugin.name
}

// ListenerError is what is wrong with a listener of the configuration, beyond what its text
// says, such as a port that is another's.
type ListenerError struct {
	Number int // in Config.Listeners, from 0 up
	Err    error
}

// Error names the listener as the configuration does.
func (e *ListenerError) Error() string { return fmt.Sprintf("listeners.%d: %v", e.Number, e.Err) }

// Unwrap is Err.
func (e *ListenerError) Unwrap() error { return e.Err }

// bind makes the listeners' sockets.
func (h *Host) bind(ctx context.Context) error {
	var errs []error
	for n, cfg := range h.cfg.Listeners {
		if config.ForDatagrams(cfg.Endpoint) {
			if err := h.openPort(cfg); err != nil {
				errs = append(errs, &ListenerError{n, err})
			}
			continue
		}
		l, err := h.listen(ctx, cfg)
		if err != nil {
			errs = append(errs, &ListenerError{n, err})
			continue
		}
		h.listeners = append(h.listeners, l)
	}
	return errors.Join(errs...)
}

func (h *Host) listen(ctx context.Context, cfg config.Listener) (*listener, error) {
	counts := &routed{}
	p, o, err := h.options(ctx, cfg, h.plugins, counts, true)
	if err == nil {
		err = takeConnections(cfg, h.plugins, (*plugin).current)
	}
	if err != nil {
		return nil, err
	}
	return h.listenFor(cfg, p, counts, o)
}

// takeConnections says why plugins of a listener can't have its connections. of is the version
// of each.
func takeConnections(cfg config.Listener, plugins map[string]*plugin, of func(*plugin) *version) error {
	for _, name := range takers(cfg) {
		if p := plugins[name]; p != nil {
			if err := of(p).takesConnections(cfg); err != nil {
				return err
			}
		}
	}
	return nil
}

// takers are the plugins that get a listener's connections: its own, those behind that one, and
// those of its rules.
func takers(cfg config.Listener) []string {
	names := append([]string{cfg.Plugin}, cfg.Chain...)
	for _, r := range cfg.Route {
		names = append(names, r.Plugin)
	}
	return names
}

// takesConnections says why a version can't have a listener's connections.
func (v *version) takesConnections(cfg config.Listener) error {
	if v.guest.ReceivesConnections() {
		return nil
	}
	return fmt.Errorf("listener %s: found no export dataReceived in the module of plugin %s, wanted one, or an "+
		"endpoint udp:// or unixgram://: the module is for datagrams alone", cfg.Endpoint, v.plugin.name)
}

// takesDatagrams says why a version can't have the datagrams of a listener.
func (v *version) takesDatagrams(cfg config.Listener) error {
	if v.guest.ReceivesDatagrams() {
		return nil
	}
	return fmt.Errorf("listener %s: found no export datagramsReceived in the module of plugin %s, wanted one, "+
		"since datagrams come to it", cfg.Endpoint, cfg.Plugin)
}

func (h *Host) listenFor(cfg config.Listener, p *plugin, counts *routed, o reactor.ListenOptions) (*listener, error) {
	ep, err := reactor.ParseEndpoint(cfg.Endpoint)
	if err != nil {
		return nil, err
	}
	ln, err := h.listenOn(cfg.Endpoint, ep, p, o)
	if err != nil {
		return nil, err
	}
	return &listener{cfg: cfg, ln: ln, plugin: p, routed: counts, options: o}, nil
}

// listenOn listens on an inherited socket, or where there is none binds one.
func (h *Host) listenOn(endpoint string, ep reactor.Endpoint, p *plugin, o reactor.ListenOptions) (*reactor.Listener,
	error) {
	if h.o.Inherited != nil {
		if f := h.o.Inherited(endpoint); f != nil {
			ln, err := h.reactor.ListenFile(f, ep, p.factory(), o)
			return ln, errors.Join(err, f.Close())
		}
	}
	return h.reactor.Listen(ep, p.factory(), o)
}

// options are a listener's, read from its configuration and its files. starting: a
// certificate that can't be loaded is no error.
func (h *Host) options(ctx context.Context, cfg config.Listener,
	plugins map[string]*plugin, counts *routed, starting bool) (*plugin, reactor.ListenOptions, error) {
	p := plugins[cfg.First()]
	if p == nil && (cfg.First() != "" || len(cfg.Route) == 0) {
		return nil, reactor.ListenOptions{}, fmt.Errorf("listener %s: found no plugin %q", cfg.Endpoint, cfg.First())
	}
	next, err := h.chain(cfg, plugins)
	if err != nil {
		return nil, reactor.ListenOptions{}, err
	}
	o := reactor.ListenOptions{
		Loop: p.loop(), RouteTimeout: cfg.RouteTimeout, MaxConnections: cfg.MaxConnections,
		IdleTimeout:  cfg.IdleTimeout,
		NewPerSecond: cfg.NewPerSecond, MaxAge: cfg.MaxAge,
		PerPeer: reactor.PeerLimits{
			Connections: cfg.PerPeer.Connections, NewPerSecond: cfg.PerPeer.NewPerSecond,
			IPv4: cfg.PerPeer.IPv4Prefix, IPv6: cfg.PerPeer.IPv6Prefix,
		},
		Rate:  reactor.Rates{In: int64(cfg.Rate.In), Out: int64(cfg.Rate.Out), Least: int64(cfg.Rate.Least)},
		Share: p.share, HandshakeTimeout: cfg.TLS.HandshakeTimeout, ProxyProtocol: cfg.ProxyProtocol, Next: next,
	}
	mode, err := strconv.ParseUint(cfg.Mode, 8, 32)
	if err != nil {
		return nil, o, fmt.Errorf("listener %s: mode: %w", cfg.Endpoint, err)
	}
	o.Socket = reactor.SocketOptions{
		ReusePort: cfg.ReusePort, Mode: os.FileMode(mode), Owner: cfg.Owner, Group: cfg.Group,
	}
	if err := o.Socket.Check(); err != nil {
		return nil, o, fmt.Errorf("listener %s: %w", cfg.Endpoint, err)
	}
	if o.TLS, err = h.sources.serverTLS(ctx, cfg.TLS, starting); err != nil {
		return nil, o, fmt.Errorf("listener %s: %w", cfg.Endpoint, err)
	}
	if o.Router, err = newRouter(cfg, p, plugins, counts); err != nil {
		return nil, o, err
	}
	o.ProxyFrom, err = prefixes(cfg.Endpoint, "proxy_from", cfg.ProxyFrom)
	return p, o, err
}

// place has connections come to the loops where plugins run now, in listeners, in their
// chains, and from other plugins. h.placing is held.
func (h *Host) place(listeners []*listener, plugins map[string]*plugin) error {
	var errs []error
	for _, p := range plugins {
		errs = append(errs, p.inside.Configure(p, p.insideOptions(nil)))
	}
	for _, l := range listeners {
		l.options.Loop = l.plugin.loop()
		next, err := h.chain(l.cfg, plugins)
		if next, err = sameChain(l.ln.Next(), next), errors.Join(err, placeChain(l.ln.Next())); err == nil {
			l.options.Next = next
			err = l.ln.Configure(l.plugin.factory(), l.options)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// placeAgain is place for listeners and plugins that stay, of which a plugin's isolation has
// changed.
func (h *Host) placeAgain() error {
	h.placing.Lock()
	defer h.placing.Unlock()
	h.mu.Lock()
	listeners, plugins := h.listeners, h.plugins
	h.mu.Unlock()
	return h.place(listeners, plugins)
}

// chain is where what is behind the first plugin of a listener's chain is connected to;
// nil = it has none. Each connection has the chain of the time when its own plugin was
// connected to.
func (h *Host) chain(cfg config.Listener, plugins map[string]*plugin) (next *reactor.Listener, err error) {
	for n := len(cfg.Chain) - 1; n > 0; n-- {
		p := plugins[cfg.Chain[n]]
		if p == nil {
			return nil, fmt.Errorf("listener %s: found no plugin %q", cfg.Endpoint, cfg.Chain[n])
		}
		if next, err = h.reactor.ListenInside(p.name, p, p.insideOptions(next)); err != nil {
			return nil, err
		}
	}
	return next, nil
}

// placeChain is place for a chain that connections have.
func placeChain(ln *reactor.Listener) error {
	var errs []error
	for ; ln != nil; ln = ln.Next() {
		p := ln.Factory().(*plugin)
		errs = append(errs, ln.Configure(p, p.insideOptions(ln.Next())))
	}
	return errors.Join(errs...)
}

// sameChain is the one that there is, where the other is of the same plugins: connections
// that have it are placed with those that come.
func sameChain(is, wanted *reactor.Listener) *reactor.Listener {
	a, b := is, wanted
	for a != nil && b != nil && a.Factory() == b.Factory() {
		a, b = a.Next(), b.Next()
	}
	if a != nil || b != nil {
		return wanted
	}
	return is
}

// prefixes reads a listener's list of networks.
func prefixes(endpoint, setting string, list []string) (all []netip.Prefix, err error) {
	for _, text := range list {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("listener %s: %s: %w", endpoint, setting, err)
		}
		all = append(all, prefix)
	}
	return all, nil
}
