package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	koanfmaps "github.com/knadh/koanf/maps"
	"github.com/spf13/pflag"
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

// assignment is one environment variable or flag: text that is YAML, for one
// key.
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
		if ours && !foreign(key) {
			list = append(list, assignment{origin: name, path: strings.Split(strings.ToLower(key), "__"), text: text})
		}
	}
	slices.SortStableFunc(list, func(a, b assignment) int { return slices.Compare(a.path, b.path) }) // sections first
	return list
}

// foreign tells variables that begin like ours and are not: those that
// Kubernetes makes for a Service called wirehost, and the tests' switch.
func foreign(key string) bool {
	return key == "PORT" || strings.HasPrefix(key, "PORT_") ||
		strings.HasPrefix(key, "SERVICE_") || key == "REQUIRE_TOOLCHAINS"
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
		d.flat = !strings.Contains(a.text, "\n")
		switch {
		case a.path == nil:
			d.fault(0, nil, quote(a.text), "KEY=VALUE, such as log.level=debug")
		case slices.Contains(a.path, "") || len(a.path) > maxDepth:
			d.fault(0, nil, "the key "+quote(strings.Join(a.path, ".")), "one such as log.level")
		default:
			v := d.parseYAMLValue(a.text, a.path)
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
