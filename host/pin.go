package host

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// Pin holds a plugin at a version that an administrator went back to, until the bytes of
// the module or of the assets that its configuration names change, or UnpinPlugin. Neither a reload of the
// configuration nor, by Options.Resume, another process ends it. A program keeps what
// Host.Pins gives, as JSON where it likes, and changes nothing of it.
type Pin struct {
	Version string        `json:"version"`                 // NAME@HASH
	SHA256  string        `json:"sha256"`                  // of the module that is held
	Assets  string        `json:"assets_sha256,omitempty"` // of what its assets are; "" = it has none
	Section config.Plugin `json:"settings"`                // what it runs with
	// Of is the SHA256 of the module that was configured then, and OfSection are its
	// settings: while the first is found again the pin holds, and OfAssets of the assets;
	// where the settings have changed, the new ones hold for the pinned module.
	Of        string        `json:"of"`
	OfAssets  string        `json:"of_assets_sha256,omitempty"`
	OfSection config.Plugin `json:"of_settings"`
	Since     time.Time     `json:"since"`
	By        string        `json:"by,omitempty"` // who asked for it
}

// UnmarshalJSON takes settings that are not there, since they are newer, by their
// defaults, and whole numbers of a plugin's own section as such.
func (pin *Pin) UnmarshalJSON(text []byte) error {
	type plain Pin
	read := plain{Section: config.DefaultPlugin(), OfSection: config.DefaultPlugin()}
	if err := decodeSettings(text, &read); err != nil {
		return err
	}
	*pin = Pin(read)
	return nil
}

// decodeSettings reads JSON in which a plugin's own section may have numbers that no float64
// is.
func decodeSettings(text []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(to)
}

// sameSection tells whether settings are the same to a guest, wherever they were read.
func sameSection(a, b config.Plugin) bool {
	a, b = rooted(a), rooted(b)
	if reflect.DeepEqual(a, b) {
		return true
	}
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// rooted is a section whose files are named from the root on: another process may have been
// started in another folder, or with another way to the same configuration.
func rooted(s config.Plugin) config.Plugin {
	if config.IsFile(s.Module) {
		s.Module = fromRoot(s.Module)
	}
	s.Assets = fromRoot(s.Assets)
	s.Allow.CA = fromRoot(s.Allow.CA)
	t := &s.Allow.TLS
	t.Cert, t.Key, t.ClientCA = fromRoot(t.Cert), fromRoot(t.Key), fromRoot(t.ClientCA)
	t.Certificates = slices.Clone(t.Certificates)
	for n, c := range t.Certificates {
		t.Certificates[n] = config.Certificate{Cert: fromRoot(c.Cert), Key: fromRoot(c.Key)}
	}
	return s
}

// fromRoot is path as it is where there is none, or no working folder to begin at.
func fromRoot(path string) string {
	if full, err := filepath.Abs(path); path != "" && err == nil {
		return full
	}
	return path
}

// Pins are the pins of the plugins that are loaded, and those of Options.Resume whose
// plugins have not been, by plugin. Any goroutine.
func (h *Host) Pins() map[string]Pin {
	h.mu.Lock()
	defer h.mu.Unlock()
	pins := map[string]Pin{}
	for name, pin := range h.pins {
		pins[name] = pin
	}
	for name, p := range h.plugins {
		if pin := p.currentPin(); pin != nil {
			pins[name] = *pin
		}
	}
	return pins
}

// Resumed is what administrators of the process before have changed, for a host to begin
// with.
type Resumed struct {
	// Pins are by plugin. One whose module has changed since is forgotten.
	Pins map[string]Pin
	// Kept are by plugin, the oldest first. Those that are too many, or of which there is no
	// copy, are forgotten.
	Kept map[string][]Kept
	// Config is what the configuration is to be in place of the host's, such as without a
	// plugin that was unloaded. It is valid.
	Config config.Config
}

// resume takes what Options.Resume gives.
func (h *Host) resume() {
	if h.o.Resume == nil {
		return
	}
	from := h.o.Resume()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pins, h.kept, h.cfg = maps.Clone(from.Pins), maps.Clone(from.Kept), from.Config
}

// without is a configuration without a plugin and its listeners.
func without(c config.Config, name string) config.Config {
	c.Plugins = maps.Clone(c.Plugins)
	delete(c.Plugins, name)
	c.Listeners = config.WithoutPlugin(c.Listeners, name)
	return c
}

// takePin is the pin that a plugin begins with; nil = none.
func (h *Host) takePin(name string) *Pin {
	h.mu.Lock()
	defer h.mu.Unlock()
	pin, there := h.pins[name]
	if !there {
		return nil
	}
	delete(h.pins, name)
	return &pin
}

// UnpinPlugin ends a plugin's pin, and goes over to the module that its configuration
// names. On an error the pin holds as before; it is ReloadPlugin's.
func (h *Host) UnpinPlugin(ctx context.Context, name string) (Outcome, error) {
	p, err := h.plugin(name)
	if err != nil {
		return Outcome{}, err
	}
	ctx = p.fetchAhead(ctx)
	return p.change(ctx, func(ctx context.Context) (*replacement, error) {
		return p.planConfigured(ctx, p.configured(), p.host.Config().Trust, false)
	})
}

// configured is the plugin's section of the configuration that runs. A pinned version may
// have another.
func (p *plugin) configured() config.Plugin {
	p.host.mu.Lock()
	defer p.host.mu.Unlock()
	if cfg, there := p.host.cfg.Plugins[p.name]; there {
		return cfg
	}
	return p.current().cfg
}

// currentPin is the plugin's pin, which nobody changes; nil = none.
func (p *plugin) currentPin() *Pin {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pin
}

// setPin replaces the pin; nil = none. p.changing is held, or nobody knows p yet.
func (p *plugin) setPin(pin *Pin) {
	p.mu.Lock()
	old := p.pin
	p.pin = pin
	p.mu.Unlock()
	switch {
	case pin != nil && (old == nil || old.Version != pin.Version):
		p.log.Info("pinned: it stays active until the module's bytes change, or it is unpinned", "version", pin.Version)
	case pin == nil && old != nil:
		p.log.Info("no longer pinned", "version", old.Version)
	}
}

// noteSeen keeps which bytes the configured module and its assets had when they were read
// last.
func (p *plugin) noteSeen(m *module) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = m.content()
}

