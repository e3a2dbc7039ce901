package guest

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wirehost/wirehost/reactor"
)

// AllowList says where a guest's outgoing connections may go: nowhere, unless a pattern
// names it. It is immutable. Any goroutine.
type AllowList struct {
	patterns []pattern
	private  bool
	tls      func() *tls.Config // nil = the system's roots
}

// pattern is an endpoint with wildcards.
type pattern struct {
	scheme, host, port string // of unix:// the host is the path
	addr               netip.Addr
	number             uint16 // port's
	any                bool   // port is *
}

// NewAllowList makes a list of patterns such as tcp://HOST:PORT, where HOST may be * or
// *.DOMAIN and PORT may be *. private says that names and wildcards may lead to
// addresses that are not public. client has the roots that verify outgoing TLS, each
// connection those of its time; nil are the system's. Loops call it: it must not block.
func NewAllowList(patterns []string, private bool, client func() *tls.Config) (*AllowList, error) {
	a := &AllowList{private: private, tls: client}
	for _, text := range patterns {
		p, err := parsePattern("allow.connect", text)
		if err != nil {
			return nil, err
		}
		a.patterns = append(a.patterns, p)
	}
	return a, nil
}

// ListenList says where a guest may listen: nowhere, unless a pattern names it. It is
// immutable. Any goroutine.
type ListenList struct {
	patterns  []pattern
	tls       *tls.Config
	handshake time.Duration
}

// NewListenList makes a list of patterns such as tcp://HOST:PORT, where HOST is an address,
// nothing, which is all of them, or *, and PORT may be *. server is TLS's side of the
// connections that come there, for tls:// and startTLS, nil where there is no certificate,
// and handshake how long theirs may take, 0 for 10 s.
func NewListenList(patterns []string, server *tls.Config, handshake time.Duration) (*ListenList, error) {
	l := &ListenList{tls: server, handshake: handshake}
	for _, text := range patterns {
		p, err := parsePattern("allow.listen", text)
		if err != nil {
			return nil, err
		}
		l.patterns = append(l.patterns, p)
	}
	return l, nil
}

// allows tells whether an endpoint may be listened on.
func (l *ListenList) allows(ep reactor.Endpoint) bool {
	return l != nil && slices.ContainsFunc(l.patterns, func(p pattern) bool { return p.matches(ep) })
}

// clientTLS is what outgoing TLS is verified by.
func (a *AllowList) clientTLS() *tls.Config {
	if a.tls == nil {
		return nil
	}
	return a.tls()
}

// parsePattern reads tcp://HOST:PORT, tls://HOST:PORT, udp://HOST:PORT, unix:///PATH or
// plugin://NAME of a setting. HOST may be * or *.example.com, PORT may be *, and so may NAME.
// Of allow.listen, which has no datagrams and no plugins, HOST may be nothing.
func parsePattern(setting, text string) (pattern, error) {
	listens := setting == "allow.listen"
	bad := func() (pattern, error) {
		wanted := "tcp://HOST:PORT, tls://HOST:PORT, udp://HOST:PORT, unix:///PATH or plugin://NAME"
		if listens {
			wanted = "tcp://HOST:PORT, tls://HOST:PORT or unix:///PATH"
		}
		return pattern{}, fmt.Errorf("%s: found %q, wanted %s, where HOST may be * or *.DOMAIN and PORT may be *",
			setting, text, wanted)
	}
	scheme, rest, ok := strings.Cut(text, "://")
	if scheme == "plugin" && !listens && rest != "" && rest != next {
		return pattern{scheme: scheme, host: rest}, nil
	}
	if scheme == "unix" && (strings.HasPrefix(rest, "/") || strings.HasPrefix(rest, "@")) {
		return pattern{scheme: scheme, host: filepath.Clean(rest)}, nil
	}
	colon := strings.LastIndexByte(rest, ':')
	if !ok || scheme != "tcp" && scheme != "tls" && (scheme != "udp" || listens) || colon < 0 ||
		colon == 0 && !listens {
		return bad()
	}
	p := pattern{scheme: scheme, host: strings.ToLower(rest[:colon]), port: rest[colon+1:]}
	p.host = strings.TrimSuffix(strings.TrimPrefix(p.host, "["), "]")
	if p.host == "." || p.host == "*." {
		return bad()
	}
	p.host = strings.TrimSuffix(p.host, ".")
	if addr, err := netip.ParseAddr(p.host); err == nil {
		p.addr = addr.Unmap()
	}
	if strings.Contains(strings.TrimPrefix(p.host, "*"), "*") || strings.HasPrefix(p.host, "*") && p.host != "*" &&
		!strings.HasPrefix(p.host, "*.") {
		return bad()
	}
	if p.port != "*" {
		n, err := strconv.ParseUint(p.port, 10, 16)
		if err != nil {
			return bad()
		}
		p.port, p.number = strconv.FormatUint(n, 10), uint16(n)
	}
	p.any = p.port == "*"
	return p, nil
}

