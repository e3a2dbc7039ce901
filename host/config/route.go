package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/wirehost/wirehost/internal/route"
)

// routeName checks a name of SNI, as allow.connect has it: whole, *.DOMAIN or *.
func routeName(v reflect.Value) *Fault {
	s := v.String()
	if name := strings.TrimPrefix(s, "*."); s != "*" &&
		(name == "" || len(name) > 253 || strings.ContainsAny(name, "* :/")) {
		return &Fault{Found: quote(s), Wanted: "a name such as www.example.com, *.example.com for those below it, or *"}
	}
	return nil
}

// mostPrefix is the longest prefix of a rule, in bytes.
const mostPrefix = 1024

func routePrefix(v reflect.Value) *Fault {
	s := v.String()
	switch p, err := route.ParsePrefix(s); {
	case err != nil:
		return &Fault{Found: quote(s), Wanted: "text, or hex: and two digits a byte"}
	case p == "" || len(p) > mostPrefix:
		return &Fault{Found: fmt.Sprintf("%d bytes", len(p)), Wanted: fmt.Sprintf("1 to %d", mostPrefix)}
	}
	return nil
}

func routeRegexp(v reflect.Value) *Fault {
	s := v.String()
	if _, err := regexp.Compile(s); err != nil {
		return &Fault{Found: quote(s) + " (" + err.Error() + ")", Wanted: "a regular expression of RE2"}
	}
	return nil
}

func routeSource(v reflect.Value) *Fault {
	if _, err := route.ParseSource(v.String()); err != nil {
		return &Fault{Found: quote(v.String()), Wanted: "an address, or a network such as 10.0.0.0/8 or fd00::/8"}
	}
	return nil
}

// route checks a listener's rules.
func (v *validator) route(p path, ls Listener, plugins map[string]Plugin) {
	if len(ls.Route) == 0 {
		return
	}
	if ForDatagrams(ls.Endpoint) {
		v.report(p.with("route"), "rules", "none, since datagrams have no connection", "")
		return
	}
	if len(ls.Chain) > 0 {
		v.report(p.with("route"), "rules beside a chain", "one of both", "")
		return
	}
	for i, r := range ls.Route {
		at := p.with("route").with(strconv.Itoa(i))
		none := len(r.SNI)+len(r.ALPN)+len(r.Prefix)+len(r.Regexp)+len(r.Source) == 0 && !v.badBelow(at)
		v.plugin(at.with("plugin"), r.Plugin, plugins)
		if none {
			v.report(at, "no matcher", "one of sni, alpn, prefix, regexp, source; for all others there is "+
				p.with("plugin").String(), "")
		}
	}
}

// Matchers are the rule's.
func (r Route) Matchers() route.Matchers {
	return route.Matchers{SNI: r.SNI, ALPN: r.ALPN, Prefix: r.Prefix, Regexp: r.Regexp, Source: r.Source}
}

// WithoutPlugin are listeners without a plugin: its own are not there, nor are the rules of
// others that name it, nor listeners that have nobody left.
func WithoutPlugin(list []Listener, name string) (rest []Listener) {
	for _, l := range list {
		had := len(l.Route) > 0
		l.Route = slices.DeleteFunc(slices.Clone(l.Route), func(r Route) bool { return r.Plugin == name })
		if l.First() == name || l.First() == "" && had && len(l.Route) == 0 {
			continue
		}
		rest = append(rest, l)
	}
	return rest
}