// pinTo is the pin for a version that is gone back to; nil where it is the configured one.
func (p *plugin) pinTo(ctx context.Context, v *version) *Pin {
	cfg := p.configured()
	p.mu.Lock()
	defer p.mu.Unlock()
	if v.mod.content() == p.seen && sameSection(v.cfg, cfg) {
		return nil
	}
	return &Pin{Version: v.name, SHA256: v.mod.sumText(), Assets: v.mod.assets.Sum(), Section: rooted(v.cfg),
		Of: p.seen.module, OfAssets: p.seen.assets, OfSection: rooted(cfg), Since: p.host.wall().Round(0),
		By: ByOf(ctx).String()}
}

// follow is a pin under settings that may have changed since: then the new ones are the
// pinned module's.
func (pin Pin) follow(cfg config.Plugin) Pin {
	if !sameSection(cfg, pin.OfSection) {
		pin.Section, pin.OfSection = cfg, cfg
	}
	return pin
}

// planPinned prepares what a reload changes of a plugin whose pin holds: nothing, but where
// its settings have changed, or force is set.
func (p *plugin) planPinned(ctx context.Context, pin Pin, m *module, t config.Trust, force bool) (*replacement, error) {
	old := p.current()
	if err := old.mod.trusted(t); err != nil {
		return nil, fmt.Errorf("plugin %s: the pinned version %s: %w", p.name, pin.Version, err)
	}
	if !force && old.mod.content() == pin.content() && sameSection(old.cfg, pin.Section) {
		r := p.unchanged()
		r.pin, r.out.Pinned = &pin, true
		return r, nil
	}
	v, err := p.loadPinned(ctx, pin, m, t)
	if err != nil {
		return nil, err
	}
	r := p.replacing(v)
	pin.Version = v.name
	r.pin, r.out.Pinned = &pin, true
	return r, r.prepare(ctx)
}

// loadPinned makes a version of the pinned module. m is the configured one.
func (p *plugin) loadPinned(ctx context.Context, pin Pin, m *module, t config.Trust) (*version, error) {
	section, err := configJSON(pin.Section.Config)
	if err != nil {
		return nil, m.fault(err)
	}
	held := *m // where the pin is for its settings alone
	switch {
	case pin.SHA256 != m.sumText():
		kept, err := p.host.keptModule(ctx, p.name, pin.content(), pin.Section, t)
		if err != nil {
			return nil, fmt.Errorf("plugin %s: the module that %s is pinned to: %w", p.name, pin.Version, err)
		}
		held = *kept
	case pin.Assets != m.assets.Sum():
		if held.assets, err = p.host.keptAssets(ctx, pin.Assets); err != nil {
			return nil, fmt.Errorf("plugin %s: the assets that %s is pinned to: %w", p.name, pin.Version, err)
		}
	}
	held.config = section
	return newVersion(ctx, p, &held, pin.Section)
}

// loadAtStart is the version that a plugin begins with: the pinned one, where there is a
// pin that holds, or else nil. What is wrong with it is told, and is no error.
func (p *plugin) loadAtStart(ctx context.Context, m *module, cfg config.Plugin, t config.Trust) *version {
	pin := p.currentPin()
	if pin == nil {
		return nil
	}
	if !pin.of(m) {
		p.log.Info("the bytes of the module or of its assets have changed since a version was pinned")
		p.setPin(nil)
		return nil
	}
	next := pin.follow(cfg)
	v, err := p.loadPinned(ctx, next, m, t)
	if err != nil {
		if ctx.Err() == nil {
			p.log.Warn("the pinned version can't be loaded: the configured module takes its place", "err", err)
		}
		p.setPin(nil)
		return nil
	}
	next.Version = v.name
	p.setPin(&next)
	return v
}

// content is what a version's bytes are known by: SHA256, in hex.
type content struct{ module, assets string } // assets "" = none

func (m *module) content() content { return content{m.sumText(), m.assets.Sum()} }

func (pin *Pin) content() content { return content{pin.SHA256, pin.Assets} }

// of tells whether what is configured is what it was at the pin.
func (pin *Pin) of(m *module) bool { return m.content() == content{pin.Of, pin.OfAssets} }

func (m *module) sumText() string { return hex.EncodeToString(m.sum[:]) }
