package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// indexed are items for a list, by index: what listeners.0.endpoint=… says of
// listeners. Only environment and flags make it, and merge ends it.
type indexed map[int]any

// check holds a document against Config's types and the rules. It returns what
// is good of it: durations and sizes as such, paths made absolute. What is bad
// is left out and reported.
func (d *document) check(overlay bool) map[string]any {
	c := d.checker(overlay)
	v, _ := c.value(d.root, reflect.TypeFor[Config](), nil, "")
	good, _ := v.(map[string]any)
	return good
}

type checker struct {
	*document
	overlay bool // environment or flags: digits index lists
	rules   map[string]rule
	told    map[string]bool // keys with a fault already: there is no value to check
}

func (d *document) checker(overlay bool) *checker {
	c := &checker{document: d, overlay: overlay, rules: rules(), told: map[string]bool{}}
	for _, f := range d.faults {
		c.told[f.Key] = true
	}
	return c
}

var ( // never changed
	durationType = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[Size]()
)

// value checks v, which stands at p, for a field of type t. pattern is p with
// * for names and indices, as the rules have it.
func (c *checker) value(v any, t reflect.Type, p path, pattern string) (any, bool) {
	var ok bool
	switch {
	case t == durationType:
		v, ok = c.duration(v, p)
	case t == sizeType:
		v, ok = c.size(v, p)
	case t.Kind() == reflect.Struct:
		return c.mapping(v, p, func(key string, e any) (any, bool) { return c.field(key, e, t, p, pattern) })
	case t.Kind() == reflect.Map:
		return c.mapping(v, p, func(key string, e any) (any, bool) { return c.named(key, e, t, p, pattern) })
	case t.Kind() == reflect.Slice:
		return c.list(v, t.Elem(), p, pattern)
	case t.Kind() == reflect.Interface:
		return v, true
	case t.Kind() == reflect.String:
		v, ok = c.text(v, p, pattern)
	case t.Kind() == reflect.Bool:
		if _, ok = v.(bool); !ok {
			c.wrong(v, p, "true or false")
		}
	default:
		if _, ok = v.(int64); !ok {
			c.wrong(v, p, "a whole number")
		}
	}
	if !ok {
		return nil, false
	}
	if r := c.rules[pattern]; r != nil {
		if f := r(reflect.ValueOf(v)); f != nil {
			f.Origin, f.Line, f.Key = c.origin, c.line(p), p.String()
			c.faults = append(c.faults, f)
			return nil, false
		}
	}
	return v, true
}

func (c *checker) wrong(v any, p path, wanted string) {
	if c.told[p.String()] {
		return
	}
	c.fault(c.line(p), p, show(v), wanted)
}

// mapping checks a mapping's entries by each, and keeps the good ones. Nothing
// (`plugins:` with all under it commented out) is an empty mapping.
func (c *checker) mapping(v any, p path, each func(key string, e any) (any, bool)) (any, bool) {
	m, ok := v.(map[string]any)
	if !ok && v != nil {
		c.wrong(v, p, "a mapping")
		return nil, false
	}
	good := make(map[string]any, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if e, ok := each(key, m[key]); ok {
			good[key] = e
		}
	}
	return good, true
}

// field checks an entry of a struct.
func (c *checker) field(key string, v any, t reflect.Type, p path, pattern string) (any, bool) {
	at, keys := p.with(key), keysOf(t)
	if i := slices.Index(keys, key); i >= 0 {
		return c.value(v, t.Field(i).Type, at, join(pattern, key))
	}
	c.faults = append(c.faults, &Fault{
		Origin: c.origin, Line: c.line(at), Key: at.String(),
		Found: "an unknown key", Wanted: "one of " + strings.Join(keys, ", "), Hint: suggest(key, keys),
	})
	return nil, false
}

// keysOf are the keys of t's fields, in their order.
func keysOf(t reflect.Type) []string {
	keys := make([]string, t.NumField())
	for i := range keys {
		keys[i] = t.Field(i).Tag.Get("koanf")
	}
	return keys
}

// named checks an entry of a map: only plugins are one.
func (c *checker) named(name string, v any, t reflect.Type, p path, pattern string) (any, bool) {
	at := p.with(name)
	if !validName(name) {
		c.fault(c.line(at), at, "the name "+quote(name), nameWanted)
		return nil, false
	}
	return c.value(v, t.Elem(), at, join(pattern, "*"))
}

func join(pattern, part string) string {
	if pattern == "" {
		return part
	}
	return pattern + "." + part
}

func (c *checker) list(v any, t reflect.Type, p path, pattern string) (any, bool) {
	switch v := v.(type) {
	case nil:
		return []any{}, true
	case []any:
		good := make([]any, 0, len(v))
		for i, e := range v {
			e, ok := c.value(e, t, p.with(strconv.Itoa(i)), join(pattern, "*"))
			if !ok && t.Kind() == reflect.Struct {
				e = map[string]any{} // keeps the indices of those behind it
			}
			if ok || e != nil {
				good = append(good, e)
			}
		}
		return good, true
	case map[string]any:
		if c.overlay && len(v) > 0 {
			return c.items(v, t, p, pattern)
		}
	}
	c.wrong(v, p, "a list")
	return nil, false
}

// items checks a list's items that are given by index.
func (c *checker) items(m map[string]any, t reflect.Type, p path, pattern string) (any, bool) {
	good := indexed{}
	for key, e := range m {
		at := p.with(key)
		i, ok := index(key)
		if !ok {
			c.fault(c.line(at), at, quote(key), "the index of an item of the list")
			continue
		}
		if e, ok := c.value(e, t, at, join(pattern, "*")); ok {
			good[i] = e
		}
	}
	return good, len(good) > 0
}

// index reads the index of an item.
func index(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return int(n), err == nil && strconv.FormatUint(n, 10) == s
}

func (c *checker) duration(v any, p path) (any, bool) {
	const wanted = "a duration such as 100ms, 30s, 10m or 1h30m"
	if v == int64(0) {
		return time.Duration(0), true
	}
	s, ok := v.(string)
	if !ok {
		c.wrong(v, p, wanted)
		return nil, false
	}
	t, err := time.ParseDuration(s)
	if err != nil {
		c.wrong(v, p, wanted)
		return nil, false
	}
	return t, true
}

func (c *checker) size(v any, p path) (any, bool) {
	text := fmt.Sprint(v)
	switch v.(type) {
	case string, int64:
	default:
		text = ""
	}
	s, err := ParseSize(text)
	if err != nil {
		c.wrong(v, p, sizeWanted)
		return nil, false
	}
	return s, true
}

func (c *checker) text(v any, p path, pattern string) (any, bool) {
	s, ok := v.(string)
	switch {
	case v == nil && c.overlay: // WIREHOST_ADMIN__LISTEN= says ""
	case !ok && v != nil && reflect.TypeOf(v).Comparable():
		c.wrong(v, p, "text (put it in quotes)")
		return nil, false
	case !ok:
		c.wrong(v, p, "text")
		return nil, false
	}
	if f := textFault(s); f != "" {
		c.fault(c.line(p), p, quote(s), f)
		return nil, false
	}
	if c.dir != "" && s != "" && namesFile(pattern, s) && !filepath.IsAbs(s) {
		s = filepath.Join(c.dir, s)
	}
	return s, true
}

// textFault refuses what no setting needs and no system call takes.
func textFault(s string) string {
	if strings.ContainsRune(s, 0) {
		return "text without a NUL byte"
	}
	return ""
}
