package operate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/admin"
	"github.com/wirehost/wirehost/host/config"
)

// state is what a server knows beyond its configuration, by administrators' changes. The
// file in state.dir has what is to outlive the process; exportState gives all of it to a
// process that takes this one's place.
type state struct {
	Format  int                      `json:"format"`
	Server  string                   `json:"server"`            // its administration endpoint
	Pins    map[string]host.Pin      `json:"pins,omitempty"`    // by plugin
	Kept    map[string][]host.Kept   `json:"kept,omitempty"`    // versions to go back to, by plugin
	Saved   map[string]section       `json:"saved,omitempty"`   // plugins loaded with --save, by name
	Removed map[string]bool          `json:"removed,omitempty"` // plugins of the configuration, unloaded with --save
	History map[string][]admin.Event `json:"history,omitempty"` // by plugin, the oldest first

	// Of plugins that were loaded and unloaded to stay so until the next reload of the
	// configuration: in no file.
	Loaded   map[string]section `json:"loaded,omitempty"`
	Unloaded []string           `json:"unloaded,omitempty"`
}

// stateFormat is the number of the file's layout.
const stateFormat = 1

// section is a plugin with its listeners, as it was loaded.
type section struct {
	Plugin    config.Plugin     `json:"plugin"`
	Listeners []config.Listener `json:"listeners,omitempty"`
}

// UnmarshalJSON takes settings that are not there, since they are newer, by their defaults.
func (s *section) UnmarshalJSON(text []byte) error {
	type plain section
	read := plain{Plugin: config.DefaultPlugin()}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber() // of the plugin's own section: a large one stays what it is
	if err := d.Decode(&read); err != nil {
		return err
	}
	*s = section(read)
	return nil
}

// sectionIn is a plugin's section of a configuration, and whether it has one.
func sectionIn(c config.Config, name string) (section, bool) {
	p, there := c.Plugins[name]
	s := section{Plugin: p}
	for _, l := range c.Listeners {
		if l.First() == name {
			s.Listeners = append(s.Listeners, l)
		}
	}
	return s, there
}

// newState is the state of a server that nobody has changed.
func newState() state {
	return state{Format: stateFormat, Pins: map[string]host.Pin{}, Saved: map[string]section{},
		Removed: map[string]bool{}, History: map[string][]admin.Event{}}
}

// parseState reads what a state was written as.
func parseState(text []byte) (state, error) {
	s := newState()
	s.Format = 0
	if err := json.Unmarshal(text, &s); err != nil {
		return state{}, err
	}
	if s.Format != stateFormat {
		return state{}, fmt.Errorf("found the format %d, wanted %d", s.Format, stateFormat)
	}
	if s.Pins == nil || s.Saved == nil || s.Removed == nil || s.History == nil {
		return state{}, errors.New("found null, wanted an object, or nothing")
	}
	return s, nil
}

// apply is a configuration with the changes that were saved, and what is to be told of
// them. A saved plugin that is not there is left out, for the host to load by itself: what
// is wrong with it is to stop nothing else.
func (s *state) apply(c config.Config, there func(name string) bool) (_ config.Config, notes []string) {
	for _, name := range slices.Sorted(maps.Keys(s.Removed)) {
		if _, configured := c.Plugins[name]; !configured {
			delete(s.Removed, name)
			continue
		}
		c = withoutPlugin(c, name)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Saved)) {
		if _, configured := c.Plugins[name]; configured {
			notes = append(notes, "plugin "+name+" is in the configuration now: what was saved of it is forgotten")
			delete(s.Saved, name)
			continue
		}
		if !there(name) {
			continue
		}
		if taken := takenBy(c, s.Saved[name]); taken != "" {
			notes = append(notes, "plugin "+name+", which was saved, is left out: the configuration listens on "+taken)
			continue
		}
		c = withPlugin(c, name, s.Saved[name])
	}
	return c, notes
}

// takenBy is the endpoint of a section that the configuration has too; "" = none.
func takenBy(c config.Config, s section) string {
	for _, l := range s.Listeners {
		if slices.ContainsFunc(c.Listeners, func(o config.Listener) bool { return o.Endpoint == l.Endpoint }) {
			return l.Endpoint
		}
	}
	return ""
}

func withPlugin(c config.Config, name string, s section) config.Config {
	c.Plugins = maps.Clone(c.Plugins)
	if c.Plugins == nil {
		c.Plugins = map[string]config.Plugin{}
	}
	c.Plugins[name] = s.Plugin
	c.Listeners = append(slices.Clip(c.Listeners), s.Listeners...)
	return c
}

func withoutPlugin(c config.Config, name string) config.Config {
	c.Plugins = maps.Clone(c.Plugins)
	delete(c.Plugins, name)
	c.Listeners = config.WithoutPlugin(c.Listeners, name)
	return c
}

// save notes that a plugin is to stay as it runs, or does not: running and configured are
// the configurations that run and that was read.
func (s *state) save(name string, running, configured config.Config) {
	now, runs := sectionIn(running, name)
	then, is := sectionIn(configured, name)
	delete(s.Saved, name)
	delete(s.Removed, name)
	if runs && is && reflect.DeepEqual(now, then) {
		return // as it is configured
	}
	if is {
		s.Removed[name] = true
	}
	if runs {
		s.Saved[name] = now
	}
}

// exportState is what a process that takes this one's place is to go on with: beside what
// the file has, plugins that were loaded and unloaded to stay so until the next reload.
// Any goroutine.
func (s *Server) exportState() ([]byte, error) {
	s.keep.mu.Lock()
	defer s.keep.mu.Unlock()
	st := s.keep.state
	st.Pins, st.Kept = s.Host.Pins(), s.Host.Kept()
	running := s.Config()
	base, _ := st.apply(s.keep.base, func(string) bool { return true })
	st.Loaded = map[string]section{}
	for name := range running.Plugins {
		now, _ := sectionIn(running, name)
		if then, is := sectionIn(base, name); !is || !reflect.DeepEqual(now, then) {
			st.Loaded[name] = now
		}
	}
	for name := range base.Plugins {
		_, runs := running.Plugins[name]
		if _, other := st.Loaded[name]; !runs || other {
			st.Unloaded = append(st.Unloaded, name)
		}
	}
	return json.Marshal(st)
}

// importState has a server begin with what another's exportState gave, in place of what its
// file has. Its host has not started.
func (s *Server) importState(text []byte) error {
	st, err := parseState(text)
	if err != nil {
		return fmt.Errorf("operate: the state of the process before: %w", err)
	}
	s.keep.mu.Lock()
	defer s.keep.mu.Unlock()
	s.keep.state, s.keep.imported = st, true
	return nil
}
