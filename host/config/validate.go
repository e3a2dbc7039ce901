package config

import (
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/wirehost/wirehost/reactor"
)

// Validate checks a configuration that a program has put together and completed
// by WithDefaults, as Load checks a file: what a setting may be, and what concerns
// several of them. The error is Faults, with all that is wrong, each under its
// setting's dotted name. It does no I/O.
func (c Config) Validate() error {
	v := newValidator(&loader{})
	for _, name := range slices.Sorted(maps.Keys(c.Plugins)) {
		if !validName(name) {
			v.report(path{"plugins", name}, "the name "+quote(name), betterName(name), "")
		}
	}
	rules := rules()
	walk(reflect.ValueOf(c), c, nil, "", func(x, _ reflect.Value, p path, pattern string) reflect.Value {
		v.value(x, p, pattern, rules[pattern])
		return x
	})
	v.config(c)
	if len(v.faults) > 0 {
		return v.faults
	}
	return nil
}

// value checks one value. An endpoint or a module that is empty has not been given:
// that is told in config.
func (v *validator) value(x reflect.Value, p path, pattern string, r rule) {
	if x.Kind() == reflect.String {
		if wanted := textFault(x.String()); wanted != "" {
			v.report(p, quote(x.String()), wanted, "")
		}
	}
	if r == nil || x.IsZero() && (pattern == "plugins.*.module" || pattern == "listeners.*.endpoint") {
		return
	}
	if f := r(x); f != nil {
		v.report(p, f.Found, f.Wanted, f.Hint)
	}
}

func newValidator(l *loader) *validator {
	v := &validator{loader: l, bad: map[string]bool{}}
	for _, f := range l.faults {
		v.bad[f.Key] = true
		if f.Hint != "" { // a misspelt key: what was meant is not missing
			v.bad[f.Key[:strings.LastIndexByte(f.Key, '.')+1]+f.Hint] = true
		}
	}
	return v
}

// config checks what concerns several values.
func (v *validator) config(c Config) {
	v.watermarks(c.Reactor.WriteBuffer)
	for _, name := range slices.Sorted(maps.Keys(c.Plugins)) {
		if p := (path{"plugins", name, "module"}); c.Plugins[name].Module == "" {
			v.report(p, "no module", moduleWanted, "")
		}
		v.allowTLS(path{"plugins", name, "allow"}, c.Plugins[name].Allow)
	}
	v.circles(c.Plugins)
	v.admin(c.Admin)
	seen := map[string]string{}
	if key := sameEndpoint(c.Admin.Listen); key != "" {
		seen[key] = "admin.listen"
	}
	if key := sameEndpoint(c.Monitor.Listen); key != "" {
		if first, twice := seen[key]; twice {
			v.report(path{"monitor", "listen"}, quote(c.Monitor.Listen)+", which is "+first+"'s too",
				"one endpoint for each", "")
		}
		seen[key] = "monitor.listen"
	}
	for i, ls := range c.Listeners {
		v.listener(path{"listeners", strconv.Itoa(i)}, ls, c.Plugins, seen)
	}
}

type validator struct {
	*loader
	bad map[string]bool // keys with faults
}

// report adds a fault of what stands at p.
func (v *validator) report(p path, found, wanted, hint string) {
	if instead := v.hidden[p.key()]; instead != "" {
		found, hint = instead, ""
	}
	v.add(v.origin(p).fault(p, found, wanted, hint))
}

// add adds a fault, unless its value or what is around it has one: what follows from
// a fault is not told.
func (v *validator) add(f *Fault) {
	for key := f.Key; key != ""; key = key[:max(0, strings.LastIndexByte(key, '.'))] {
		if v.bad[key] {
			return
		}
	}
	v.bad[f.Key] = true
	v.faults = append(v.faults, f)
}

// badBelow tells whether something in what stands at p has a fault: it is not missing then.
func (v *validator) badBelow(p path) bool {
	for key := range v.bad {
		if strings.HasPrefix(key, p.String()+".") {
			return true
		}
	}
	return false
}

func (v *validator) watermarks(w WriteBuffer) {
	p := path{"reactor", "write_buffer"}
	def := base().Reactor.WriteBuffer
	say := func(key string, s Size) string {
		if _, given := v.where[p.with(key).key()]; !given && (s == def.Low || s == def.High || s == def.Max) {
			return s.String() + " (the default)"
		}
		return s.String()
	}
	if w.Low > w.High {
		v.report(p.with("low"), say("low", w.Low), "at most high, which is "+say("high", w.High), "")
	}
	if w.High > w.Max {
		v.report(p.with("high"), say("high", w.High), "at most max, which is "+say("max", w.Max), "")
	}
}

