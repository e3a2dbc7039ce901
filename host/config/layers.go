package config

import (
	"maps"
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
