package operate

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/admin"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/lines"
)

// event is what a change of version is to the history.
func event(ctx context.Context, out host.Outcome, err error) admin.Event {
	e := admin.Event{At: time.Now().Round(0), Outcome: "active", Version: out.Version, Previous: out.Previous,
		Pinned: out.Pinned, By: host.ByOf(ctx).String()}
	if err != nil {
		e.Outcome, e.Detail = "refused", shortText(err)
	} else if _, what, ok := strings.Cut(out.String(), "; "); ok {
		e.Detail = what
	}
	return e
}

// maxDetail is how many bytes of an error the history keeps.
const maxDetail = 1 << 10

// shortText is an error on one line.
func shortText(err error) string {
	text := strings.Join(lines.Of(err), "; ")
	if len(text) > maxDetail {
		text = strings.ToValidUTF8(text[:maxDetail], "") + "…"
	}
	return text
}

// passing tells errors that are no outcome of a change: it was not tried, or given up.
func passing(err error) bool {
	return errors.Is(err, host.ErrChanging) || errors.Is(err, host.ErrUnknown) || errors.Is(err, host.ErrNotRunning) ||
		errors.Is(err, host.ErrLoaded) || errors.Is(err, context.Canceled)
}

// remember adds what happened to plugins to the history, and writes the state: pins may
// have changed with it.
func (s *Server) remember(events map[string]admin.Event) {
	s.keep.mu.Lock()
	defer s.keep.mu.Unlock()
	for name, e := range events {
		s.keep.note(name, e)
	}
	pins := s.Host.Pins()
	if err := s.keep.write(pins, s.Kept()); err != nil &&
		(len(pins) > 0 || len(s.keep.state.Saved)+len(s.keep.state.Removed) > 0) {
		s.log.Warn("the state is not kept: what is pinned or saved ends with this process", "err", err)
	}
}

// changedVersion remembers a change of a plugin's version.
func (s *Server) changedVersion(ctx context.Context, name string, out host.Outcome, err error) {
	if passing(err) || err == nil && out.Unchanged {
		return
	}
	s.remember(map[string]admin.Event{name: event(ctx, out, err)})
}

// ReloadPlugin reads a plugin's module again, and goes over to it where it has changed, or
// force is set. A plugin that is pinned stays so while its module is the same. See
// host.Host.ReloadPlugin.
func (s *Server) ReloadPlugin(ctx context.Context, name string, force bool) (host.Outcome, error) {
	out, err := s.Host.ReloadPlugin(ctx, name, force)
	s.changedVersion(ctx, name, out, err)
	return out, err
}

// UsePlugin goes back to a version that is still loaded, and pins it: it stays active until
// the module's bytes change, or UnpinPlugin, also over a restart. See host.Host.UsePlugin.
func (s *Server) UsePlugin(ctx context.Context, version string) (host.Outcome, error) {
	out, err := s.Host.UsePlugin(ctx, version)
	name, _, _ := strings.Cut(version, "@")
	s.changedVersion(ctx, name, out, err)
	s.rewatch()
	return out, err
}

// UnpinPlugin ends a plugin's pin, and goes over to its configured module. See
// host.Host.UnpinPlugin.
func (s *Server) UnpinPlugin(ctx context.Context, name string) (host.Outcome, error) {
	out, err := s.Host.UnpinPlugin(ctx, name)
	if err == nil && out.Unchanged {
		s.remember(nil) // the pin has gone
	}
	s.changedVersion(ctx, name, out, err)
	s.rewatch()
	return out, err
}

// LoadPlugin adds a plugin at run time, with listeners where there are any, and has its
// module's file watched. See host.Host.LoadPlugin.
func (s *Server) LoadPlugin(ctx context.Context, name string, cfg config.Plugin,
	listeners ...config.Listener) (host.Change, error) {
	change, err := s.Host.LoadPlugin(ctx, name, cfg, listeners...)
	s.rewatch()
	if err == nil {
		s.remember(map[string]admin.Event{name: s.loadedEvent(ctx, "loaded", name)})
	}
	return change, err
}

// loadedEvent is that of a plugin that is there.
func (s *Server) loadedEvent(ctx context.Context, outcome, name string) admin.Event {
	e := admin.Event{At: time.Now().Round(0), Outcome: outcome, By: host.ByOf(ctx).String()}
	if info, err := s.Plugin(name); err == nil {
		e.Version = info.Active
	}
	_, e.Pinned = s.Host.Pins()[name]
	return e
}

