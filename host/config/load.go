package config

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
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
	// WIREHOST_ sets nothing.
	Env []string
	// LookupEnv tells what ${VARIABLE} stands for in a file's values; nil = what Env has.
	LookupEnv func(name string) (string, bool)
	// Flags may hold the flags that AddFlags defines; nil = none.
	Flags *pflag.FlagSet
	// Set are more texts KEY=VALUE, as after --set; they win over Flags.
	Set []string
	// Origins is told where settings were said, once where there is no error: by dotted
	// name FILE:LINE, a variable or a flag. What nobody said is not among them. nil =
	// nobody asks.
	Origins func(map[string]string)
}

// Load reads the configuration: defaults, then the file and those that it includes,
// environment and flags, each over the one before. Its error is Faults, with all that is
// wrong, or wraps a *fs.PathError where the file can't be read. It does no other I/O but
// for files that values take text from: what the configuration names is not looked at.
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
		l.given.read, l.given.lookup = read, o.LookupEnv
		if l.given.lookup == nil {
			l.given.lookup = lookup(o.Env)
		}
		l.file(o.File, text)
	}
	l.assign(environment(o.Env))
	l.flags(o.Flags)
	l.assign(settings("--set", o.Set))
	c, err := l.finish()
	if err == nil && o.Origins != nil {
		o.Origins(l.origins())
	}
	return c, err
}

// origins are where values were said, by their dotted names.
func (l *loader) origins() map[string]string {
	all := make(map[string]string, len(l.where))
	for key, o := range l.where {
		text := o.name
		if o.line > 0 {
			text = fmt.Sprintf("%s:%d", text, o.line)
		}
		all[strings.ReplaceAll(key, delim, ".")] = text
	}
	return all
}

// lookup finds variables in an environment, of which the last one counts.
func lookup(env []string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, e := range slices.Backward(env) {
			if text, ok := strings.CutPrefix(e, name+"="); ok {
				return text, true
			}
		}
		return "", false
	}
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
	d.dir = folderOf(name)
	return d
}

// folderOf is where the relative paths of a file begin. One that is a pipe has none.
func folderOf(name string) string {
	if dir := filepath.Dir(name); !strings.HasPrefix(dir+"/", "/dev/") && !strings.HasPrefix(dir, "/proc/") {
		return dir
	}
	return ""
}

// origin is where a value was said. The zero value: nowhere.
type origin struct {
	name string
	line int
}

func (o origin) fault(p path, found, wanted, hint string) *Fault {
	return &Fault{Origin: o.name, Line: o.line, Key: p.String(), Found: found, Wanted: wanted, Hint: hint}
}

// loader lays one source over the other.
type loader struct {
	k      *koanf.Koanf
	where  map[string]origin // by path.key()
	faults Faults
	ranks  map[string]int    // of origins: the order they came in
	dir    string            // the file's folder; "" = there is none
	hidden map[string]string // see document
	given  given
}

func newLoader() *loader {
	l := &loader{k: koanf.New(delim), where: map[string]origin{}, ranks: map[string]int{}, hidden: map[string]string{},
		given: given{texts: map[string]string{}}}
	l.load(builtin(), "")
	return l
}

// load lays m, which name said, over what is there: mappings mix, everything else
// replaces.
func (l *loader) load(m map[string]any, name string) {
	if err := l.k.Load(confmap.Provider(m, ""), nil); err != nil { // the provider has none
		l.faults = append(l.faults, &Fault{Origin: name, Found: err.Error()})
	}
}

// file lays a file, and those that it includes, over what is there. Where one says what
// to run, that replaces what is built in.
func (l *loader) file(name string, text []byte) {
	f := files{given: &l.given, seen: map[string]bool{}}
	f.add(name, text, nil)
	l.dir = f.list[0].dir
	for _, d := range f.list {
		_, plugins := d.root["plugins"]
		_, listeners := d.root["listeners"]
		if plugins || listeners {
			l.k.Delete("plugins")
			l.k.Delete("listeners")
		}
	}
	for _, d := range f.list {
		l.take(d, false)
	}
}

// take checks a document by the types and the rules, and lays it over what is
// there. So a bad value is told even where another source hides it.
func (l *loader) take(d *document, overlay bool) {
	c := decoder{overlay: overlay}
	if !overlay {
		c.beside = includeKey
	}
	d.decode(d.root, &Config{}, nil, "", c)
	if !overlay {
		delete(d.root, includeKey)
		l.merge(d)
	}
	l.note(d)
	l.faults = append(l.faults, d.faults...)
	l.replace(d.root, nil)
	l.load(d.root, d.origin)
}

// replace drops what koanf would lay m over, although m is to stand in its place: a
// list says all its items, and a mapping that does not say items says no list.
func (l *loader) replace(m map[string]any, p path) {
	for key, v := range m {
		below, ok := v.(map[string]any)
		at := p.with(key)
		switch {
		case !ok || !l.k.Exists(at.key()):
		case isList(below) || l.k.Exists(at.with(listMark).key()) && !saysItems(below):
			l.k.Delete(at.key())
		default:
			l.replace(below, at)
		}
	}
}

// saysItems tells whether m's keys are indices.
func saysItems(m map[string]any) bool {
	for key := range m {
		if _, ok := index(key); !ok {
			return false
		}
	}
	return len(m) > 0
}

// note takes over where a document's values stand.
func (l *loader) note(d *document) {
	if _, known := l.ranks[d.origin]; !known {
		l.ranks[d.origin] = len(l.ranks)
	}
	for key, line := range d.lines {
		l.where[key] = origin{d.origin, line}
		delete(l.hidden, key) // another source says it
	}
	maps.Copy(l.hidden, d.hidden)
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

// finish makes the Config of all sources, and checks what concerns several
// values. What concerns one has been told already.
func (l *loader) finish() (Config, error) {
	c := base()
	c.Plugins, c.Listeners = map[string]Plugin{}, []Listener{}
	d := newDocument("")
	d.decode(l.k.Raw(), &c, nil, "", decoder{overlay: true, whole: true, place: l.origin})
	v := newValidator(l)
	for _, f := range d.faults {
		v.add(f)
	}
	v.config(c)
	if len(l.faults) > 0 {
		return Config{}, l.sorted()
	}
	return c, nil
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
