package config

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

const (
	// nextPlugin is the name, in plugin://, of the one behind in a chain: no plugin's.
	nextPlugin   = "next"
	pluginScheme = "plugin://"
)

// allowedPlugin checks what stands behind plugin:// in allow.connect.
func allowedPlugin(s, name string) *Fault {
	switch {
	case name == nextPlugin:
		return &Fault{Found: quote(s), Wanted: "plugin://NAME of a plugin: a chain allows the one behind by itself"}
	case name != "*" && !validName(name):
		return &Fault{Found: quote(s), Wanted: "plugin://NAME of a plugin, or plugin://* for all"}
	}
	return nil
}

// pluginName checks a name in allow.hand_over.
func pluginName(v reflect.Value) *Fault {
	if s := v.String(); !validName(s) {
		return &Fault{Found: quote(s), Wanted: "the name of a plugin"}
	}
	return nil
}

// Absent are the plugins that others may connect to (allow.connect) or give connections to
// (allow.hand_over) and that are not there, as Validate tells what is wrong. They are not: a
// plugin can be loaded later, and is reached then.
func (c Config) Absent() (list Faults) {
	names := slices.Sorted(maps.Keys(c.Plugins))
	for _, name := range names {
		look := func(setting string, n int, found, plugin string) {
			if _, there := c.Plugins[plugin]; !there && plugin != "*" {
				p := path{"plugins", name, "allow", setting, strconv.Itoa(n)}
				list = append(list, &Fault{Key: p.String(), Found: found,
					Wanted: "a plugin that is there" + among(names),
					Hint:   suggest(plugin, names)})
			}
		}
		for n, text := range c.Plugins[name].Allow.Connect {
			if plugin, inside := strings.CutPrefix(text, pluginScheme); inside {
				look("connect", n, text, plugin)
			}
		}
		for n, plugin := range c.Plugins[name].Allow.HandOver {
			look("hand_over", n, plugin, plugin)
		}
	}
	return list
}

// First is the plugin that has the listener's connections: Plugin, or the first of Chain.
func (ls Listener) First() string {
	if len(ls.Chain) > 0 {
		return ls.Chain[0]
	}
	return ls.Plugin
}

// plugins checks whom a listener is for.
func (v *validator) plugins(p path, ls Listener, plugins map[string]Plugin) {
	switch {
	case len(ls.Chain) == 0 && v.bad[p.with("chain").String()]: // it is not missing
		return
	case len(ls.Chain) == 0:
		v.plugin(p.with("plugin"), ls.Plugin, plugins)
		return
	case ls.Plugin != "":
		v.report(p.with("plugin"), quote(ls.Plugin)+" beside chain", "one of plugin and chain", "")
	case len(ls.Chain) == 1 || len(ls.Chain) > longestChain:
		v.report(p.with("chain"), strconv.Itoa(len(ls.Chain))+" of them", "2 to "+strconv.Itoa(longestChain)+
			" plugins, or plugin in place of chain", "")
	case strings.HasPrefix(ls.Endpoint, "udp:") || strings.HasPrefix(ls.Endpoint, "unixgram:"):
		v.report(p.with("chain"), "a chain", "plugin, since datagrams are no connections", "")
	}
	for n, name := range ls.Chain {
		at := p.with("chain").with(strconv.Itoa(n))
		if slices.Contains(ls.Chain[:n], name) {
			v.report(at, quote(name)+", which the chain has before", "each plugin once", "")
			continue
		}
		v.plugin(at, name, plugins)
	}
}

// longestChain is how many plugins a chain may have: the connections between plugins that may
// lie behind one another, and one.
const longestChain = 17

// circles refuses plugins that may connect to each other in a circle, as allow.connect
// names them. What wildcards allow is bounded where it happens.
func (v *validator) circles(plugins map[string]Plugin) {
	done := map[string]bool{}
	var follow func(name string, way []string)
	follow = func(name string, way []string) {
		way = append(slices.Clip(way), name)
		for n, to := range plugins[name].Allow.Connect {
			to, inside := strings.CutPrefix(to, pluginScheme)
			if _, there := plugins[to]; !inside || !there || done[to] {
				continue
			}
			if at := slices.Index(way, to); at >= 0 {
				circle := strings.Join(append(slices.Clip(way[at:]), to), " -> ")
				v.report(path{"plugins", name, "allow", "connect", strconv.Itoa(n)},
					quote(pluginScheme+to)+", which leads in a circle ("+circle+")",
					"plugins that do not connect to themselves by others", "")
				continue
			}
			follow(to, way)
		}
		done[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(plugins)) {
		if !done[name] {
			follow(name, nil)
		}
	}
}