// UnloadPlugin removes a plugin and its listeners at run time, and ends the watch of its
// module's file. Its connections drain.
func (s *Server) UnloadPlugin(ctx context.Context, name string) (host.Change, error) {
	before := s.loadedEvent(ctx, "unloaded", name)
	change, err := s.Host.UnloadPlugin(ctx, name)
	s.rewatch()
	if err == nil {
		before.Version, before.Previous, before.Pinned = "", before.Version, false
		s.remember(map[string]admin.Event{name: before})
	}
	return change, err
}

// reloadedEvents are what a reload of the configuration has done to plugins.
func (s *Server) reloadedEvents(ctx context.Context, change host.Change, err error) map[string]admin.Event {
	events := map[string]admin.Event{}
	for _, out := range change.Plugins {
		if !out.Unchanged {
			events[out.Plugin] = event(ctx, out, nil)
		}
	}
	for _, what := range change.Added {
		if name, is := strings.CutPrefix(what, "plugin "); is {
			events[name] = s.loadedEvent(ctx, "loaded", name)
		}
	}
	for _, what := range change.Removed {
		if name, is := strings.CutPrefix(what, "plugin "); is {
			events[name] = admin.Event{At: time.Now().Round(0), Outcome: "unloaded", By: host.ByOf(ctx).String()}
		}
	}
	if bad := (*host.LoadError)(nil); errors.As(err, &bad) {
		events[bad.Plugin] = event(ctx, host.Outcome{}, bad)
	}
	return events
}

// History tells what became of a plugin, the last change first. One that is not loaded has
// one too, as long as it is remembered; the error is host.ErrUnknown.
func (s *Server) History(name string) ([]admin.Event, error) {
	s.keep.mu.Lock()
	list := slices.Clone(s.keep.state.History[name])
	s.keep.mu.Unlock()
	if _, err := s.Plugin(name); err != nil && len(list) == 0 {
		return nil, err
	}
	slices.Reverse(list)
	return list, nil
}

// CanSave says why nothing outlives this process; nil = it does.
func (s *Server) CanSave() error { return s.keep.canSave() }

// SavePlugin has a plugin be there, as it runs now, after reloads of the configuration and
// restarts, or where it was unloaded not be there: as long as the configuration, which is
// left as it is, does not have one of that name that it had not.
func (s *Server) SavePlugin(name string) error {
	if err := s.keep.canSave(); err != nil {
		return err
	}
	running := s.Config()
	s.keep.mu.Lock()
	defer s.keep.mu.Unlock()
	s.keep.state.save(name, running, s.keep.base)
	return s.keep.write(s.Pins(), s.Kept())
}

// applySaved is a configuration that was read, with what was saved, and a function to call
// when it is active.
func (s *Server) applySaved(cfg config.Config) (config.Config, func()) {
	running := s.Config()
	s.keep.mu.Lock()
	defer s.keep.mu.Unlock()
	st := s.keep.state
	st.Saved, st.Removed = maps.Clone(st.Saved), maps.Clone(st.Removed)
	with, notes := st.apply(cfg, func(name string) bool { _, there := running.Plugins[name]; return there })
	return with, func() {
		for _, n := range notes {
			s.log.Warn(n)
		}
		s.keep.mu.Lock()
		defer s.keep.mu.Unlock()
		s.keep.state.Saved, s.keep.state.Removed, s.keep.base = st.Saved, st.Removed, cfg.WithDefaults()
	}
}

// loadSaved loads the plugins that were saved and are not there. What can't be loaded is
// told, and tried again at the next reload of the configuration.
func (s *Server) loadSaved(ctx context.Context) (events map[string]admin.Event, failed []string) {
	events = map[string]admin.Event{}
	s.keep.mu.Lock()
	all := maps.Clone(s.keep.state.Saved)
	s.keep.state.Loaded, s.keep.state.Unloaded = nil, nil
	s.keep.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if _, there := s.Config().Plugins[name]; there {
			continue
		}
		_, err := s.Host.LoadPlugin(ctx, name, all[name].Plugin, all[name].Listeners...)
		if err != nil && ctx.Err() == nil {
			lines.Log(s.log.With("plugin", name),
				"a plugin that was saved can't be loaded; the next reload tries again", err)
			failed = append(failed, lines.Of(err)...)
		}
		if err == nil {
			events[name] = s.loadedEvent(ctx, "loaded", name)
		}
	}
	return events, failed
}

// begun remembers what a start has made active.
func (s *Server) begun() {
	events := map[string]admin.Event{}
	ctx := host.WithBy(context.Background(), host.By{Trigger: "start"})
	for name := range s.Config().Plugins {
		events[name] = s.loadedEvent(ctx, "started", name)
	}
	s.remember(events)
}
