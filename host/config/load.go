package config

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// Options say where configuration comes from. The zero value gives Defaults.
type Options struct {
	// File is YAML, or by its extension TOML or JSON; "" = none.
	File string
	// ReadFile reads File; nil = os.ReadFile.
	ReadFile func(path string) ([]byte, error)
	// Env is the environment, as from os.Environ; what does not begin with
	// WIREHOST_ is ignored.
	Env []string
	// Flags may hold the flags that AddFlags defines; nil = none.
	Flags *pflag.FlagSet
	// Set are more texts KEY=VALUE, as after --set; they win over Flags.
	Set []string
}

// Load reads the configuration: defaults, then file, environment and flags,
// each over the one before. Its error is Faults, with all that is wrong, or
// wraps a *fs.PathError where the file can't be read. It does no other I/O: what the
// configuration names is not looked at.
func Load(o Options) (Config, error) {
	l := newLoader()
	if o.File != "" {
		read := o.ReadFile
		if read == nil {
			read = os.ReadFile
		}
		text, err := read(o.File)
		if err != nil {
			return Config{}, fmt.Errorf("configuration: %w", err)
		}
		l.file(o.File, text)
	}
	l.assign(environment(o.Env))
	if err := l.flags(o.Flags); err != nil {
		return Config{}, err
	}
	l.assign(settings("--set", o.Set))
	return l.finish()
}

// parse reads a file's text by the extension of its name. Nothing at all is no
// configuration: it is what a file looks like that is being written, or was written
// on a full disk, and must not replace what runs.
func parse(name string, text []byte) *document {
	var d *document
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // which editors of Windows begin with
	switch ext := strings.ToLower(filepath.Ext(name)); ext {
	case ".yaml", ".yml", "":
		d = parseYAML(name, text)
	case ".toml":
		d = parseTOML(name, text)
	case ".json":
		d = parseJSON(name, text)
	default:
		d = newDocument(name)
		d.fault(0, nil, "the extension "+quote(ext), ".yaml, .yml, .toml or .json")
	}
	if len(d.faults) == 0 && len(bytes.TrimSpace(text)) == 0 {
		d.fault(0, nil, "an empty file", "settings, or a comment to say that none is meant")
	}
	d.dir = filepath.Dir(name)
	return d
}

// origin is where a value was said.
type origin struct {
	name string
	line int
}

// loader lays one source over the other.
type loader struct {
	k      *koanf.Koanf
	where  map[string]origin // by path.key()
	faults Faults
	ranks  map[string]int // of origins: the order they came in
}

func newLoader() *loader {
	l := &loader{k: koanf.New(delim), where: map[string]origin{}, ranks: map[string]int{}}
	l.load(builtin(), "")
	return l
}

// builtin is what runs where no file says what to run.
func builtin() map[string]any {
	c := Defaults()
	plugins, listeners := map[string]any{}, []any{}
	for name, p := range c.Plugins {
		plugins[name] = map[string]any{"module": p.Module}
	}
	for _, ls := range c.Listeners {
		listeners = append(listeners, map[string]any{"endpoint": ls.Endpoint, "plugin": ls.Plugin})
	}
	return map[string]any{"plugins": plugins, "listeners": listeners}
}

// load lays m, which name said, over what is there.
func (l *loader) load(m map[string]any, name string) {
	err := l.k.Load(confmap.Provider(m, ""), nil, koanf.WithMergeFunc(func(src, dest map[string]any) error {
		merge(src, dest, nil, func(p path, found, wanted string) {
			l.faults = append(l.faults, &Fault{Origin: name, Key: p.String(), Found: found, Wanted: wanted})
		})
		return nil
	}))
	if err != nil { // neither the provider nor merge has one
		l.faults = append(l.faults, &Fault{Origin: name, Found: err.Error()})
	}
}

// file lays a file over what is there. One that says what to run replaces what
// is built in.
func (l *loader) file(name string, text []byte) {
	d := parse(name, text)
	m := d.check(false)
	if m["plugins"] != nil || m["listeners"] != nil {
		l.k.Delete("plugins")
		l.k.Delete("listeners")
	}
	l.take(d, m)
}

// take lays a checked document over what is there.
func (l *loader) take(d *document, m map[string]any) {
	if _, known := l.ranks[d.origin]; !known {
		l.ranks[d.origin] = len(l.ranks)
	}
	l.faults = append(l.faults, d.faults...)
	for key, line := range d.lines {
		l.where[key] = origin{d.origin, line}
	}
	l.load(m, d.origin)
}

// origin is where the value at p, or what is around it, was said.
func (l *loader) origin(p path) origin {
	for n := len(p); n > 0; n-- {
		if o, ok := l.where[p[:n].key()]; ok {
			return o
		}
	}
	return origin{}
}

// sorted gives the faults in the order of sources and lines; those that nobody
// said stand last.
func (l *loader) sorted() Faults {
	rank := func(f *Fault) int {
		if r, ok := l.ranks[f.Origin]; ok {
			return r
		}
		return len(l.ranks)
	}
	slices.SortStableFunc(l.faults, func(a, b *Fault) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Line, b.Line))
	})
	return l.faults
}
