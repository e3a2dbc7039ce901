package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2/maybe"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/assets"
	"github.com/wirehost/wirehost/internal/bounded"
)

// assetTries is how often a folder is read that changes meanwhile.
const assetTries = 3

// readAssets takes the folder of a plugin's configuration as it is; nil where it has none.
func (s *sources) readAssets(ctx context.Context, cfg config.Plugin) (*assets.Set, error) {
	if cfg.Assets == "" {
		return nil, nil
	}
	open := assets.Open(assets.Limits{Files: cfg.Limits.AssetFiles, Bytes: int64(cfg.Limits.Assets)})
	for tries := 1; ; tries++ {
		set, err := s.readSet(ctx, cfg.Assets, open)
		if err == nil || tries == assetTries || !errors.Is(err, assets.ErrChanging) {
			return set, err
		}
	}
}

// readSet reads a text of assets. open opens it; nil = it is a file.
func (s *sources) readSet(ctx context.Context, path string, open func(string) (fs.File, error)) (*assets.Set, error) {
	text, err := bounded.UseOpened(ctx, &s.files, path, open, math.MaxInt64,
		func(_ fs.FileInfo, r io.Reader) ([]byte, error) { return io.ReadAll(r) })
	if err != nil {
		return nil, err
	}
	return assets.Parse(text)
}

// shareAssets has a module that is to be loaded hold the bytes that a version of the plugin
// holds, where they are the same.
func (p *plugin) shareAssets(m *module) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range p.versions() {
		if v.mod.assets != nil && v.mod.assets.Sum() == m.assets.Sum() {
			m.assets = v.mod.assets
			return
		}
	}
}

// Copies of assets lie beside those of modules, for versions that are gone back to after
// this process.

// assetsExt ends the names of the copies; before it stands the sum.
const assetsExt = ".assets"

// keepAssets copies the assets of a module that was loaded, where there is no copy.
func (h *Host) keepAssets(m *module, dir string) error {
	if m.assets == nil {
		return nil
	}
	path := filepath.Join(dir, m.assets.Sum()+assetsExt)
	if info, err := os.Stat(path); err == nil && info.Size() == int64(len(m.assets.Text())) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return maybe.WriteFile(path, m.assets.Text(), 0o600)
}

// keptAssets finds the copy of assets by their sum; "" = none.
func (h *Host) keptAssets(ctx context.Context, sum string) (*assets.Set, error) {
	dir := h.modules(false)
	switch {
	case sum == "":
		return nil, nil
	case dir == "":
		return nil, errNoCopies
	}
	path := filepath.Join(dir, sum+assetsExt)
	set, err := h.sources.readSet(ctx, path, nil)
	if err == nil && set.Sum() != sum {
		err = fmt.Errorf("%s is damaged: found sha256 %s", path, set.Sum())
	}
	return set, err
}
