package config

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	koanfmaps "github.com/knadh/koanf/maps"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// shortcuts are flags that stand for one key.
var shortcuts = [...]struct{ flag, key, usage string }{ // never changed
	{"log-level", "log.level", "`LEVEL` of the log: trace, debug, info, warn or error"},
	{"log-format", "log.format", "`FORMAT` of the log: text or json"},
}

// AddFlags defines the flags that Load reads.
func AddFlags(f *pflag.FlagSet) {
	f.StringArray("set", nil, "configure one `KEY=VALUE`, such as listeners.0.endpoint=tcp://:7007; may be repeated")
	for _, s := range shortcuts {
		f.String(s.flag, "", s.usage)
	}
}

// flags lays the flags that were given over what is there.
func (l *loader) flags(f *pflag.FlagSet) {
	if f == nil {
		return
	}
	for _, s := range shortcuts {
		if one := f.Lookup(s.flag); one != nil && one.Changed {
			l.assign([]assignment{{origin: "--" + s.flag, path: strings.Split(s.key, "."), text: one.Value.String()}})
		}
	}
	if texts, err := f.GetStringArray("set"); err == nil { // else the flag is not defined
		l.assign(settings("--set", texts))
	}
}

const envPrefix = "WIREHOST_"

// assignment is one environment variable or flag: the text for one key, which is YAML
// where no text is wanted.
type assignment struct {
	origin string
	path   path // nil = text is no assignment at all
	text   string
}

// environment picks wirehost's variables, in the order of their names.
// WIREHOST_LOG__LEVEL is log.level.
func environment(env []string) []assignment {
	var list []assignment
	for _, e := range env {
		name, text, _ := strings.Cut(e, "=")
		key, ours := strings.CutPrefix(name, envPrefix)
		if ours && !foreign(key, text) {
			list = append(list, assignment{origin: name, path: strings.Split(strings.ToLower(key), "__"), text: text})
		}
	}
	slices.SortStableFunc(list, func(a, b assignment) int { return slices.Compare(a.path, b.path) }) // sections first
	return list
}

// service are the names that Kubernetes gives to variables of a Service, and their
// texts: those of one called wirehost, or wirehost-metrics, begin like ours.
var service = [...]struct{ name, text *regexp.Regexp }{ // never changed
	{regexp.MustCompile(`(^|_)SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$`), regexp.MustCompile(``)},
	{regexp.MustCompile(`(^|_)PORT$`), regexp.MustCompile(`^(tcp|udp|sctp)://[^/]+$`)},
	{regexp.MustCompile(`(^|_)PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$`), regexp.MustCompile(``)},
}

// foreign tells variables that begin like ours and are not: those that Kubernetes
// makes for a Service, and the tests' switch. A name that begins with a section, as
// PLUGINS__ECHO__CONFIG__SERVICE_PORT does, is a setting's.
func foreign(key, text string) bool {
	section, _, _ := strings.Cut(strings.ToLower(key), "__")
	if slices.Contains(keysOf(reflect.TypeFor[Config]()), section) {
		return false
	}
	for _, s := range service {
		if s.name.MatchString(key) && s.text.MatchString(text) {
			return true
		}
	}
	return key == "REQUIRE_TOOLCHAINS"
}

// settings reads texts KEY=VALUE. A later one wins.
func settings(origin string, texts []string) []assignment {
	var list []assignment
	for _, s := range texts {
		if key, text, ok := strings.Cut(s, "="); ok && key != "" {
			list = append(list, assignment{origin, strings.Split(key, "."), text})
		} else {
			list = append(list, assignment{origin, nil, s})
		}
	}
	return list
}

// assign lays assignments over what is there, one after the other.
func (l *loader) assign(list []assignment) {
	for _, a := range list {
		d := newDocument(a.origin)
		d.dir = l.dir
		switch {
		case a.path == nil:
			d.fault(0, nil, quote(a.text), "KEY=VALUE, such as log.level=debug")
		case slices.Contains(a.path, "") || len(a.path) > maxDepth:
			d.fault(0, nil, "the key "+quote(strings.Join(a.path, ".")), "one such as log.level")
		default:
			v := l.valueOf(a, d)
			if len(d.faults) == 0 {
				d.root = koanfmaps.Unflatten(map[string]any{a.path.key(): v}, delim)
			}
			if m, _ := v.(map[string]any); v != nil && (m == nil || isList(m)) {
				l.forget(a.path)
			}
			l.within(a)
		}
		l.take(d, true)
		underscores(a, d.faults)
	}
}

