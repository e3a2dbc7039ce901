// Package route says which of several rules a connection falls under, by where it is from and
// what it begins with. It does no I/O, and knows nothing of who asks.
package route

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"
)

// RegexpMost is how many bytes regular expressions see: they run anew for each piece that
// comes, and a peer may send it byte by byte.
const RegexpMost = 1 << 10

// workMost is the work on a connection, as State counts it, past which regular expressions run
// only where what has come is twice what they saw last: a peer that sends byte by byte costs
// some milliseconds, whatever the rules. An expression alone sees 256 single bytes at once.
const workMost = 32 << 10

// Matchers are a rule's. Of those that are given all must hold; of a list, one.
type Matchers struct {
	SNI    []string // names that TLS's client asks for; *.example.com, any below; *, any
	ALPN   []string // protocols, of which it offers one; behind TLS, the chosen one
	Prefix []string // the first bytes: text, or hex:, and digits
	Regexp []string // of RE2, for the first RegexpMost bytes
	Source []string // networks, as CIDR, or addresses
}

// rule is Matchers, read.
type rule struct {
	sni, alpn, prefix []string
	regexps           []pattern
	source            []netip.Prefix
}

// pattern is a regular expression.
type pattern struct {
	*regexp.Regexp
	looks bool // it looks at what is behind what it matches: $, \b
}

// Rules are in their order. They are immutable. Any goroutine.
type Rules struct {
	rules []rule
	most  int
}

// Head is what is known of a connection.
type Head struct {
	Peer  netip.Addr // the zero Addr = none
	Bytes []byte     // that have come first
	Final bool       // no more come
	// TLS is set where Bytes were decrypted: ServerName was asked for, and Protocol chosen.
	TLS        bool
	ServerName string
	Protocol   string
}

// New reads rules. most is how many bytes a Head has at most. The error names the rule's
// setting, and what is wrong with it.
func New(list []Matchers, most int) (*Rules, error) {
	r := &Rules{most: most}
	for n, m := range list {
		read, err := m.read()
		if err != nil {
			return nil, fmt.Errorf("route.%d.%w", n, err)
		}
		r.rules = append(r.rules, read)
	}
	return r, nil
}

func (m Matchers) read() (r rule, err error) {
	for _, name := range m.SNI {
		r.sni = append(r.sni, plainName(name))
	}
	r.alpn = m.ALPN
	for _, text := range m.Prefix {
		p, err := ParsePrefix(text)
		if err != nil {
			return r, fmt.Errorf("prefix: %w", err)
		}
		r.prefix = append(r.prefix, p)
	}
	for _, text := range m.Regexp {
		p, err := parsePattern(text)
		if err != nil {
			return r, fmt.Errorf("regexp: %w", err)
		}
		r.regexps = append(r.regexps, p)
	}
	for _, text := range m.Source {
		p, err := ParseSource(text)
		if err != nil {
			return r, fmt.Errorf("source: %w", err)
		}
		r.source = append(r.source, p)
	}
	return r, nil
}

// ParsePrefix reads first bytes: text, or hex: and digits, with or without spaces.
func ParsePrefix(text string) (string, error) {
	digits, is := strings.CutPrefix(text, "hex:")
	if !is {
		return text, nil
	}
	b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
	return string(b), err
}

// ParseSource reads a network, or an address.
func ParseSource(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.ParsePrefix(text)
}

func parsePattern(text string) (pattern, error) {
	re, err := regexp.Compile(text)
	if err != nil {
		return pattern{}, err
	}
	p := pattern{Regexp: re}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return p, err
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return p, err
	}
	const ahead = syntax.EmptyEndText | syntax.EmptyEndLine | syntax.EmptyWordBoundary | syntax.EmptyNoWordBoundary
	for _, inst := range prog.Inst {
		p.looks = p.looks || inst.Op == syntax.InstEmptyWidth && syntax.EmptyOp(inst.Arg)&ahead != 0
	}
	return p, nil
}

// State is what was found of a connection, from one call of Find to the next. The zero State is
// of one that nothing was found of. It is the connection's loop's.
type State struct {
	at      int     // the rule that depends on what comes; for those before it, nothing does
	matched verdict // of that one's regular expressions, for good; no = not yet
	saw     int     // bytes of the connection that they were run on last
	hello   hello
	isTLS   verdict
	settled bool // the two are for good
	records records
	work    int // bytes that regular expressions have read, and records that were looked at
}

