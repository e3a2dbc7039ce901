package config

import (
	"encoding/hex"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"aead.dev/minisign"

	"github.com/wirehost/wirehost/reactor"
)

// rule says what is wrong with one value of a setting's own type, or nil. It
// fills in Found, Wanted and Hint.
type rule func(v reflect.Value) *Fault

// rules are what values must obey, beside their type; keys are paths with * for
// names and indices. What concerns several values is in validate.go.
func rules() map[string]rule {
	return map[string]rule{
		"log.level":                        oneOf("trace", "debug", "info", "warn", "error"),
		"log.format":                       oneOf("text", "json"),
		"reactor.loops":                    count(0, 1024),
		"reactor.backend":                  oneOf("auto", "epoll", "portable"),
		"reactor.pre_stop":                 orZero,
		"reactor.drain_timeout":            orZero,
		"reactor.close_timeout":            positive,
		"reactor.write_timeout":            positive,
		"reactor.closed_timeout":           positive,
		"reactor.tls_records":              oneOf("auto", "library"),
		"reactor.write_buffer.high":        size(1, 1<<30),
		"reactor.write_buffer.low":         size(1, 1<<30),
		"reactor.write_buffer.max":         size(1, 1<<30),
		"reactor.max_connections":          count(0, math.MaxInt32),
		"reactor.max_memory":               size(0, 1<<50),
		"admin.listen":                     adminEndpoint,
		"monitor.listen":                   monitorEndpoint,
		"access_log.to":                    accessLog,
		"access_log.format":                oneOf("text", "json"),
		"otlp.endpoint":                    collector,
		"otlp.sample":                      percent,
		"plugins.*.module":                 module,
		"trust.keys.*":                     trusted,
		"plugins.*.pull":                   oneOf(PullMissing, PullAlways, PullNever),
		"plugins.*.sha256":                 sha256Hex,
		"plugins.*.isolation":              oneOf(IsolationConnection, IsolationLoop, IsolationShared),
		"plugins.*.reload":                 oneOf(ReloadMigrate, ReloadDrain, ReloadDrop),
		"plugins.*.drain":                  positive,
		"plugins.*.move_time":              positive,
		"plugins.*.keep_versions":          count(1, 100),
		"plugins.*.canary.connections":     count(0, math.MaxInt32),
		"plugins.*.canary.for":             orZero,
		"plugins.*.page_out":               orZero,
		"plugins.*.limits.memory":          size(64<<10, 4<<30),
		"plugins.*.limits.stack":           size(16<<10, 24<<20),
		"plugins.*.limits.table":           count(1, 10_000_000),
		"plugins.*.limits.callback_time":   positive,
		"plugins.*.limits.instances":       count(0, 1<<20),
		"plugins.*.limits.timers":          count(1, 1<<24),
		"plugins.*.limits.connections_out": count(1, 1<<20),
		"plugins.*.limits.links":           count(1, 1<<20),
		"plugins.*.limits.sockets":         count(1, 1<<20),
		"plugins.*.limits.listeners":       count(1, 1<<16),
		"plugins.*.limits.state":           size(1, 1<<30),
		"plugins.*.limits.log_bytes":       size(1, 1<<30),
		"plugins.*.limits.metrics":         count(1, 10_000),
		"plugins.*.limits.module":          size(8, 1<<30),
		"plugins.*.limits.assets":          size(1<<10, 1<<30),
		"plugins.*.limits.asset_files":     count(1, 1_000_000),
		"plugins.*.limits.compile_time":    positive,
		"plugins.*.limits.compile_memory":  size(64<<20, 1<<40),
		"cache.size":                       size(1<<20, 1<<50),
		"plugins.*.allow.connect.*":        allowed,
		"plugins.*.allow.listen.*":         listened,
		"plugins.*.allow.hand_over.*":      pluginName,
		"plugins.*.allow.tls.alpn.*":       alpn,
		"plugins.*.allow.tls.min_version":  oneOf("1.2", "1.3"),

		"plugins.*.allow.tls.handshake_timeout": positive,

		"listeners.*.endpoint":              endpoint,
		"listeners.*.max_connections":       count(0, math.MaxInt32),
		"listeners.*.idle_timeout":          orZero,
		"listeners.*.tls.alpn.*":            alpn,
		"listeners.*.tls.min_version":       oneOf("1.2", "1.3"),
		"listeners.*.tls.handshake_timeout": positive,
		"listeners.*.proxy_from.*":          cidr,
		"listeners.*.route_timeout":         positive,
		"listeners.*.route.*.sni.*":         routeName,
		"listeners.*.route.*.alpn.*":        alpn,
		"listeners.*.route.*.prefix.*":      routePrefix,
		"listeners.*.route.*.regexp.*":      routeRegexp,
		"listeners.*.route.*.source.*":      routeSource,

		"listeners.*.new_per_second":                count(0, 1_000_000),
		"listeners.*.per_peer.connections":          count(0, math.MaxInt32),
		"listeners.*.per_peer.new_per_second":       count(0, 1_000_000),
		"listeners.*.per_peer.ipv4_prefix":          count(1, 32),
		"listeners.*.per_peer.ipv6_prefix":          count(1, 128),
		"listeners.*.per_peer.datagrams_per_second": count(0, 10_000_000),
		"listeners.*.receive_buffer":                size(0, 1<<30),
		"listeners.*.multicast.*":                   groups,
		"listeners.*.rate.in":                       size(0, 16<<30),
		"listeners.*.rate.out":                      size(0, 16<<30),
		"listeners.*.rate.least":                    size(0, 16<<30),
		"listeners.*.max_age":                       orZero,
		"listeners.*.mode":                          fileMode,
		"listeners.*.owner":                         account,
		"listeners.*.group":                         account,
	}
}

