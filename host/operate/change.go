package operate

import (
	"context"
	"errors"
	"maps"
	"strings"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/assets"
	"github.com/wirehost/wirehost/internal/changes"
	"github.com/wirehost/wirehost/internal/lines"
	"github.com/wirehost/wirehost/internal/watch"
)

// Reload reads the configuration again, and goes over to it and to the modules
// that it names: all of it, or where there is an error, which the log has too,
// nothing. It waits while another change is under way. ctx ends it.
func (s *Server) Reload(ctx context.Context) (host.Change, error) {
	var change host.Change
	err := changes.Patiently(ctx, changes.Wait, func() (err error) {
		change, err = s.reload(ctx)
		return err
	})
	if ctx.Err() != nil {
		return change, err
	}
	s.metrics.Configured("signal", change, err)
	if err != nil {
		lines.Log(s.log.With(host.ByOf(ctx).LogArgs()...), "reload failed; what ran before runs on", err)
	}
	return change, err
}

func (s *Server) reload(ctx context.Context) (host.Change, error) {
	s.notifyReloading()
	change, err := s.reloadNow(ctx)
	switch {
	case s.ending.Load(): // that was told, and is not taken back
	case err != nil:
		s.notifyReady("serving; the last reload failed")
	case len(change.Failed) > 0:
		s.notifyReady("serving; a part of the last reload failed")
	default:
		s.notifyReady("serving")
	}
	return change, err
}

// reloadNow is reload, of which nobody is told.
func (s *Server) reloadNow(ctx context.Context) (host.Change, error) {
	was, notReopened := s.Config().AccessLog, s.access.reopen()
	cfg, err := s.load(ctx)
	if err != nil {
		return host.Change{}, errors.Join(err, notReopened)
	}
	with, active := s.applySaved(cfg)
	change, err := s.Host.Reload(ctx, with)
	if err != nil {
		if !passing(err) {
			s.remember(s.reloadedEvents(ctx, change, err))
		}
		return change, err
	}
	s.noteOrigins()
	active()
	now := s.Config() // with defaults
	if now.AccessLog != was {
		notReopened = nil // it is another now
	}
	saved, failed := s.loadSaved(ctx)
	change.Failed = append(change.Failed, failed...)
	for _, err := range []error{notReopened, s.observe(now)} {
		if err != nil {
			s.log.Warn("a part of the configuration is not taken over; what was there before stays", "err", err)
			change.Failed = append(change.Failed, lines.Of(err)...)
		}
	}
	maps.Copy(saved, s.reloadedEvents(ctx, change, nil))
	s.remember(saved)
	if s.o.Reloaded != nil {
		s.o.Reloaded(cfg)
	}
	s.log.Debug("reloaded", "log_level", cfg.Log.Level) // the host has logged what changed
	s.rewatch()
	return change, nil
}

// origins are what Options.Origins says.
type origins struct {
	file     string
	settings map[string]string
}

// noteOrigins keeps where the settings of the configuration that runs were said.
func (s *Server) noteOrigins() {
	var o origins
	if s.o.Origins != nil {
		o.file, o.settings = s.o.Origins()
	}
	s.origins.Store(&o)
}

// beginWatching watches the modules' files. The host runs.
func (s *Server) beginWatching() {
	w, err := watch.New(watch.Options{Changed: s.changed, Logger: s.log.Named("watch")})
	if err != nil {
		s.log.Warn("changes of plugins' files are not noticed", "err", err)
	}
	s.mu.Lock()
	ending := s.ending.Load()
	if !ending {
		s.watcher = w
	}
	s.mu.Unlock()
	if ending && w != nil {
		_ = w.Close() // it watches nothing yet
	}
	s.rewatch()
}

// What ends the names that a module's signature and a plugin's assets are watched under. No
// plugin has them.
const (
	besideMark = "/signature"
	assetsMark = "/assets"
)

// rewatch watches the files and folders of the plugins that run and want that, and the files
// of certificates.
func (s *Server) rewatch() {
	files, pins, cfg := map[string]watch.File{}, s.Host.Pins(), s.Config()
	for name, p := range cfg.Plugins {
		if !p.Watch {
			continue
		}
		f, folder := watch.File{Path: p.Module}, watch.File{Path: p.Assets,
			Folder: &assets.Limits{Files: p.Limits.AssetFiles, Bytes: int64(p.Limits.Assets)}}
		if info, err := s.Plugin(name); err == nil && len(info.Versions) > 0 { // else what is there now is taken for it
			f.SHA256, folder.SHA256 = info.Versions[0].SHA256, info.Versions[0].Assets // the active one's
		}
		if pin, pinned := pins[name]; pinned {
			f.SHA256, folder.SHA256 = pin.Of, pin.OfAssets // those that wait
		}
		if p.Assets != "" {
			files[name+assetsMark] = folder
		}
		if !config.IsFile(p.Module) {
			continue
		}
		files[name] = f
		if len(cfg.Trust.Keys) > 0 { // it may come after its module
			files[name+besideMark] = watch.File{Path: p.Module + ".minisig"}
		}
	}
	s.addCredentials(files)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watcher == nil {
		return
	}
	if err := s.watcher.Set(files); err != nil {
		lines.Log(s.log, "changes of some files are not noticed", err)
	}
}

// changed goes over to a plugin's file that has changed. false: later again.
func (s *Server) changed(name string) (done bool) {
	if path, ok := strings.CutPrefix(name, credential); ok {
		return s.changedCredential(path)
	}
	name = strings.TrimSuffix(strings.TrimSuffix(name, besideMark), assetsMark)
	out, err := s.ReloadPlugin(host.WithBy(s.ctx, host.By{Trigger: "watch"}), name, false)
	if errors.Is(err, host.ErrChanging) {
		return false
	}
	s.metrics.Changed("file", name, out, err)
	switch {
	case err == nil: // the host has logged what it did
	case s.ctx.Err() != nil, errors.Is(err, host.ErrUnknown), errors.Is(err, host.ErrNotRunning): // it has ended
	default:
		lines.Log(s.log.With("plugin", name, "by", "watch"), "the changed module is refused; what ran before runs on",
			err)
	}
	return true
}
