package config

import (
	"strconv"
	"strings"

	"github.com/go-viper/mapstructure/v2"
)

// finish makes the Config of all sources, and checks what concerns several
// values.
func (l *loader) finish() (Config, error) {
	c := base()
	for key, into := range map[string]any{"log": &c.Log, "reactor": &c.Reactor, "admin": &c.Admin, "cache": &c.Cache} {
		if l.k.Exists(key) {
			l.decode(path{key}, l.k.Get(key), into)
		}
	}
	plugins, _ := l.k.Get("plugins").(map[string]any)
	c.Plugins = make(map[string]Plugin, len(plugins))
	for name, v := range plugins {
		c.Plugins[name] = l.plugin(path{"plugins", name}, v)
	}
	listeners, _ := l.k.Get("listeners").([]any)
	c.Listeners = make([]Listener, 0, len(listeners))
	for i, v := range listeners {
		ls := DefaultListener()
		l.decode(path{"listeners", strconv.Itoa(i)}, v, &ls)
		c.Listeners = append(c.Listeners, ls)
	}
	l.validate(c)
	if len(l.faults) > 0 {
		return Config{}, l.sorted()
	}
	return c, nil
}

// plugin decodes one plugin. Its own configuration goes through as it is: any
// value, nothing included.
func (l *loader) plugin(p path, v any) Plugin {
	def := DefaultPlugin()
	out := def
	out.Config = nil // mapstructure would decode into it
	l.decode(p, v, &out)
	if m, _ := v.(map[string]any); m != nil {
		if _, given := m["config"]; !given {
			out.Config = def.Config
		}
	}
	out.SHA256 = strings.ToLower(out.SHA256)
	return out
}

// decode fills into, strictly, with what check has let through. An error here
// means that check and the types do not agree.
func (l *loader) decode(p path, v, into any) {
	dec, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		Result:           into,
		TagName:          "koanf",
		ErrorUnused:      true,
		WeaklyTypedInput: false,
		MatchName:        func(key, field string) bool { return key == field },
	})
	if err == nil {
		err = dec.Decode(v)
	}
	if err != nil {
		o := l.origin(p)
		l.faults = append(l.faults, &Fault{Origin: o.name, Line: o.line, Key: p.String(), Found: plain(err.Error())})
	}
}