func oneOf[T ~string](list ...T) rule {
	words := make([]string, len(list))
	for i, word := range list {
		words[i] = string(word)
	}
	wanted := strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
	return func(v reflect.Value) *Fault {
		s := v.String()
		if slices.Contains(words, s) {
			return nil
		}
		return &Fault{Found: quote(s), Wanted: wanted, Hint: suggest(s, words)}
	}
}

func count(lo, hi int64) rule {
	return func(v reflect.Value) *Fault {
		if n := v.Int(); n < lo || n > hi {
			return &Fault{Found: show(n), Wanted: fmt.Sprintf("%d to %d", lo, hi)}
		}
		return nil
	}
}

func size(lo, hi Size) rule {
	return func(v reflect.Value) *Fault {
		if n := Size(v.Int()); n < lo || n > hi {
			return &Fault{Found: n.String(), Wanted: fmt.Sprintf("%s to %s", lo, hi)}
		}
		return nil
	}
}

func positive(v reflect.Value) *Fault {
	if t := time.Duration(v.Int()); t <= 0 {
		return &Fault{Found: t.String(), Wanted: "a duration above 0"}
	}
	return nil
}

func orZero(v reflect.Value) *Fault {
	if t := time.Duration(v.Int()); t < 0 {
		return &Fault{Found: t.String(), Wanted: "a duration of 0 or more"}
	}
	return nil
}

// nameWanted says what plugins may be called. The names stand in URLs, metrics,
// environment variables and --set, where dots separate.
const nameWanted = "1 to 64 of the letters a to z, digits, _ and -"

func validName(s string) bool {
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '-'
	}
	return len(s) >= 1 && len(s) <= 64 && !strings.ContainsFunc(s, odd) && !strings.HasPrefix(s, ownPrefix) &&
		s != nextPlugin
}

// betterName is what is wanted in place of a name that is not valid.
func betterName(s string) string {
	if strings.HasPrefix(s, ownPrefix) {
		return "one that does not begin with " + ownPrefix + ", as the user's own keys do"
	}
	if s == nextPlugin {
		return "another one: " + pluginScheme + nextPlugin + " is the plugin behind in a chain"
	}
	return nameWanted
}

const moduleWanted = "builtin:NAME, the path of a .wasm file, https://… or oci://HOST/NAME:TAG"

func module(v reflect.Value) *Fault {
	s := v.String()
	name, builtin := strings.CutPrefix(s, "builtin:")
	if s == "" || builtin && !validName(name) || strings.HasPrefix(s, "http://") {
		return &Fault{Found: quote(s), Wanted: moduleWanted}
	}
	if rest, is := strings.CutPrefix(s, "https://"); is {
		u, err := url.Parse(s)
		if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || rest == "" {
			return &Fault{Found: quote(s), Wanted: "https://HOST/PATH, without a user and a password"}
		}
	}
	if rest, is := strings.CutPrefix(s, "oci://"); is && !ociReference.MatchString(rest) {
		return &Fault{Found: quote(s), Wanted: "oci://HOST/NAME:TAG or oci://HOST/NAME@sha256:DIGEST"}
	}
	return nil
}

// ociReference is a reference of the OCI distribution specification, with a host.
var ociReference = regexp.MustCompile(`^[a-zA-Z0-9.\-\[\]:]+(?::[0-9]+)?` + // never changed
	`(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)+(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?:@sha256:[0-9a-f]{64})?$`)

// trusted checks a key of minisign: the base64 of 42 bytes, or the file of it, whose
// first line is a comment.
func trusted(v reflect.Value) *Fault {
	var k minisign.PublicKey
	if err := k.UnmarshalText([]byte(v.String())); err != nil {
		return &Fault{Found: quote(v.String()), Wanted: "a public key of minisign, such as RW… (56 characters)"}
	}
	return nil
}

func sha256Hex(v reflect.Value) *Fault {
	s := v.String()
	if b, err := hex.DecodeString(s); err != nil || len(b) != 32 && len(b) != 0 {
		return &Fault{Found: fmt.Sprintf("%s (%d characters)", quote(s), len(s)), Wanted: "64 hexadecimal digits"}
	}
	return nil
}

