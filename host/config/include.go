package config

import (
	"errors"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

const (
	// includeKey names, in a file alone, those that are read with it.
	includeKey = "include"
	maxFiles   = 1000
	maxChain   = 16 // files that include one another
)

// files are a configuration file and those that it includes, in the order in which
// they are laid over each other.
type files struct {
	given *given
	seen  map[string]bool // by name: a file is read once
	list  []*document
}

// add reads a file's text, and after it what it includes. chain are the files that
// include it, from the first on.
func (f *files) add(name string, text []byte, chain []string) {
	d := parse(name, text)
	d.expand(d.root, nil, f.given)
	f.seen[filepath.Clean(name)] = true
	f.list = append(f.list, d)
	chain = append(slices.Clip(chain), filepath.Clean(name))
	patterns, ok := d.root[includeKey].(map[string]any)
	if v, given := d.root[includeKey]; given && v != nil && (!ok || !isList(patterns)) {
		d.fault(d.line(path{includeKey}), path{includeKey}, show(v), "a list of files such as conf.d/*.yaml")
		return
	}
	for _, key := range slices.SortedFunc(maps.Keys(patterns), byIndex) {
		if key == listMark {
			continue
		}
		p := path{includeKey, key}
		pattern, ok := patterns[key].(string)
		if !ok || pattern == "" {
			d.fault(d.line(p), p, show(patterns[key]), "a file, or a pattern such as conf.d/*.yaml")
			continue
		}
		f.include(d, p, pattern, chain)
	}
	if len(patterns) > 0 && f.given.read == nil {
		d.fault(d.line(path{includeKey}), path{includeKey}, "files to include", "none")
	}
}

// include reads the files that a pattern of d names, in the order of their names.
func (f *files) include(d *document, p path, pattern string, chain []string) {
	bad := func(found, wanted string) { d.fault(d.line(p), p, found, wanted) }
	names, err := glob(d.dir, pattern)
	if err != nil {
		bad(quote(pattern)+" ("+plain(err.Error())+")", "a pattern such as conf.d/*.yaml")
		return
	}
	for _, name := range names {
		switch {
		case slices.Contains(chain, name):
			bad(quote(pattern)+", a cycle: "+plain(strings.Join(append(chain, name), " includes ")), "no cycle")
			continue
		case f.seen[name] || f.given.read == nil:
			continue
		case len(f.seen) >= maxFiles || len(chain) >= maxChain:
			bad("more than "+strconv.Itoa(maxFiles)+" files, or "+strconv.Itoa(maxChain)+" that include one another",
				"fewer")
			return
		}
		text, err := f.given.read(name)
		if err != nil {
			bad(quote(pattern)+", which can't be read: "+plain(err.Error()), "a configuration file")
			continue
		}
		f.add(name, text, chain)
	}
}

// glob are the files that a pattern names, in the order of their names: none is no
// fault where the pattern has wildcards. Names that begin with a dot are those that
// editors and Kubernetes put beside files.
func glob(dir, pattern string) ([]string, error) {
	name := pattern
	if !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	if !strings.ContainsAny(pattern, "*?[") {
		return []string{filepath.Clean(name)}, nil
	}
	if !filepath.IsAbs(pattern) && runtime.GOOS != "windows" { // dir is no pattern
		name = filepath.Join(strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir), pattern)
	}
	names, err := filepath.Glob(name)
	if errors.Is(err, filepath.ErrBadPattern) {
		return nil, errors.New("a bracket without an end")
	}
	if !strings.HasPrefix(filepath.Base(pattern), ".") {
		names = slices.DeleteFunc(names, func(n string) bool { return strings.HasPrefix(filepath.Base(n), ".") })
	}
	slices.Sort(names)
	return names, err
}

// merge makes d fit to be laid over the files before it: its lists go on where theirs
// end, and no plugin stands in two.
func (l *loader) merge(d *document) {
	if plugins, ok := d.root["plugins"].(map[string]any); ok {
		for _, name := range slices.Sorted(maps.Keys(plugins)) {
			p := path{"plugins", name}
			if before, twice := l.where[p.key()]; twice {
				d.fault(d.line(p), p, "a plugin that "+plain(before.name)+":"+strconv.Itoa(before.line)+" has too",
					"it in one file")
				delete(plugins, name)
			}
		}
	}
	l.joinLists(d, d.root, nil)
}

// joinLists numbers the items of lists anew, behind those that are there. Plugins are
// whole: no list of theirs is in two files.
func (l *loader) joinLists(d *document, m map[string]any, p path) {
	for key, v := range m {
		at := p.with(key)
		there, _ := l.k.Get(at.key()).(map[string]any)
		below, ok := v.(map[string]any)
		switch {
		case at.key() == "plugins":
		case ok && !isList(below):
			l.joinLists(d, below, at)
		case !isList(there) || len(there) == 1:
		case len(below) <= 1: // it adds nothing
			delete(m, key)
		default:
			m[key] = renumber(below, len(there)-1)
			moveKeys(d.lines, at, len(there)-1)
			moveKeys(d.hidden, at, len(there)-1)
		}
	}
}

// renumber is a list whose items begin at first, without the mark, so that it is laid
// over the one that is there.
func renumber(list map[string]any, first int) map[string]any {
	out := map[string]any{}
	for key, v := range list {
		if n, ok := index(key); ok {
			out[strconv.Itoa(first+n)] = v
		}
	}
	return out
}

// moveKeys has what m says of the items of the list at p say it of those from first on.
func moveKeys[T any](m map[string]T, p path, first int) {
	moved := map[string]T{}
	for key, v := range m {
		rest, below := strings.CutPrefix(key, p.key()+delim)
		if !below {
			continue
		}
		item, rest, more := strings.Cut(rest, delim)
		if n, ok := index(item); ok {
			to := p.with(strconv.Itoa(first + n)).key()
			if more {
				to += delim + rest
			}
			moved[to] = v
			delete(m, key)
		}
	}
	maps.Copy(m, moved)
}
