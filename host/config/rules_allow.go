package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/wirehost/wirehost/reactor"
)

// allowed checks where a guest may connect to: a plugin, an endpoint, or one with * for
// the whole host or the whole port, or *.DOMAIN for the names in a domain.
func allowed(v reflect.Value) *Fault {
	s := v.String()
	scheme, rest, _ := strings.Cut(s, "://")
	if name, inside := strings.CutPrefix(s, pluginScheme); inside {
		return allowedPlugin(s, name)
	}
	if f := endpointFault(s); f != nil && !slices.Contains([]string{"tcp", "tls", "udp", "unix"}, scheme) {
		f.Wanted = "tcp://HOST:PORT, tls://HOST:PORT, unix://PATH, udp://HOST:PORT or plugin://NAME"
		return f
	}
	check := endpointFault
	if scheme == "udp" {
		check = func(s string) *Fault { return endpoint(reflect.ValueOf(s)) }
	}
	if scheme != "tcp" && scheme != "tls" && scheme != "udp" || !strings.Contains(rest, "*") {
		return check(s)
	}
	if host, ok := strings.CutPrefix(rest, "*:"); ok {
		rest = "any:" + host
	} else if domain, ok := strings.CutPrefix(rest, "*."); ok {
		rest = "any." + domain
	}
	if host, ok := strings.CutSuffix(rest, ":*"); ok {
		rest = host + ":0"
	}
	if strings.Contains(rest, "*") || check(scheme+"://"+rest) != nil {
		const wanted = "an endpoint; * stands for the whole host or the whole port, *.DOMAIN for the names in it"
		return &Fault{Found: quote(s), Wanted: wanted}
	}
	return nil
}

// listened checks where a guest may listen: at an address of this machine, at all of them, which
// is an empty host, or with * at any; and so with the port.
func listened(v reflect.Value) *Fault {
	s := v.String()
	const wanted = "tcp://HOST:PORT, tls://HOST:PORT or unix:///PATH, where HOST is an address, * or nothing, and " +
		"PORT a number or *"
	scheme, rest, _ := strings.Cut(s, "://")
	if scheme == "unix" {
		return endpointFault(s)
	}
	if after, ok := strings.CutPrefix(rest, "*:"); ok {
		rest = ":" + after
	}
	if before, ok := strings.CutSuffix(rest, ":*"); ok {
		rest = before + ":0"
	}
	e, err := reactor.ParseEndpoint(scheme + "://" + rest)
	if err == nil && e.Host != "" {
		_, err = netip.ParseAddr(e.Host)
	}
	if err != nil {
		return &Fault{Found: quote(s), Wanted: wanted}
	}
	return nil
}

// alpn checks a protocol's name by RFC 7301, section 3.1.
func alpn(v reflect.Value) *Fault {
	if s := v.String(); len(s) < 1 || len(s) > 255 {
		return &Fault{Found: fmt.Sprintf("%d bytes", len(s)), Wanted: "a protocol's name of 1 to 255 bytes"}
	}
	return nil
}

// groups checks a network of multicast groups.
func groups(v reflect.Value) *Fault {
	s := v.String()
	if p, err := netip.ParsePrefix(s); err == nil && p.Addr().IsMulticast() {
		if p.Bits() >= 8 || p.Addr().Is4() && p.Bits() >= 4 { // all of them at most
			return nil
		}
	}
	f := &Fault{Found: quote(s), Wanted: "multicast groups, such as 239.1.0.0/16 or ff02::42/128"}
	if ip, err := netip.ParseAddr(s); err == nil && ip.IsMulticast() && ip.Zone() == "" {
		f.Hint = netip.PrefixFrom(ip, ip.BitLen()).String()
	}
	return f
}

func cidr(v reflect.Value) *Fault {
	s := v.String()
	if _, err := netip.ParsePrefix(s); err == nil {
		return nil
	}
	f := &Fault{Found: quote(s), Wanted: "a network such as 10.0.0.0/8 or fd00::/8"}
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		f.Hint = netip.PrefixFrom(ip, ip.BitLen()).String()
	}
	return f
}
