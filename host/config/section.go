package config

import (
	"path/filepath"
	"reflect"
	"strings"
)

// ParsePlugin reads one plugin's section from JSON, as it is given to a host
// that runs: an object with the keys of Plugin, and at most one more, listener,
// with those of Listener but plugin. What is not given has its default. Files
// are named absolutely, since the one who asks need not share the host's
// working directory. origin begins the messages. The error is Faults, with all
// that is wrong.
func ParsePlugin(origin, name string, text []byte) (Plugin, []Listener, error) {
	d := parseJSON(origin, text)
	if len(d.faults) > 0 {
		for _, f := range d.faults {
			if f.Key == "" && f.Wanted != "" { // setRoot speaks of a configuration file
				f.Wanted = "an object with a plugin's keys"
			}
		}
		return Plugin{}, nil, d.faults
	}
	l := newLoader()
	if !validName(name) {
		d.fault(0, nil, "the name "+quote(name), nameWanted)
	}
	listener, listens := d.root["listener"]
	delete(d.root, "listener")
	c := d.checker(false)
	section, _ := c.value(d.root, reflect.TypeFor[Plugin](), nil, "plugins.*")
	l.take(d, nil)
	p := l.plugin(nil, section)
	var list []Listener
	if listens {
		list = append(list, c.sectionListener(l, name, listener))
		l.faults = d.faults
	}
	l.validateSection(name, p, list)
	for _, f := range l.faults {
		f.hintListener()
	}
	if len(l.faults) > 0 {
		return Plugin{}, nil, l.sorted()
	}
	return p, list, nil
}

// hintListener completes what an unknown key might have been.
func (f *Fault) hintListener() {
	if f.Found == "an unknown key" && !strings.Contains(f.Key, ".") {
		f.Wanted += ", listener"
		if f.Hint == "" {
			f.Hint = suggest(f.Key, []string{"listener"})
		}
	}
}

func (c *checker) sectionListener(l *loader, name string, v any) Listener {
	at := path{"listener"}
	ls := DefaultListener()
	good, ok := c.value(v, reflect.TypeFor[Listener](), at, "listeners.*")
	if m, isMap := good.(map[string]any); ok && isMap {
		if plugin, given := m["plugin"]; given && plugin != name {
			c.fault(c.line(at.with("plugin")), at.with("plugin"), show(plugin), quote(name)+", or nothing")
		}
		l.decode(at, m, &ls)
	}
	ls.Plugin = name
	return ls
}

// validateSection checks what concerns several values, and that files are named
// absolutely.
func (l *loader) validateSection(name string, p Plugin, list []Listener) {
	v := newValidator(l)
	if p.Module == "" {
		v.report(path{"module"}, "no module", "builtin:NAME or the path of a .wasm file", "")
	}
	if !strings.HasPrefix(p.Module, "builtin:") {
		v.absolute(path{"module"}, p.Module)
	}
	v.absolute(path{"allow", "ca"}, p.Allow.CA)
	for _, ls := range list {
		v.listener(path{"listener"}, ls, map[string]Plugin{name: p}, map[string]string{})
		for key, file := range map[string]string{"cert": ls.TLS.Cert, "key": ls.TLS.Key, "client_ca": ls.TLS.ClientCA} {
			v.absolute(path{"listener", "tls", key}, file)
		}
	}
}

func (v *validator) absolute(p path, file string) {
	if file != "" && !filepath.IsAbs(file) {
		v.report(p, quote(file), "an absolute path", "")
	}
}