// listener checks one listener. seen has the endpoints before it, and whose
// they are.
func (v *validator) listener(p path, ls Listener, plugins map[string]Plugin, seen map[string]string) {
	if ls.Endpoint == "" {
		v.report(p.with("endpoint"), "no endpoint", "one such as tcp://127.0.0.1:7007", "")
	} else if key := sameEndpoint(ls.Endpoint); key != "" {
		if first, twice := seen[key]; twice {
			v.report(p.with("endpoint"), quote(ls.Endpoint)+", which is "+first+"'s too", "one endpoint for each", "")
		} else {
			seen[key] = p.String()
		}
	}
	if ls.First() != "" || len(ls.Route) == 0 {
		v.plugins(p, ls, plugins)
	}
	v.route(p, ls, plugins)
	v.tls(p.with("tls"), ls.TLS, strings.HasPrefix(ls.Endpoint, "tls:"))
	v.limits(p, ls)
	if ls.ProxyProtocol && len(ls.ProxyFrom) == 0 && !strings.HasPrefix(ls.Endpoint, "unix:") {
		v.report(p.with("proxy_from"), "no source to trust", "the proxies' networks, since proxy_protocol is on", "")
	}
}

// limits checks what a listener's limits and its socket's settings ask of its endpoint,
// and of each other.
func (v *validator) limits(p path, ls Listener) {
	isUnix := strings.HasPrefix(ls.Endpoint, "unix:") || strings.HasPrefix(ls.Endpoint, "unixgram:")
	if isUnix && !ls.ProxyProtocol && (ls.PerPeer.Connections > 0 || ls.PerPeer.NewPerSecond > 0) {
		v.report(p.with("per_peer"), "a limit for each address",
			"none, since clients of a Unix socket have no address, "+
				"or proxy_protocol", "")
	}
	for _, most := range []struct {
		key string
		is  Size
	}{{"in", ls.Rate.In}, {"out", ls.Rate.Out}} {
		if most.is > 0 && ls.Rate.Least >= most.is {
			v.report(p.with("rate").with("least"), ls.Rate.Least.String(), "less than "+most.key+", which is "+
				most.is.String(), "")
		}
	}
	v.datagrams(p, ls)
	if ls.ReusePort && isUnix {
		v.report(p.with("reuse_port"), "true", "false, since a Unix socket has no port", "")
	}
	if hasFile := isUnix && !strings.Contains(ls.Endpoint, "://@"); hasFile || ls.Endpoint == "" {
		return
	}
	const wanted = "none, since the endpoint is no Unix socket with a file"
	if ls.Mode != defaultListener().Mode {
		v.report(p.with("mode"), quote(ls.Mode), wanted, "")
	}
	if ls.Owner != "" {
		v.report(p.with("owner"), quote(ls.Owner), wanted, "")
	}
	if ls.Group != "" {
		v.report(p.with("group"), quote(ls.Group), wanted, "")
	}
}

// connections checks the settings that only sockets for connections have.
func (v *validator) connections(p path, ls Listener) {
	have, t := defaultListener(), ls.TLS
	for _, one := range []struct {
		key   string
		given bool
	}{
		{"max_connections", ls.MaxConnections > 0}, {"new_per_second", ls.NewPerSecond > 0},
		{"per_peer.connections", ls.PerPeer.Connections > 0}, {"per_peer.new_per_second", ls.PerPeer.NewPerSecond > 0},
		{"rate", ls.Rate != have.Rate}, {"idle_timeout", ls.IdleTimeout > 0}, {"max_age", ls.MaxAge > 0},
		{"tls", len(t.All()) > 0 || t.ClientCA != "" || len(t.ALPN) > 0}, {"proxy_protocol", ls.ProxyProtocol},
		{"proxy_from", len(ls.ProxyFrom) > 0},
	} {
		if one.given {
			v.report(append(slices.Clone(p), strings.Split(one.key, ".")...), "a setting of connections",
				"none, since the endpoint is for datagrams", "")
		}
	}
}

// datagrams checks the settings that only sockets for datagrams have.
func (v *validator) datagrams(p path, ls Listener) {
	if ForDatagrams(ls.Endpoint) {
		v.connections(p, ls)
	}
	isUDP := strings.HasPrefix(ls.Endpoint, "udp:")
	if isUDP || ls.Endpoint == "" {
		return
	}
	const wanted = "none, since the endpoint is not udp://"
	if n := ls.PerPeer.DatagramsPerSecond; n > 0 {
		v.report(p.with("per_peer").with("datagrams_per_second"), "the number "+strconv.Itoa(n), wanted, "")
	}
	if len(ls.Multicast) > 0 {
		v.report(p.with("multicast"), "groups", wanted, "")
	}
	if ls.Broadcast {
		v.report(p.with("broadcast"), "true", "false, since the endpoint is not udp://", "")
	}
	if ls.ReceiveBuffer > 0 && !strings.HasPrefix(ls.Endpoint, "unixgram:") {
		v.report(p.with("receive_buffer"), ls.ReceiveBuffer.String(),
			"none, since the endpoint is neither udp:// nor unixgram://", "")
	}
}