func (p pattern) matches(ep reactor.Endpoint) bool {
	if p.scheme != ep.Scheme {
		return false
	}
	if p.scheme == "unix" {
		return p.host == ep.Path
	}
	if p.port != "*" && p.port != fmt.Sprint(ep.Port) {
		return false
	}
	if a, err := netip.ParseAddr(ep.Host); err == nil {
		return p.host == "*" || p.addr == a.Unmap()
	}
	host := strings.TrimSuffix(strings.ToLower(ep.Host), ".")
	switch domain, wild := strings.CutPrefix(p.host, "*."); {
	case p.host == "*":
		return true
	case wild:
		return strings.HasSuffix(host, "."+domain)
	}
	return host == p.host
}

// endpoint tells whether an endpoint may be asked for, as it is written.
func (a *AllowList) endpoint(ep reactor.Endpoint) bool {
	return slices.ContainsFunc(a.patterns, func(p pattern) bool { return p.matches(ep) })
}

// plugin tells whether another plugin may be connected to.
func (a *AllowList) plugin(name string) bool {
	for _, p := range a.patterns {
		if p.scheme == "plugin" && (p.host == name || p.host == "*") {
			return true
		}
	}
	return false
}

// address is asked for each address before it is connected to. One that a
// pattern names is the operator's own choice. One that only a name or a
// wildcard leads to must be public, or the guest could reach what the host's
// neighbours trust it with (and a name may be made to resolve to anything).
func (a *AllowList) address(ep reactor.Endpoint, addr netip.Addr) error {
	addr = addr.Unmap()
	if a.private || public(addr) {
		return nil
	}
	if _, err := netip.ParseAddr(ep.Host); err == nil {
		for _, p := range a.patterns {
			if p.addr == addr && p.matches(ep) {
				return nil
			}
		}
	}
	return fmt.Errorf("%s is at %s, which is not a public address (allow.private)", ep, addr)
}

// datagram tells whether an unconnected socket may send to an address: a pattern names it,
// or leads to any host, and it is public.
func (a *AllowList) datagram(to netip.AddrPort) bool {
	addr := to.Addr().Unmap().WithZone("")
	for _, p := range a.patterns {
		if p.scheme == "udp" && (p.any || p.number == to.Port()) &&
			(p.addr == addr || p.host == "*" && (a.private || public(addr))) {
			return true
		}
	}
	return false
}

// special are the ranges of the IANA special-purpose registries that netip has
// no word for and that lead to neighbours or to nobody.
var special = [...]netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this network, RFC 791
	netip.MustParsePrefix("100.64.0.0/10"),   // carrier-grade NAT, RFC 6598
	netip.MustParsePrefix("192.0.0.0/24"),    // RFC 6890
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks, RFC 2544
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, and broadcast
	netip.MustParsePrefix("64:ff9b::/96"),    // NAT64, RFC 6052
	netip.MustParsePrefix("64:ff9b:1::/48"),  // local NAT64, RFC 8215
	netip.MustParsePrefix("2002::/16"),       // 6to4, RFC 3056
	netip.MustParsePrefix("fec0::/10"),       // site-local, RFC 3879
	netip.MustParsePrefix("2001::/32"),       // Teredo, RFC 4380
	netip.MustParsePrefix("::/96"),           // IPv4-compatible, RFC 4291
	netip.MustParsePrefix("::ffff:0:0:0/96"), // IPv4-translated, RFC 2765
}

func public(a netip.Addr) bool {
	a = a.WithZone("") // a prefix contains no address with a zone
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}
