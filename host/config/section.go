package config

import (
	"path/filepath"
	"strconv"
	"strings"
)

// ParsePlugin reads one plugin's section from JSON, as it is given to a host
// that runs: an object with the keys of Plugin, and at most one more, listener,
// with those of Listener but plugin. What is not given has its default. Files
// are named absolutely, since the one who asks need not share the host's
// working directory. from begins the messages. The error is Faults, with all
// that is wrong.
func ParsePlugin(from, name string, text []byte) (Plugin, []Listener, error) {
	d := parseJSON(from, text)
	if len(d.faults) > 0 {
		for _, f := range d.faults {
			if f.Key == "" && f.Wanted != "" { // setRoot speaks of a configuration file
				f.Wanted = "an object with a plugin's keys"
			}
		}
		return Plugin{}, nil, d.faults
	}
	if !validName(name) {
		d.fault(0, nil, "the name "+quote(name), betterName(name))
	}
	p, ls := DefaultPlugin(), defaultListener()
	d.decode(d.root, &p, nil, "plugins.*", decoder{whole: true, beside: "listener"})
	listener, listens := d.root["listener"]
	if listens {
		d.decode(listener, &ls, path{"listener"}, "listeners.*", decoder{whole: true})
	}
	l := &loader{where: map[string]origin{}, ranks: map[string]int{}, faults: d.faults}
	l.note(d)
	v := newValidator(l)
	var list []Listener
	if listens {
		m, _ := listener.(map[string]any)
		if plugin, given := m["plugin"]; given && plugin != name {
			v.report(path{"listener", "plugin"}, show(plugin), quote(name)+", or nothing", "")
		}
		switch {
		case len(ls.Chain) == 0:
			ls.Plugin = name
		case ls.Chain[0] != name:
			v.report(path{"listener", "chain"}, quote(ls.Chain[0])+" at its beginning", quote(name), "")
		}
		list = []Listener{ls}
	}
	v.section(name, p, list)
	if len(l.faults) > 0 {
		return Plugin{}, nil, l.sorted()
	}
	return p, list, nil
}

// section checks what concerns several values, and that files are named
// absolutely.
func (v *validator) section(name string, p Plugin, list []Listener) {
	if p.Module == "" {
		v.report(path{"module"}, "no module", moduleWanted, "")
	}
	if IsFile(p.Module) {
		v.absolute(path{"module"}, p.Module)
	}
	v.absolute(path{"assets"}, p.Assets)
	v.absolute(path{"allow", "ca"}, p.Allow.CA)
	v.allowTLS(path{"allow"}, p.Allow)
	v.absoluteTLS(path{"allow", "tls"}, p.Allow.TLS)
	for _, ls := range list {
		if file, is := strings.CutPrefix(ls.Endpoint, unixPrefix); is && !strings.HasPrefix(file, "@") {
			v.absolute(path{"listener", "endpoint"}, file)
		}
		v.listener(path{"listener"}, ls, map[string]Plugin{name: p}, map[string]string{})
		v.absoluteTLS(path{"listener", "tls"}, ls.TLS)
	}
}

func (v *validator) absoluteTLS(at path, t TLS) {
	for key, file := range map[string]string{"cert": t.Cert, "key": t.Key, "client_ca": t.ClientCA} {
		v.absolute(at.with(key), file)
	}
	for i, c := range t.Certificates {
		v.absolute(at.with("certificates").with(strconv.Itoa(i)).with("cert"), c.Cert)
		v.absolute(at.with("certificates").with(strconv.Itoa(i)).with("key"), c.Key)
	}
}

func (v *validator) absolute(p path, file string) {
	if file != "" && !filepath.IsAbs(file) {
		v.report(p, quote(file), "an absolute path", "")
	}
}