// endpoint checks a listener's endpoint, of connections or of datagrams.
func endpoint(v reflect.Value) *Fault {
	s := v.String()
	if ForDatagrams(s) {
		_, err := reactor.ParseDatagramEndpoint(s)
		return faultOf(s, err)
	}
	f := endpointFault(s)
	switch {
	case f == nil:
	case !strings.Contains(s, "://"):
		f.Wanted = "tcp://HOST:PORT, tls://HOST:PORT, unix://PATH, udp://HOST:PORT or unixgram://PATH"
	case f.Wanted == "tcp, tls or unix":
		f.Wanted = "tcp, tls, unix, udp or unixgram"
	}
	return f
}

// ForDatagrams tells whether an endpoint, as text, is one of datagrams.
func ForDatagrams(endpoint string) bool {
	scheme, _, _ := strings.Cut(endpoint, "://")
	return scheme == "udp" || scheme == "unixgram"
}

// endpointFault asks the reactor.
func endpointFault(s string) *Fault {
	_, err := reactor.ParseEndpoint(s)
	return faultOf(s, err)
}

// faultOf makes a fault of the reactor's error, which names the endpoint.
func faultOf(s string, err error) *Fault {
	if err == nil {
		return nil
	}
	reason := strings.TrimPrefix(err.Error(), fmt.Sprintf("endpoint %q: ", s))
	reason, wanted, _ := strings.Cut(strings.TrimPrefix(reason, "found "), ", wanted ")
	return &Fault{Found: quote(s) + " (" + plain(reason) + ")", Wanted: wanted}
}

func adminEndpoint(v reflect.Value) *Fault {
	s := v.String()
	if s == "" || s == "off" {
		return nil
	}
	const wanted = "off, unix://PATH or tcp://HOST:PORT"
	e, err := reactor.ParseEndpoint(s)
	switch {
	case err != nil && strings.HasPrefix(s, "unix://"):
		return endpointFault(s)
	case e.Scheme == "unix" && e.Path[0] == '@': // an abstract name on Linux, with no mode to keep others out
		return &Fault{Found: quote(s) + ", which is no path", Wanted: wanted}
	case err != nil || e.Scheme == "tls":
		return &Fault{Found: quote(s), Wanted: wanted, Hint: suggest(s, []string{"off"})}
	}
	return nil
}

func monitorEndpoint(v reflect.Value) *Fault {
	s := v.String()
	const wanted = "unix://PATH or tcp://HOST:PORT"
	switch e, err := reactor.ParseEndpoint(s); {
	case s == "":
		return nil
	case err != nil:
		return endpointFault(s)
	case e.Scheme == "tls" || e.Scheme == "unix" && e.Path[0] == '@':
		return &Fault{Found: quote(s), Wanted: wanted}
	}
	return nil
}

func accessLog(v reflect.Value) *Fault {
	s := v.String()
	if path, ok := strings.CutPrefix(s, "file://"); s == "" || s == "stderr" || ok && path != "" {
		return nil
	}
	return &Fault{Found: quote(s), Wanted: "stderr or file://PATH", Hint: suggest(s, []string{"stderr"})}
}

// collector checks where traces are sent to. What it says of s leaves out what may be a secret.
func collector(v reflect.Value) *Fault {
	s := v.String()
	if s == "" {
		return nil
	}
	const wanted = "http://HOST:PORT or https://HOST:PORT, a path behind it where there is one"
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return &Fault{Found: "what is no URL", Wanted: wanted}
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" ||
		u.Fragment != "":
		return &Fault{Found: quote(u.Redacted()), Wanted: wanted}
	}
	return nil
}

// percent checks a share such as 1%.
func percent(v reflect.Value) *Fault {
	s := v.String()
	if n, err := strconv.ParseFloat(strings.TrimSuffix(s, "%"), 64); err == nil && strings.HasSuffix(s, "%") &&
		n >= 0 && n <= 100 {
		return nil
	}
	return &Fault{Found: quote(s), Wanted: "0% to 100%"}
}

func fileMode(v reflect.Value) *Fault {
	s := v.String()
	if n, err := strconv.ParseUint(s, 8, 32); err != nil || n > 0o777 || len(s) < 3 {
		return &Fault{Found: quote(s), Wanted: `octal digits such as "0660", at most "0777"`}
	}
	return nil
}

// account checks the name or number of a user or a group, as far as it can be without
// asking the system.
func account(v reflect.Value) *Fault {
	if s := v.String(); strings.ContainsAny(s, ": /\t\n") {
		return &Fault{Found: quote(s), Wanted: "a name or a number"}
	}
	return nil
}

// onLoopback tells whether only this machine can reach an endpoint, as far as its text
// says that.
func onLoopback(e reactor.Endpoint) bool {
	ip, err := netip.ParseAddr(e.Host)
	return e.Scheme != "tcp" || e.Host == "localhost" || err == nil && ip.IsLoopback()
}