// plugin checks that what stands at p is a plugin's name.
func (v *validator) plugin(p path, name string, plugins map[string]Plugin) {
	names := slices.Sorted(maps.Keys(plugins))
	switch _, known := plugins[name]; {
	case name == "":
		v.report(p, "no plugin", "the name of one under plugins"+among(names), "")
	case !known && !v.bad["plugins"] && !v.bad["plugins."+name]:
		v.report(p, quote(name), "the name of one under plugins"+among(names), suggest(name, names))
	}
}

func among(names []string) string {
	if len(names) == 0 {
		return ", where none is"
	}
	return " (" + strings.Join(names, ", ") + ")"
}

// tls checks the server side of TLS; needed: the endpoint is tls://.
func (v *validator) tls(p path, t TLS, needed bool) {
	all := t.All()
	const why = ", since the endpoint is tls://"
	switch {
	case len(all) == 0 && needed:
		v.report(p.with("cert"), "no certificate", "the path of a PEM file"+why, "")
		v.report(p.with("key"), "no key", "the path of a PEM file"+why, "")
	case len(all) == 0 && t.ClientCA != "":
		v.report(p.with("client_ca"), quote(t.ClientCA)+" without cert and key", "all three, or none", "")
	case len(all) == 0 && len(t.ALPN) > 0:
		v.report(p.with("alpn"), "protocols without cert and key", "all three, or none", "")
	}
	v.pair(p, t.Cert, t.Key)
	for i, c := range t.Certificates {
		at := p.with("certificates").with(strconv.Itoa(i))
		if c.Cert == "" && c.Key == "" {
			v.report(at, "neither cert nor key", "the paths of both", "")
		}
		v.pair(at, c.Cert, c.Key)
	}
}

// allowTLS checks the server side of TLS that a plugin's guests have: where they may listen on
// tls://, there is a certificate for it.
func (v *validator) allowTLS(p path, a Allow) {
	v.tls(p.with("tls"), a.TLS, false)
	n := slices.IndexFunc(a.Listen, func(ep string) bool { return strings.HasPrefix(ep, "tls:") })
	if n >= 0 && len(a.TLS.All()) == 0 {
		v.report(p.with("listen").with(strconv.Itoa(n)), quote(a.Listen[n])+" without a certificate",
			"allow.tls with cert and key", "")
	}
}

// pair checks that a certificate has its key.
func (v *validator) pair(p path, cert, key string) {
	switch {
	case cert == "" && key != "":
		v.report(p.with("cert"), "no certificate", "one for the key that is given", "")
	case key == "" && cert != "":
		v.report(p.with("key"), "no key", "the certificate's", "")
	}
}

// admin checks that whom the administration's address lets in is known.
func (v *validator) admin(a Admin) {
	p := path{"admin"}
	v.pair(p.with("tls"), a.TLS.Cert, a.TLS.Key)
	if a.TLS.ClientCA != "" && a.TLS.Cert == "" && a.TLS.Key == "" {
		v.report(p.with("tls").with("client_ca"), quote(a.TLS.ClientCA)+" without cert and key", "all three, or none",
			"")
	}
	e, err := reactor.ParseEndpoint(a.Listen)
	if err != nil || onLoopback(e) {
		return
	}
	found := quote(a.Listen) + ", which others can reach"
	switch {
	case a.TLS.Cert == "": // whoever reads a token on its way has it
		v.report(p.with("listen"), found, "admin.tls with it, or a loopback address", "")
	case a.TokenFile == "" && a.TLS.ClientCA == "":
		v.report(p.with("listen"), found, "admin.token_file or admin.tls.client_ca with it, or a loopback address", "")
	}
}

// sameEndpoint is equal for endpoints of which only one can be bound; "" where
// any number can.
func sameEndpoint(text string) string {
	e, err := reactor.ParseEndpoint(text)
	network := "tcp"
	if ForDatagrams(text) {
		e, err = reactor.ParseDatagramEndpoint(text)
		network = e.Scheme
	}
	if err != nil {
		return ""
	}
	if e.Path != "" {
		return "unix " + e.Path
	}
	if e.Port == 0 {
		return ""
	}
	host := strings.ToLower(e.Host)
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.Unmap().String()
		if ip.IsUnspecified() {
			host = "" // package net listens on both families for either
		}
	}
	return fmt.Sprintf("%s %s %d", network, host, e.Port)
}
