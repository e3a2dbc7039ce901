package host

import (
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

	"aead.dev/minisign"
)

// Copies of modules' bytes, for versions that are pinned one day: when that is asked for,
// the file that they were read from is another already.

// keptExt ends the names of the copies; before it stands the sum.
const keptExt = ".wasm"

// keeping serializes what is done to the folder: a copy that was just made must not be
// taken for one that nobody needs.
type keeping struct{ mu sync.Mutex }

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

// keepModule copies a module that was loaded. Where that fails, a version that is pinned
// ends with the process.
func (h *Host) keepModule(ctx context.Context, m *module, open opener) {
	h.keeping.mu.Lock()
	defer h.keeping.mu.Unlock()
	dir := h.modules(true)
	if dir == "" || strings.HasPrefix(m.from, builtinPrefix) {
		return
	}
	path := filepath.Join(dir, m.sumText()+keptExt)
	if info, err := os.Stat(path); err == nil && info.Size() == m.size {
		return
	}
	if err := copyModule(ctx, m, open, path); err != nil && ctx.Err() == nil {
		h.log.Warn("no copy of the module can be kept: pinned, it would be forgotten with the process",
			"plugin", m.plugin, "err", err)
	}
}

// copyModule writes a module's bytes to a file, all of them or none.
func copyModule(ctx context.Context, m *module, open opener, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	from, err := open(ctx)
	if err != nil {
		return err
	}
	defer from.Close() // it was only read
	to, err := os.CreateTemp(filepath.Dir(path), ".*"+keptExt)
	if err != nil {
		return err
	}
	defer os.Remove(to.Name()) // it has another name, or is not wanted
	defer to.Close()           // what it says was heard before
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(to, sum), io.LimitReader(from, m.size+1)); err != nil {
		return err
	}
	if found := hex.EncodeToString(sum.Sum(nil)); found != m.sumText() {
		return fmt.Errorf("found sha256 %s, wanted %s: it has changed again", found, m.sumText())
	}
	if err := to.Close(); err != nil {
		return err
	}
	return os.Rename(to.Name(), path)
}

// keptModule finds the copy of a module.
func (h *Host) keptModule(ctx context.Context, plugin string, pin Pin) (*module, error) {
	dir := h.modules(false)
	if dir == "" {
		return nil, errors.New("found no folder where copies of modules are kept (state.dir)")
	}
	m := &module{plugin: plugin, from: filepath.Join(dir, pin.SHA256+keptExt)}
	if err := h.sources.addUpFile(ctx, m, int64(pin.Section.Limits.Module), nil); err != nil {
		return nil, err
	}
	if m.sumText() != pin.SHA256 {
		return nil, fmt.Errorf("%s is damaged: found sha256 %s", m.from, m.sumText())
	}
	if pin.Signer != "" { // that was checked before the copy was made
		m.signer = new(minisign.PublicKey)
		if err := m.signer.UnmarshalText([]byte(pin.Signer)); err != nil {
			return nil, fmt.Errorf("the pin's signer: %w", err)
		}
	}
	return m, nil
}

// sweepModules removes the copies that no version has, and no pin.
func (h *Host) sweepModules() {
	h.keeping.mu.Lock()
	defer h.keeping.mu.Unlock()
	dir := h.modules(true)
	if dir == "" {
		return
	}
	wanted := map[string]bool{}
	for _, pin := range h.Pins() {
		wanted[pin.SHA256] = true
	}
	for _, p := range h.all() {
		p.mu.Lock()
		for _, v := range p.listed() {
			wanted[v.mod.sumText()] = true
		}
		p.mu.Unlock()
	}
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.log.Warn("copies of modules that nobody needs stay", "err", err)
	}
	for _, e := range list {
		sum, is := strings.CutSuffix(e.Name(), keptExt)
		if !is || wanted[sum] || len(sum) != 2*sha256.Size {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			h.log.Warn("a copy of a module that nobody needs stays", "err", err)
		}
	}
}
