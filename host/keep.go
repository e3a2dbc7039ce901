package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/google/renameio/v2/maybe"
	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host/config"
)

// Copies of modules' bytes, for versions that are gone back to after this process: by then
// the file that they were read from is another already. Beside a copy lies the signature
// that it was held against, where there was one.

const (
	// keptExt ends the names of the copies; before it stands the sum.
	keptExt = ".wasm"
	// keptSum is the length of a sum.
	keptSum = 2 * sha256.Size
)

// keeping serializes what is done to the folder: a copy that was just made must not be
// taken for one that nobody needs.
type keeping struct {
	mu     sync.Mutex
	halves map[string]bool // names of copies of what is being loaded
}

// modules is the folder of the copies, to be read or, where it is ours, changed; "" = there
// is none.
func (h *Host) modules(change bool) string {
	if h.o.Modules == nil {
		return ""
	}
	dir, ours := h.o.Modules()
	if change && !ours {
		return ""
	}
	return dir
}

// keepModule copies a module that is to be loaded, while its file has the bytes that were
// added up: compiling takes a while. The copy is kept when done is told that the module was
// loaded, and else removed. Where that fails, a version that is pinned or kept ends with the
// process. The folder may be another process's still, which this one takes over from: that
// one removes no copy then, and each gets its name when it is whole.
func (h *Host) keepModule(ctx context.Context, m *module) (done func(loaded bool)) {
	dir := h.modules(false)
	if dir == "" || m.carried && m.assets == nil {
		return func(bool) {}
	}
	h.keeping.mu.Lock()
	defer h.keeping.mu.Unlock()
	path, half, err := filepath.Join(dir, m.sumText()+keptExt), "", error(nil)
	if info, statErr := os.Stat(path); !m.carried && (statErr != nil || info.Size() != m.size) {
		if half, err = copyModule(ctx, m, dir); err == nil {
			h.keeping.halves[filepath.Base(half)] = true
		}
	}
	return func(loaded bool) {
		h.keeping.mu.Lock()
		defer h.keeping.mu.Unlock()
		delete(h.keeping.halves, filepath.Base(half))
		if loaded && err == nil {
			err = errors.Join(nameCopy(m, half, path), h.keepAssets(m, dir))
		}
		if half != "" {
			_ = os.Remove(half) // it has another name, or is not wanted
		}
		if loaded && err != nil && ctx.Err() == nil {
			h.tellUnkept(m, err)
		}
	}
}

// tellUnkept says why there is no copy of a module.
func (h *Host) tellUnkept(m *module, err error) {
	level := hclog.Warn
	if h.modules(true) == "" { // why nothing is kept is told already
		level = hclog.Debug
	}
	h.log.Log(level, "no copy of the module can be kept: nothing goes back to it after this process",
		"plugin", m.plugin, "err", err)
}

// nameCopy gives a copy its name, behind its signature; half is "" where it has it already.
func nameCopy(m *module, half, path string) error {
	if err := keepSignature(m, path+signatureSuffix); err != nil || half == "" {
		return err
	}
	return os.Rename(half, path)
}

// keepSignature writes a module's signature beside its copy, where it has another one.
func keepSignature(m *module, path string) error {
	if m.signature == nil {
		return nil
	}
	if there, err := os.ReadFile(path); err == nil && bytes.Equal(there, m.signature) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return maybe.WriteFile(path, m.signature, 0o600)
}

// copyModule writes a module's bytes to a file of no lasting name, all of them or none.
func copyModule(ctx context.Context, m *module, dir string) (name string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	from, err := m.open(ctx)
	if err != nil {
		return "", err
	}
	defer from.Close() // it was only read
	to, err := os.CreateTemp(dir, ".*"+keptExt)
	if err != nil {
		return "", err
	}
	defer func() {
		if err = errors.Join(err, to.Close()); err != nil {
			_ = os.Remove(to.Name()) // sweepModules finds what is left
			name = ""
		}
	}()
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(to, sum), io.LimitReader(from, m.size+1)); err != nil {
		return "", err
	}
	if found := hex.EncodeToString(sum.Sum(nil)); found != m.sumText() {
		return "", fmt.Errorf("found sha256 %s, wanted %s: it has changed again", found, m.sumText())
	}
	return to.Name(), nil
}

// errNoCopies is why nothing can be gone back to.
var errNoCopies = errors.New("found no folder where copies of modules are kept (state.dir)")

// keptModule finds the copy of a module by its sum, for settings that it is to run with. Where
// keys are trusted, the signature beside it must be one of theirs.
func (h *Host) keptModule(ctx context.Context, plugin string, want content, cfg config.Plugin,
	t config.Trust) (*module, error) {
	dir := h.modules(false)
	if dir == "" {
		return nil, errNoCopies
	}
	keys, err := trustedKeys(t)
	if err != nil {
		return nil, err
	}
	m := &module{plugin: plugin, from: filepath.Join(dir, want.module+keptExt), copied: true}
	if err := h.sources.addUpFile(ctx, m, int64(cfg.Limits.Module), keys); err != nil {
		return nil, err
	}
	if m.sumText() != want.module {
		return nil, fmt.Errorf("%s is damaged: found sha256 %s", m.from, m.sumText())
	}
	if m.config, err = configJSON(cfg.Config); err != nil {
		return nil, err
	}
	m.assets, err = h.keptAssets(ctx, want.assets)
	return m, err
}

// sweepModules removes the copies that no version has, no pin, and nothing that is kept.
func (h *Host) sweepModules() {
	h.keeping.mu.Lock()
	defer h.keeping.mu.Unlock()
	dir := h.modules(true)
	if dir == "" {
		return
	}
	wanted := map[string]bool{}
	for _, pin := range h.Pins() {
		wanted[pin.SHA256], wanted[pin.Assets] = true, true
	}
	plugins := h.all()
	h.mu.Lock()
	plugins = append(plugins, h.coming...)
	h.mu.Unlock()
	for _, p := range plugins {
		p.mu.Lock()
		for _, v := range p.listed() {
			wanted[v.mod.sumText()], wanted[v.mod.assets.Sum()] = true, true
		}
		p.mu.Unlock()
	}
	for _, list := range h.Kept() {
		for _, k := range list {
			wanted[k.SHA256], wanted[k.Assets] = true, true
		}
	}
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.log.Warn("copies of modules that nobody needs stay", "err", err)
	}
	for _, e := range list {
		sum, is := strings.CutSuffix(strings.TrimSuffix(e.Name(), signatureSuffix), keptExt)
		if !is {
			sum, _, is = strings.Cut(e.Name(), assetsExt) // what has not got its name yet ends in a number
		}
		half := strings.HasPrefix(e.Name(), ".") && !h.keeping.halves[e.Name()] // of a process that has ended
		if !is || wanted[sum] || len(sum) != keptSum && !half {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			h.log.Warn("a copy of a module that nobody needs stays", "err", err)
		}
	}
}
