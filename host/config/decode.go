package config

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// decoder goes over values by the types of the settings, holds each against its
// type and its rule, and fills in the good ones. What is bad is reported, and left
// out.
type decoder struct {
	rules   map[string]rule
	place   func(path) origin // where a value was said
	dir     string            // what relative paths are relative to; "" = the working directory
	overlay bool              // environment or flags: digits index lists, and nothing is ""
	whole   bool              // all sources have been laid over each other
	hidden  map[string]string // the document's
	beside  string            // a key that the root has beside its type's, and that is read elsewhere
	told    map[string]bool   // keys with a fault already: there is no value to check
	faults  Faults
}

// decode fills to from v, which stands at p, and adds to the document's faults.
// pattern is p with * for names and indices, as the rules have it.
func (d *document) decode(v, to any, p path, pattern string, c decoder) {
	c.rules, c.told = rules(), map[string]bool{}
	c.dir, c.hidden = d.dir, d.hidden
	if c.place == nil {
		c.place = func(p path) origin { return origin{d.origin, d.line(p)} }
	}
	for _, f := range d.faults {
		c.told[f.Key] = true
	}
	c.value(v, reflect.ValueOf(to).Elem(), p, pattern)
	d.faults = append(d.faults, c.faults...)
}

func (d *decoder) fault(p path, found, wanted, hint string) {
	if instead := d.hidden[p.key()]; instead != "" {
		found, hint = instead, ""
	}
	d.faults = append(d.faults, d.place(p).fault(p, found, wanted, hint))
}

// wrong reports a value of a wrong type.
func (d *decoder) wrong(v any, p path, wanted string) bool {
	if !d.told[p.String()] {
		d.fault(p, show(v), wanted, "")
	}
	return false
}

// value fills to, or returns false where v is nothing for it.
func (d *decoder) value(v any, to reflect.Value, p path, pattern string) bool {
	switch to.Kind() {
	case reflect.Struct, reflect.Map:
		return d.mapping(v, to, p, pattern)
	case reflect.Slice:
		return d.list(v, to, p, pattern)
	case reflect.Interface:
		if to.SetZero(); v != nil {
			to.Set(reflect.ValueOf(d.guest(v, p)))
		}
		return true
	}
	good, ok := d.leaf(v, to, p, pattern)
	if !ok {
		return false
	}
	x := reflect.ValueOf(good).Convert(to.Type())
	if r := d.rules[pattern]; r != nil {
		if f := r(x); f != nil {
			d.fault(p, f.Found, f.Wanted, f.Hint)
			return false
		}
	}
	if to.Set(x); pattern == "plugins.*.sha256" {
		to.SetString(strings.ToLower(to.String()))
	}
	return true
}

// leaf reads what holds no other values.
func (d *decoder) leaf(v any, to reflect.Value, p path, pattern string) (any, bool) {
	if d.told[p.String()] {
		return nil, false
	}
	wanted := "a whole number"
	switch to.Interface().(type) {
	case time.Duration:
		if v == int64(0) {
			return v, true
		}
		if s, ok := v.(string); ok {
			if t, err := time.ParseDuration(s); err == nil {
				return t, true
			}
		}
		wanted = "a duration such as 100ms, 30s, 10m or 1h30m"
	case Size:
		switch v.(type) {
		case string, int64:
			if s, err := parseSize(fmt.Sprint(v)); err == nil {
				return s, true
			}
		}
		wanted = sizeWanted
	case bool:
		if _, ok := v.(bool); ok {
			return v, true
		}
		wanted = "true or false"
	case int:
		if n, ok := v.(int64); ok && !to.OverflowInt(n) {
			return v, true
		}
	default:
		return d.text(v, p, pattern)
	}
	return nil, d.wrong(v, p, wanted)
}

func (d *decoder) text(v any, p path, pattern string) (any, bool) {
	s, ok := v.(string)
	switch {
	case v == nil && d.overlay: // WIREHOST_ADMIN__LISTEN= says ""
	case !ok && v != nil && reflect.TypeOf(v).Comparable():
		return nil, d.wrong(v, p, "text (put it in quotes)")
	case !ok:
		return nil, d.wrong(v, p, "text")
	}
	if f := textFault(s); f != "" {
		d.fault(p, quote(s), f, "")
		return nil, false
	}
	return rebase(pattern, s, d.dir), true
}

// textFault refuses what no setting needs and no system call takes.
func textFault(s string) string {
	if strings.ContainsRune(s, 0) {
		return "text without a NUL byte"
	}
	return ""
}

