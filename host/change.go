package host

import (
	"fmt"
	"slices"
	"strings"

	"github.com/wirehost/wirehost/host/config"
)

// Change says what a reload of the configuration has done.
type Change struct {
	Plugins   []Outcome `json:"plugins,omitempty"`    // of those that stay
	Added     []string  `json:"added,omitempty"`      // plugins and listeners
	Removed   []string  `json:"removed,omitempty"`    // plugins and listeners
	Changed   []string  `json:"changed,omitempty"`    // listeners
	NeedsBoot []string  `json:"needs_boot,omitempty"` // settings that have changed and take effect at the next start
	Failed    []string  `json:"failed,omitempty"`     // what is not taken over, and why: what was there before stays
	// what has followed: rules that went with their plugin, and what leads nowhere now
	Notes []string `json:"notes,omitempty"`
}

// Lines are the change for people, one thing a line. Plugins to which nothing was done are
// one line together, unless they are pinned.
func (c Change) Lines() []string {
	var list []string
	same := 0
	for _, o := range c.Plugins {
		if o.Unchanged && !o.Pinned {
			same++
			continue
		}
		list = append(list, "plugin "+o.String())
	}
	for _, part := range []struct {
		what string
		list []string
	}{{"added ", c.Added}, {"removed ", c.Removed}, {"changed ", c.Changed},
		{"takes effect at the next start: ", c.NeedsBoot}, {"not taken over: ", c.Failed}, {"note: ", c.Notes}} {
		for _, name := range part.list {
			list = append(list, part.what+name)
		}
	}
	switch {
	case c.nothing():
		list = append(list, "nothing has changed")
	case same == 1:
		list = append(list, "1 plugin is unchanged")
	case same > 1:
		list = append(list, fmt.Sprintf("%d plugins are unchanged", same))
	}
	return list
}

// nothing tells whether nothing was done, and nothing is to be told.
func (c Change) nothing() bool {
	return !slices.ContainsFunc(c.Plugins, func(o Outcome) bool { return !o.Unchanged }) &&
		len(c.Added)+len(c.Removed)+len(c.Changed)+len(c.NeedsBoot)+len(c.Failed)+len(c.Notes) == 0
}

// notes are what follows for plugins and listeners that stay from what is not there after a
// change: rules have gone with their plugin, and what others may reach leads nowhere.
func notes(before, after config.Config) (list []string) {
	for _, l := range before.Listeners {
		stays := slices.ContainsFunc(after.Listeners, func(o config.Listener) bool { return o.Endpoint == l.Endpoint })
		for _, plugin := range routePlugins(l) {
			if _, there := after.Plugins[plugin]; stays && !there {
				list = append(list, fmt.Sprintf("listener %s: its rules of route for plugin %s have gone", l.Endpoint,
					plugin))
			}
		}
	}
	was := map[string]bool{}
	for _, f := range before.Absent() {
		was[f.Key+f.Found] = true
	}
	for _, f := range after.Absent() {
		if !was[f.Key+f.Found] {
			list = append(list, f.Error())
		}
	}
	return list
}

// warnAbsent tells which plugins that others may reach are not there. They may be loaded
// later.
func (h *Host) warnAbsent() {
	for _, f := range h.cfg.Absent() {
		args := []any{"setting", f.Key, "found", f.Found}
		if f.Hint != "" {
			args = append(args, "meant", f.Hint)
		}
		h.log.Warn("a plugin may reach one that is not loaded", args...)
	}
}

// routePlugins are the plugins that a listener's rules give connections to, each once.
func routePlugins(cfg config.Listener) (list []string) {
	for _, r := range cfg.Route {
		if !slices.Contains(list, r.Plugin) {
			list = append(list, r.Plugin)
		}
	}
	return list
}

// Whom is for whom the connections of a listener are, in one text for people: a plugin, or
// those of a chain, and those that its rules give connections to.
func (info ListenerInfo) Whom() string {
	var parts []string
	switch {
	case len(info.Chain) > 0:
		parts = append(parts, strings.Join(info.Chain, " → "))
	case info.Plugin != "":
		parts = append(parts, info.Plugin)
	}
	if len(info.Route) > 0 {
		parts = append(parts, "route: "+strings.Join(info.Route, ", "))
	}
	return strings.Join(parts, "; ")
}

// text is a listener as Change has it.
func (info ListenerInfo) text() string {
	if info.Plugin == "" {
		return "listener " + info.Endpoint + " for " + info.Whom()
	}
	return "listener " + info.Endpoint + " for plugin " + info.Whom()
}
