package host

import (
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host/config"
)

// inFront is a configuration of plugins in front of others: by a chain, by rules, and by what
// they may reach.
func inFront(t testing.TB) config.Config {
	t.Helper()
	cfg := routing(t, "tcp://127.0.0.1:0")
	front := tagged(t, "front", config.IsolationLoop)
	front.Allow.Connect = []string{"plugin://one", "plugin://web", "tcp://127.0.0.1:1", "plugin://*"}
	front.Allow.HandOver = []string{"ssh", "web"}
	cfg.Plugins["front"] = front
	cfg.Listeners = append(cfg.Listeners,
		config.Listener{Endpoint: "tcp://127.0.0.1:0", Chain: []string{"front", "one"}})
	return cfg
}

// TestWhomListenersAreFor: chains and rules are shown whole, at the start and later.
func TestWhomListenersAreFor(t *testing.T) {
	s := serve(t, inFront(t))
	want := []string{"guest; route: one, two, ssh, web, key", "front → one"}
	for n, info := range s.ListenerInfos() {
		if info.Whom() != want[n] {
			t.Errorf("found %q, wanted %q", info.Whom(), want[n])
		}
	}
	for n, line := range s.logs.all("listening") {
		if line["plugin"] != want[n] {
			t.Errorf("found the line %v, wanted %q", line, want[n])
		}
	}
	alone := listener{cfg: config.Listener{Route: []config.Route{{Plugin: "a"}, {Plugin: "b"}, {Plugin: "a"}}}}
	if got := (ListenerInfo{Endpoint: "tcp://:1", Route: routePlugins(alone.cfg)}).text(); got !=
		"listener tcp://:1 for route: a, b" {
		t.Errorf("found %q", got)
	}
}

// TestUnloadTellsWhatLeadsNowhere: rules that have gone, and plugins in front; what is loaded
// later is reached as before.
func TestUnloadTellsWhatLeadsNowhere(t *testing.T) {
	s := serve(t, inFront(t))
	if lines := s.logs.all("a plugin may reach one that is not loaded"); len(lines) > 0 {
		t.Errorf("found %v", lines)
	}
	change, err := s.UnloadPlugin(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	at := "listener " + s.cfg.Listeners[0].Endpoint
	want := []string{at + ": its rules of route for plugin web have gone",
		`plugins.front.allow.connect.1: found plugin://web, wanted a plugin that is there (front, guest, key, one, ` +
			`ssh, two)`,
		`plugins.front.allow.hand_over.1: found web, wanted a plugin that is there (front, guest, key, one, ssh, two)`}
	if !slices.Equal(change.Notes, want) {
		t.Errorf("found %q, wanted %q", change.Notes, want)
	}
	lines := change.Lines()
	for _, note := range want {
		if !slices.Contains(lines, "note: "+note) {
			t.Errorf("found the lines %q, wanted %q", lines, note)
		}
		if line := s.logs.all("configuration is active"); !strings.Contains(line[0]["change"].(string), note) {
			t.Errorf("found the log %v, wanted %q", line, note)
		}
	}
	if change, err = s.UnloadPlugin(t.Context(), "two"); err != nil || len(change.Notes) != 1 {
		t.Errorf("found %q, %v, wanted what this change is about alone", change.Notes, err)
	}
	if _, err := s.LoadPlugin(t.Context(), "web", tagged(t, "web", config.IsolationLoop)); err != nil {
		t.Fatal(err)
	}
	if may := s.cfg.Plugins["front"].Allow.HandOver; !slices.Contains(may, "web") {
		t.Errorf("found %q, wanted web to be reached again", may)
	}
}

// TestAbsentIsTold: a plugin may reach one that is loaded later, so it is no fault, and is told.
func TestAbsentIsTold(t *testing.T) {
	cfg := inFront(t)
	delete(cfg.Plugins, "web")
	cfg.Listeners = cfg.Listeners[1:]
	cfg.Plugins["wab"] = tagged(t, "wab", config.IsolationLoop)
	const told = "a plugin may reach one that is not loaded"
	s := serve(t, cfg)
	lines := s.logs.all(told)
	if len(lines) != 2 || lines[0]["setting"] != "plugins.front.allow.connect.1" ||
		lines[0]["found"] != "plugin://web" || lines[0]["meant"] != "wab" {
		t.Errorf("found %v", lines)
	}
	l := &logs{more: make(chan struct{})}
	o := Options{Logger: hclog.New(&hclog.LoggerOptions{Output: l, JSONFormat: true})}
	if err := Validate(t.Context(), cfg, o); err != nil || len(l.all(told)) != 2 {
		t.Errorf("found %v, %v", l.all(told), err)
	}
}

// TestChangeLines: of a reload that changes little, little is told.
func TestChangeLines(t *testing.T) {
	same := func(name string) Outcome { return Outcome{Plugin: name, Version: name + "@1", Unchanged: true} }
	pinned := Outcome{Plugin: "p", Version: "p@1", Unchanged: true, Pinned: true}
	for want, c := range map[string]Change{
		"nothing has changed": {Plugins: []Outcome{same("a"), same("b")}},
		"plugin p@1 is unchanged: it is pinned; nothing has changed": {Plugins: []Outcome{same("a"), pinned}},
		"added plugin c; 2 plugins are unchanged": {Plugins: []Outcome{same("a"), same("b")},
			Added: []string{"plugin c"}},
		"plugin b@2 is active; 1 plugin is unchanged": {Plugins: []Outcome{same("a"), {Version: "b@2"}}},
		"not taken over: x; 1 plugin is unchanged":    {Plugins: []Outcome{same("a")}, Failed: []string{"x"}},
	} {
		if got := strings.Join(c.Lines(), "; "); got != want {
			t.Errorf("found %q, wanted %q", got, want)
		}
	}
}