// mapping goes over a mapping's entries. Nothing (`plugins:` with all under it
// commented out) is an empty mapping.
func (d *decoder) mapping(v any, to reflect.Value, p path, pattern string) bool {
	m, ok := v.(map[string]any)
	if v != nil && (!ok || isList(m)) {
		return d.wrong(v, p, "a mapping")
	}
	if to.Kind() == reflect.Struct {
		// Connections and memory bound the instances that connections have for themselves.
		if p, ok := to.Addr().Interface().(*Plugin); ok && m["isolation"] == string(IsolationConnection) {
			p.Limits.Instances = 0
		}
		for _, key := range slices.Sorted(maps.Keys(m)) {
			d.field(m, key, to, p, pattern)
		}
		return true
	}
	if to.IsNil() {
		to.Set(reflect.MakeMap(to.Type()))
	}
	for _, name := range slices.Sorted(maps.Keys(m)) { // of plugins
		if at := p.with(name); strings.HasPrefix(name, ownPrefix) {
			delete(m, name)
		} else if !validName(name) {
			d.fault(at, "the name "+quote(name), betterName(name), "")
		} else if x := fresh(to.Type().Elem()); d.entry(m, name, x, p, join(pattern, "*")) {
			to.SetMapIndex(reflect.ValueOf(name), x)
		}
	}
	return true
}

// entry fills to from what key names in m, which stands at p. It makes m fit for
// koanf: where nothing stands for a mapping it becomes an empty one, which replaces
// nothing; paths are whole; what is bad is left out.
func (d *decoder) entry(m map[string]any, key string, to reflect.Value, p path, pattern string) bool {
	if text, is := m[key].(string); is && to.Type() == reflect.TypeFor[Words]() {
		m[key] = listOf(text)
	}
	kind := to.Kind()
	if m[key] == nil && (kind == reflect.Struct || kind == reflect.Map) {
		m[key] = map[string]any{}
	}
	ok := d.value(m[key], to, p.with(key), pattern)
	if ok && kind == reflect.String {
		m[key] = to.String()
	} else if !ok && !isList(m) {
		delete(m, key)
	}
	return ok
}

// ownPrefix begins the keys that are the user's own, for what YAML's anchors name.
const ownPrefix = "x-"

// field reads an entry of a struct.
func (d *decoder) field(m map[string]any, key string, to reflect.Value, p path, pattern string) {
	at, keys := p.with(key), keysOf(to.Type())
	if i := slices.Index(keys, key); i >= 0 {
		d.entry(m, key, to.Field(i), p, join(pattern, key))
		return
	}
	if strings.HasPrefix(key, ownPrefix) {
		delete(m, key)
		return
	}
	if len(p) == 0 && d.beside != "" {
		if key == d.beside {
			return
		}
		keys = append(keys, d.beside)
	}
	d.fault(at, "an unknown key", "one of "+strings.Join(keys, ", "), suggest(key, keys))
}

// keysOf are the keys of t's fields, in their order.
func keysOf(t reflect.Type) []string {
	keys := make([]string, t.NumField())
	for i := range keys {
		keys[i] = t.Field(i).Tag.Get("koanf")
	}
	return keys
}

func join(pattern, part string) string {
	if pattern == "" {
		return part
	}
	return pattern + "." + part
}

func (d *decoder) list(v any, to reflect.Value, p path, pattern string) bool {
	m, ok := v.(map[string]any)
	if v != nil && (!ok || !isList(m) && (!d.overlay || len(m) == 0)) {
		return d.wrong(v, p, "a list")
	}
	to.Set(reflect.MakeSlice(to.Type(), 0, len(m)))
	for _, key := range d.indices(m, p) {
		x := fresh(to.Type().Elem())
		if d.entry(m, key, x, p, join(pattern, "*")) || x.Kind() == reflect.Struct { // keeps the indices
			to.Set(reflect.Append(to, x))
		}
	}
	return v == nil || len(m) > 0 // else nothing is left of the items
}

// indices are the keys of a list's items, in order.
func (d *decoder) indices(m map[string]any, p path) []string {
	good := make([]string, 0, len(m))
	for _, key := range slices.SortedFunc(maps.Keys(m), byIndex) {
		n, ok := index(key)
		switch {
		case key == listMark:
		case !ok:
			d.fault(p.with(key), quote(key), "the index of an item of the list", "")
			delete(m, key)
		case d.whole && n != len(good):
			d.fault(p.with(key), "the index "+key, fmt.Sprintf("at most %d, which adds an item", len(good)), "")
		default:
			good = append(good, key)
		}
	}
	return good
}

// index reads the index of an item.
func index(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err == nil && strconv.FormatUint(n, 10) == s
}

// byIndex orders indices as numbers.
func byIndex(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// guest makes what a plugin finds in its own configuration: in the end, lists are
// lists.
func (d *decoder) guest(v any, p path) any {
	m, ok := v.(map[string]any)
	if !ok || !d.whole {
		return v
	}
	if isList(m) {
		list := []any{}
		for _, key := range d.indices(m, p) {
			list = append(list, d.guest(m[key], p.with(key)))
		}
		return list
	}
	out := make(map[string]any, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		out[key] = d.guest(m[key], p.with(key))
	}
	return out
}
