package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// Kept is a version that another process had, of which the copy of its module is left
// (Options.Modules): UsePlugin loads it again. A program keeps what Host.Kept gives beside
// the pins, as JSON where it likes, and changes nothing of it.
type Kept struct {
	Version string        `json:"version"`                 // NAME@HASH
	SHA256  string        `json:"sha256"`                  // of its module
	Assets  string        `json:"assets_sha256,omitempty"` // of what its assets were; "" = it had none
	Section config.Plugin `json:"settings"`                // what it ran with
	Since   time.Time     `json:"since"`                   // it was active last since then
}

// UnmarshalJSON is as a Pin's.
func (k *Kept) UnmarshalJSON(text []byte) error {
	type plain Kept
	read := plain{Section: config.DefaultPlugin()}
	if err := decodeSettings(text, &read); err != nil {
		return err
	}
	*k = Kept(read)
	return nil
}

// is tells whether it is of a module and has its settings.
func (k *Kept) is(m *module, cfg config.Plugin) bool {
	return content{k.SHA256, k.Assets} == m.content() && sameSection(k.Section, cfg)
}

// Kept are the versions that could be gone over to if another process took this one's
// place, by plugin, the active one last: those that are loaded, those that were kept before
// this process, and those of Options.Resume whose plugins have not been loaded. Modules that
// the program carries are not among them: the next one's are its own. Any goroutine.
func (h *Host) Kept() map[string][]Kept {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := map[string][]Kept{}
	for name, list := range h.kept {
		all[name] = list
	}
	for name, p := range h.plugins {
		if list := p.keep(); len(list) > 0 {
			all[name] = list
		}
	}
	return all
}

// keep is the plugin's part of Host.Kept.
func (p *plugin) keep() []Kept {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := slices.Clone(p.kept)
	for _, v := range p.versions() {
		if v.state != StateRetired && !v.mod.carried {
			list = append(list, Kept{Version: v.name, SHA256: v.mod.sumText(), Assets: v.mod.assets.Sum(),
				Section: rooted(v.cfg), Since: v.since.Round(0)})
		}
	}
	return list
}

// takeKept are the versions that a plugin begins with, of which there is a copy.
func (h *Host) takeKept(name string) []Kept {
	h.mu.Lock()
	list := h.kept[name]
	delete(h.kept, name)
	h.mu.Unlock()
	dir := h.modules(false)
	return slices.DeleteFunc(slices.Clone(list), func(k Kept) bool {
		if len(k.SHA256) != keptSum {
			return true
		}
		_, err := os.Stat(filepath.Join(dir, k.SHA256+keptExt))
		if k.Assets != "" && err == nil {
			_, err = os.Stat(filepath.Join(dir, k.Assets+assetsExt))
		}
		return dir == "" || err != nil
	})
}

// trimKept forgets what is loaded, and the oldest of what is too much beside the versions
// that are loaded and kept. p.mu is held.
func (p *plugin) trimKept(loaded int) {
	if p.active == nil { // the host has ended
		return
	}
	before := len(p.kept)
	p.kept = slices.DeleteFunc(p.kept, func(k Kept) bool {
		return p.unloaded || slices.ContainsFunc(p.versions(), func(v *version) bool { return k.is(v.mod, v.cfg) })
	})
	if over := len(p.kept) - max(0, p.active.cfg.Keep-loaded); over > 0 {
		p.kept = slices.Delete(p.kept, 0, over)
	}
	if len(p.kept) < before {
		p.freeing.Go(p.host.sweepModules)
	}
}

// keptVersion finds a version of before this process; nil = there is none of that name.
func (p *plugin) keptVersion(name string) *Kept {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := slices.IndexFunc(p.kept, func(k Kept) bool { return k.Version == name }); at >= 0 {
		k := p.kept[at]
		return &k
	}
	return nil
}

// planKept prepares the way back to a version of before this process. It stays kept until
// it is loaded.
func (p *plugin) planKept(ctx context.Context, k *Kept) (*replacement, error) {
	defer p.host.leftovers.beginLoading()()
	m, err := p.host.keptModule(ctx, p.name, content{k.SHA256, k.Assets}, k.Section, p.host.Config().Trust)
	if err != nil {
		return nil, fmt.Errorf("version %s: %w", k.Version, err)
	}
	v, err := newVersion(ctx, p, m, k.Section)
	if err != nil {
		return nil, err
	}
	r := p.replacing(v)
	r.keepTimes(p.beginTimeline())
	r.pin = p.pinTo(ctx, v)
	r.out.Pinned = r.pin != nil
	return r, r.prepare(ctx)
}
