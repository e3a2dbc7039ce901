package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/knadh/koanf/providers/posflag"
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
func (l *loader) flags(f *pflag.FlagSet) error {
	if f == nil {
		return nil
	}
	given, err := posflag.ProviderWithFlag(f, delim, nil, func(one *pflag.Flag) (string, any) {
		return one.Name, posflag.FlagVal(f, one)
	}).Read()
	if err != nil {
		return fmt.Errorf("flags: %w", err)
	}
	for _, s := range shortcuts {
		if text, ok := given[s.flag].(string); ok {
			l.assign([]assignment{{origin: "--" + s.flag, path: strings.Split(s.key, "."), text: text}})
		}
	}
	texts, _ := given["set"].([]string)
	l.assign(settings("--set", texts))
	return nil
}

const envPrefix = "WIREHOST_"

// assignment is one environment variable or flag: text that is YAML, for one
// key.
type assignment struct {
	origin string
	path   path
	text   string
	fault  *Fault // it is no assignment at all
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
	return ordered(list)
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
		key, text, ok := strings.Cut(s, "=")
		a := assignment{origin: origin, path: strings.Split(key, "."), text: text}
		if !ok || key == "" {
			a.fault = &Fault{Origin: origin, Found: quote(s), Wanted: "KEY=VALUE, such as log.level=debug"}
		}
		list = append(list, a)
	}
	return list
}

// ordered sorts by path, a list's items by index, and what holds others first.
func ordered(list []assignment) []assignment {
	slices.SortStableFunc(list, func(a, b assignment) int {
		return slices.CompareFunc(a.path, b.path, func(x, y string) int {
			i, isIndex := index(x)
			j, also := index(y)
			if isIndex && also {
				return i - j
			}
			return strings.Compare(x, y)
		})
	})
	return list
}

// assign lays assignments over what is there, one after the other.
func (l *loader) assign(list []assignment) {
	for _, a := range list {
		d := newDocument(a.origin)
		switch {
		case a.fault != nil:
			d.faults = append(d.faults, a.fault)
		case slices.Contains(a.path, "") || len(a.path) > maxDepth:
			d.fault(0, nil, "the key "+quote(strings.Join(a.path, ".")), "one such as log.level")
		default:
			v := d.parseYAMLValue(a.text, a.path)
			if len(d.faults) == 0 {
				d.root = nest(a.path, v)
			}
			if _, more := v.(map[string]any); !more {
				l.forget(a.path)
			}
			l.within(a)
		}
		m := d.check(true)
		underscores(a, d.faults)
		if !strings.Contains(a.text, "\n") { // then lines say nothing
			for k := range d.lines {
				d.lines[k] = 0
			}
			for _, f := range d.faults {
				f.Line = 0
			}
		}
		l.take(d, m)
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

// nest makes the mappings around v.
func nest(p path, v any) map[string]any {
	for i := len(p) - 1; i > 0; i-- {
		v = map[string]any{p[i]: v}
	}
	return map[string]any{p[0]: v}
}

// forget drops what is known of values below p: they are replaced.
func (l *loader) forget(p path) {
	below := p.key() + delim
	maps.DeleteFunc(l.where, func(key string, _ origin) bool { return strings.HasPrefix(key, below) })
}

// within notes that a made what is around its value, where that is new.
func (l *loader) within(a assignment) {
	for n := 2; n < len(a.path); n++ {
		key := a.path[:n].key()
		if _, known := l.where[key]; !known {
			l.where[key] = origin{name: a.origin}
		}
	}
}

// merge lays src over dest: mappings mix, everything else replaces, items given
// by index go into the list that is there. report gets faults.
func merge(src, dest map[string]any, p path, report func(p path, found, wanted string)) {
	for _, key := range slices.Sorted(maps.Keys(src)) {
		dest[key] = lay(src[key], dest[key], p.with(key), report)
	}
}

// lay lays v over old and returns what they make.
func lay(v, old any, p path, report func(p path, found, wanted string)) any {
	list, isList := old.([]any)
	switch v := v.(type) {
	case indexed:
		return layItems(v, list, p, report)
	case map[string]any:
		if items := asItems(v); isList && items != nil {
			return layItems(items, list, p, report)
		}
		m, ok := old.(map[string]any)
		if !ok {
			m = map[string]any{}
		}
		merge(v, m, p, report)
		return m
	}
	return v
}

// asItems is m, where all its keys are indices: a plugin's own configuration
// has no types that would tell.
func asItems(m map[string]any) indexed {
	items := indexed{}
	for key, v := range m {
		i, ok := index(key)
		if !ok {
			return nil
		}
		items[i] = v
	}
	if len(items) == 0 {
		return nil
	}
	return items
}

// layItems changes items of list, or adds one behind the last.
func layItems(items indexed, list []any, p path, report func(p path, found, wanted string)) any {
	list = slices.Clone(list)
	for _, i := range slices.Sorted(maps.Keys(items)) {
		at := p.with(strconv.Itoa(i))
		switch {
		case i < len(list):
			list[i] = lay(items[i], list[i], at, report)
		case i == len(list):
			list = append(list, lay(items[i], nil, at, report))
		default:
			report(at, fmt.Sprintf("the index %d", i), fmt.Sprintf("at most %d, which adds an item", len(list)))
		}
	}
	return list
}
