package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/changes"
)

// served is what dev serves. The zero value is nothing.
type served struct {
	host *host.Host
	cfg  config.Config
}

// take serves what was built: a host begins, or the one that runs takes the
// modules or the configuration that have changed.
func (d *dev) take(ctx context.Context) error {
	cfg, err := d.configuration(ctx)
	if err != nil {
		return err
	}
	if err := d.written(cfg); err != nil {
		return err
	}
	switch {
	case d.host == nil:
		return d.start(ctx, cfg)
	case !reflect.DeepEqual(cfg, d.cfg):
		change, err := d.host.Reload(ctx, cfg)
		if err != nil {
			return err
		}
		d.cfg = cfg
		for _, line := range change.Lines() {
			d.say("%s", line)
		}
		return nil
	}
	return d.reload(ctx)
}

// start makes the host.
func (d *dev) start(ctx context.Context, cfg config.Config) error {
	o := d.options()
	o.Logger = d.logger(cfg.Log)
	if d.trace {
		o.Trace = moduleNames(cfg)
	}
	h, err := host.New(cfg, o)
	if err != nil {
		return err
	}
	if err := h.Start(ctx); err != nil {
		return err
	}
	d.host, d.cfg = h, cfg
	for n, ep := range h.Listeners() {
		d.say("serving %s on %s; try it: %s", cfg.Listeners[n].Plugin, ep, connectWith(ep, ""))
	}
	return nil
}

// reload has each plugin take its module anew.
func (d *dev) reload(ctx context.Context) error {
	var errs []error
	for _, name := range moduleNames(d.cfg) {
		var out host.Outcome
		err := changes.Patiently(ctx, changes.Wait, func() (err error) {
			out, err = d.host.ReloadPlugin(ctx, name, false)
			return err
		})
		switch {
		case err != nil:
			errs = append(errs, err)
		case out.Unchanged:
			d.say("%s is what it was: %s runs on", d.cfg.Plugins[name].Module, out.Version)
		default:
			d.say("%s", out)
		}
	}
	return errors.Join(errs...)
}

// running names the versions that run; "" where none does.
func (d *dev) running() string {
	if d.host == nil {
		return ""
	}
	list, err := d.host.Plugins()
	if err != nil {
		return ""
	}
	var names []string
	for _, p := range list {
		if p.State != host.StateUnloading {
			names = append(names, p.Active)
		}
	}
	return strings.Join(names, ", ")
}

// configuration is that of --config, of the project, or one for its only module.
// No file is watched by the host: a module that is being built is not to be
// loaded.
func (d *dev) configuration(ctx context.Context) (config.Config, error) {
	a := *d.app
	if a.file == "" {
		file := d.inDir(projectConfig)
		switch _, err := os.Stat(file); {
		case err == nil:
			a.file = file
		case !errors.Is(err, fs.ErrNotExist):
			return config.Config{}, err
		}
	}
	cfg, err := a.load(ctx)
	if err != nil {
		return cfg, err
	}
	if a.file == "" {
		if err := d.generate(&cfg); err != nil {
			return cfg, err
		}
	}
	for name, p := range cfg.Plugins {
		p.Watch = false
		cfg.Plugins[name] = p
	}
	return cfg, nil
}

// generate has cfg serve the only module in the project's folder.
func (d *dev) generate(cfg *config.Config) error {
	modules, err := filepath.Glob(filepath.Join(globbed(d.build.dir), "*.wasm"))
	if err != nil {
		return err
	}
	switch len(modules) {
	case 0:
		return fmt.Errorf("%s: %s ended well, but there is no .wasm in the folder", d.build.dir, d.build)
	case 1:
	default:
		return fmt.Errorf("%s: found %s, wanted one .wasm, or a %s that says which to serve", d.build.dir,
			strings.Join(modules, " and "), projectConfig)
	}
	name := strings.TrimSuffix(filepath.Base(modules[0]), ".wasm")
	if !projectName.MatchString(name) {
		name = "plugin"
	}
	p := config.DefaultPlugin()
	p.Module = modules[0]
	cfg.Plugins = map[string]config.Plugin{name: p}
	cfg.Listeners = []config.Listener{{Endpoint: d.listen, Plugin: name}}
	return nil
}

// globbed is a path that means itself in a pattern.
func globbed(path string) string {
	return strings.NewReplacer(`*`, `[*]`, `?`, `[?]`, `[`, `[[]`).Replace(path)
}

// written checks that the modules are there.
func (d *dev) written(cfg config.Config) error {
	var errs []error
	for _, name := range moduleNames(cfg) {
		file := cfg.Plugins[name].Module
		if !config.IsFile(file) {
			continue
		}
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("%s ended well, but wrote no %s", d.build, file))
		}
	}
	return errors.Join(errs...)
}

// moduleNames are the plugins whose modules are files, or that have assets, in order.
func moduleNames(cfg config.Config) []string {
	var names []string
	for name, p := range cfg.Plugins {
		if config.IsFile(p.Module) || p.Assets != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