// ParseSetting reads the text of one of a plugin's settings, such as limits.memory, as
// --set does, for a section that ParsePlugin is given: text where a text is wanted, and
// YAML elsewhere. The value is one that JSON has; the error is Faults.
func ParseSetting(from, key, text string) (any, error) {
	a := assignment{from, append(path{"plugins", "x"}, strings.Split(key, ".")...), text}
	d := newDocument(from)
	v := (&loader{k: koanf.New(delim)}).valueOf(a, d)
	if len(d.faults) > 0 {
		for _, f := range d.faults {
			f.Key = key
		}
		return nil, d.faults
	}
	c := decoder{whole: true}
	return c.guest(v, a.path), nil
}

// valueOf reads a's text. Where a text is wanted it is that, quotes and all: what the
// setting's type says, and of a plugin's own configuration what stands there already.
func (l *loader) valueOf(a assignment, d *document) any {
	kind := kindAt(a.path)
	_, isText := l.k.Get(a.path.key()).(string)
	if kind == reflect.String || kind == reflect.Interface && (isText || plainText(a.text)) {
		d.flat = true
		d.note(0, a.path)
		if kind == reflect.Interface && !utf8.ValidString(a.text) {
			d.fault(0, a.path, quote(a.text), "text in UTF-8")
			return nil
		}
		return a.text
	}
	d.flat = !strings.Contains(a.text, "\n")
	return d.parseYAMLValue(a.text, a.path)
}

// kindAt is the kind of the setting at p, Interface below a plugin's own
// configuration, or Invalid where none is.
func kindAt(p path) reflect.Kind {
	if t := typeAt(p); t != nil {
		return t.Kind()
	}
	return reflect.Invalid
}

// typeAt is the type of the setting at p, that of config below a plugin's own
// configuration, or nil where none is.
func typeAt(p path) reflect.Type {
	t := reflect.TypeFor[Config]()
	for _, part := range p {
		switch t.Kind() {
		case reflect.Interface:
			return t
		case reflect.Map, reflect.Slice:
			t = t.Elem()
		case reflect.Struct:
			i := slices.Index(keysOf(t), part)
			if i < 0 {
				return nil
			}
			t = t.Field(i).Type
		default:
			return nil
		}
	}
	return t
}

// plainText tells what YAML takes for a text without quotes, or for nothing at all
// although something stands there. What it can't read, and does not begin a list or
// a mapping in brackets, was not meant for YAML.
func plainText(text string) bool {
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(text), &n); err != nil {
		return !strings.HasPrefix(text, "[") && !strings.HasPrefix(text, "{")
	}
	if len(n.Content) == 0 {
		return strings.TrimSpace(text) != ""
	}
	one := n.Content[0]
	switch one.ShortTag() {
	case "!!str", "!!timestamp":
		return one.Kind == yaml.ScalarNode && one.Style == 0
	}
	return false
}

// underscores finds WIREHOST_LOG_LEVEL, where WIREHOST_LOG__LEVEL was meant.
func underscores(a assignment, faults Faults) {
	if len(faults) != 1 || len(a.path) != 1 || !strings.HasPrefix(a.origin, envPrefix) {
		return
	}
	section, rest, ok := strings.Cut(strings.TrimPrefix(a.origin, envPrefix), "_")
	if ok && slices.Contains(keysOf(reflect.TypeFor[Config]()), strings.ToLower(section)) {
		faults[0].Hint = envPrefix + section + "__" + rest
	}
}

// forget drops what is known of values below p: they are replaced.
func (l *loader) forget(p path) {
	below := p.key() + delim
	maps.DeleteFunc(l.where, func(key string, _ origin) bool { return strings.HasPrefix(key, below) })
}

// within notes that a made its value and what is around it, where that is new.
func (l *loader) within(a assignment) {
	for n := 2; n <= len(a.path); n++ {
		key := a.path[:n].key()
		if _, known := l.where[key]; !known {
			l.where[key] = origin{name: a.origin}
		}
	}
}