// Find is the first rule under which a connection falls; -1 = none. wait says that it depends
// on what comes: then it is to be called with the same State, and what has come since at the
// end of Bytes.
func (r *Rules) Find(s *State, h Head) (n int, wait bool) {
	l := look{Head: h, State: s, most: r.most}
	for ; s.at < len(r.rules); s.at++ {
		switch l.hold(&r.rules[s.at]) {
		case yes:
			return s.at, false
		case more:
			if !h.Final {
				return -1, true
			}
		}
		s.matched, s.saw = no, 0
	}
	return -1, false
}

// look is a Head, and what is made of it.
type look struct {
	Head
	*State
	most   int
	looked bool // for a hello
}

// hold holds a rule's matchers against the connection.
func (l *look) hold(r *rule) verdict {
	v := yes
	if len(r.source) > 0 {
		v = min(v, l.source(r.source))
	}
	if len(r.prefix) > 0 && v != no {
		v = min(v, l.prefix(r.prefix))
	}
	if (len(r.sni) > 0 || len(r.alpn) > 0) && v != no {
		v = min(v, l.tls(r))
	}
	if len(r.regexps) > 0 && v != no {
		v = min(v, l.regexps(r.regexps))
	}
	return v
}

func (l *look) source(list []netip.Prefix) verdict {
	a := l.Peer.Unmap().WithZone("") // a prefix contains no address with a zone
	for _, p := range list {
		if p.Contains(a) {
			return yes
		}
	}
	return no
}

func (l *look) prefix(list []string) verdict {
	v := no
	for _, p := range list {
		n := min(len(p), len(l.Bytes))
		switch {
		case string(l.Bytes[:n]) != p[:n]:
		case n == len(p):
			return yes
		default:
			v = more
		}
	}
	return v
}

func (l *look) tls(r *rule) verdict {
	names, protocols := l.ServerName, []string{l.Protocol}
	if !l.TLS {
		if !l.settled && !l.looked {
			l.looked = true
			had := l.records.n
			l.hello, l.isTLS = l.records.parseHello(l.Bytes, l.most)
			l.settled = l.isTLS != more
			l.work += 1 + l.records.n - had
		}
		if l.isTLS != yes {
			return l.isTLS
		}
		names, protocols = l.hello.serverName, l.hello.protocols
	}
	if len(r.sni) > 0 && !slices.ContainsFunc(r.sni, func(p string) bool { return sameName(p, plainName(names)) }) {
		return no
	}
	if len(r.alpn) > 0 && !slices.ContainsFunc(r.alpn, func(p string) bool { return slices.Contains(protocols, p) }) {
		return no
	}
	return yes
}

func sameName(pattern, name string) bool {
	switch domain, below := strings.CutPrefix(pattern, "*."); {
	case name == "":
		return false
	case pattern == "*":
		return true
	case below:
		return strings.HasSuffix(name, "."+domain)
	}
	return name == pattern
}

func (l *look) regexps(list []pattern) verdict {
	b, final := l.Bytes, l.Final
	if len(b) >= RegexpMost {
		b, final = b[:RegexpMost], true
	}
	if l.matched == yes {
		return yes
	}
	if !final && l.work > workMost && len(b) < 2*l.saw {
		return more
	}
	l.saw = len(b)
	v := no
	for _, p := range list {
		in := runes{b: b, final: final}
		found := p.MatchReader(&in)
		l.work += len(b) - len(in.b)
		switch {
		case found && (final || !in.short || !p.looks):
			l.matched = yes
			return yes
		case in.short && !final:
			v = more
		}
	}
	return v
}

// runes gives bytes to a regular expression, and notes whether it wanted more: where it did
// not, nothing that comes changes what it says.
type runes struct {
	b     []byte
	final bool
	short bool
}

// ReadRune is io.RuneReader's.
func (r *runes) ReadRune() (rune, int, error) {
	if len(r.b) == 0 || !r.final && !utf8.FullRune(r.b) {
		r.short = true
		return 0, 0, io.EOF
	}
	c, n := utf8.DecodeRune(r.b)
	r.b = r.b[n:]
	return c, n, nil
}
