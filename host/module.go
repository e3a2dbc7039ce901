package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"aead.dev/minisign"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/internal/assets"
	"github.com/wirehost/wirehost/internal/bounded"
)

// builtinPrefix begins the modules that the command carries.
const builtinPrefix = "builtin:"

func isBuiltin(module string) bool { return strings.HasPrefix(module, builtinPrefix) }

// module is a module whose bytes are known, by their sum. Nobody decodes them here: the
// compiler does, once.
type module struct {
	plugin string
	from   string // where it was read: a path, builtin:NAME, or a URL with what it was resolved to
	digest
	carried bool   // by the program: it is trusted as that is
	copied  bool   // from is the copy that was kept
	config  []byte // the plugin's section as JSON
	assets  *assets.Set
	open    opener
}

// opener opens a module's bytes, to be read from their beginning.
type opener func(context.Context) (io.ReadCloser, error)

// LoadError says why a plugin's module can't be hosted.
type LoadError struct {
	Plugin string   // its name
	Module string   // where it was read: a path, builtin:NAME, or a URL
	Faults []string // all that is wrong, one a line; at least one
	Err    error    // the first fault as an error, where it is one
}

// Error names the plugin, the module and all faults, one a line.
func (e *LoadError) Error() string {
	return fmt.Sprintf("plugin %s: module %s: %s", e.Plugin, e.Module, strings.Join(e.Faults, "\n  "))
}

// Unwrap is Err.
func (e *LoadError) Unwrap() error { return e.Err }

// readModule finds the module of a plugin's configuration, adds it up, and holds it
// against its signature where keys are trusted. It keeps none of it: the compiler reads
// it again.
func (s *sources) readModule(ctx context.Context, name string, cfg config.Plugin, t config.Trust) (*module, error) {
	m := &module{plugin: name, from: cfg.Module}
	keys, err := trustedKeys(t)
	if err == nil {
		err = s.addUp(ctx, m, cfg, keys)
	}
	if err != nil {
		return nil, m.fault(err)
	}
	if want := strings.ToLower(cfg.SHA256); want != "" && want != hex.EncodeToString(m.sum[:]) {
		return nil, m.fault(fmt.Errorf("found sha256 %x, wanted %s", m.sum, want))
	}
	if m.config, err = configJSON(cfg.Config); err != nil {
		return nil, m.fault(err)
	}
	if m.assets, err = s.readAssets(ctx, cfg); err != nil {
		return nil, m.fault(fmt.Errorf("assets: %w", err))
	}
	return m, nil
}

// fault is err as the reason why the module can't be hosted.
func (m *module) fault(err error) error {
	first, _, _ := strings.Cut(err.Error(), "\n")
	bad := &LoadError{Plugin: m.plugin, Module: m.from, Faults: []string{first}, Err: err}
	if r := (*guest.Refusal)(nil); errors.As(err, &r) {
		bad.Faults = r.Faults
	}
	return bad
}

// configJSON is what factory.config gives: an empty section is {}.
func configJSON(section any) ([]byte, error) {
	if section == nil {
		return []byte("{}"), nil
	}
	b, err := json.Marshal(section)
	if err != nil {
		return nil, fmt.Errorf("config: found a value that JSON does not have: %w", err)
	}
	return b, nil
}

// addUp finds out how the module's bytes are read, and their sum.
func (s *sources) addUp(ctx context.Context, m *module, cfg config.Plugin, keys []minisign.PublicKey) error {
	if name, ok := strings.CutPrefix(m.from, builtinPrefix); ok {
		return s.addUpBuiltin(m, name)
	}
	if config.IsFile(m.from) {
		return s.addUpFile(ctx, m, int64(cfg.Limits.Module), keys)
	}
	return s.addUpFetched(ctx, m, cfg, keys)
}

func (s *sources) addUpBuiltin(m *module, name string) error {
	if s.builtin == nil {
		return fmt.Errorf("found no built-in module %q: this program gives none (host.Options.Builtin)", name)
	}
	b, ok := s.builtin(name)
	if !ok {
		return fmt.Errorf("found no built-in module %q", name)
	}
	m.open = func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	m.sum, m.size, m.carried = sha256.Sum256(b), int64(len(b)), true
	return nil
}

func (s *sources) addUpFile(ctx context.Context, m *module, limit int64, keys []minisign.PublicKey) error {
	m.open = func(ctx context.Context) (io.ReadCloser, error) { return s.files.File(ctx, m.from) }
	var signature []byte
	var err error
	if len(keys) > 0 {
		if signature, err = s.signatureBeside(ctx, m.from); err != nil {
			return err
		}
	}
	c, err := newCheck(keys, signature)
	if err != nil {
		return err
	}
	m.digest, err = bounded.Use(ctx, &s.files, m.from, limit, func(_ fs.FileInfo, r io.Reader) (digest, error) {
		return c.sumUp(r)
	})
	if errors.Is(err, bounded.ErrTooLong) {
		err = fmt.Errorf("%w, wanted at most limits.module", err)
	}
	return err
}

// addUpFetched gets the module from its server, or from the cache.
func (s *sources) addUpFetched(ctx context.Context, m *module, cfg config.Plugin, keys []minisign.PublicKey) error {
	q, _ := fetchRequest(cfg, len(keys) > 0)
	got, err := s.get(ctx, q)
	if err != nil {
		return fmt.Errorf("it can't be fetched: %w", err)
	}
	m.from = got.Source
	m.open = func(context.Context) (io.ReadCloser, error) { return got.Open() }
	c, err := newCheck(keys, got.Signature)
	if err != nil {
		return err
	}
	r, err := got.Open()
	if err != nil {
		return err
	}
	defer r.Close() // it was only read
	if m.digest, err = c.sumUp(r); err == nil && hex.EncodeToString(m.sum[:]) != got.SHA256 {
		err = fmt.Errorf("found sha256 %x in the cache, wanted %s", m.sum, got.SHA256)
	}
	return err
}

// hash tells versions apart: the module's bytes, and the configuration and the assets that
// the guest sees.
func (m *module) hash() string {
	h := sha256.New()
	h.Write(m.sum[:])
	h.Write(m.config)
	io.WriteString(h, m.assets.Sum())
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// loadProgram compiles the module, where that was not done before, and loads it.
func (m *module) loadProgram(ctx context.Context, l *guest.Loader, cfg *config.Plugin,
	unmetered bool) (*guest.Program, error) {
	limits := &cfg.Limits
	return l.Load(ctx,
		guest.Module{Name: m.plugin, Sum: hex.EncodeToString(m.sum[:]), Open: m.open, Unmetered: unmetered},
		guest.LoadLimits{Module: int64(limits.Module), Memory: uint64(limits.Memory), Stack: uint32(limits.Stack),
			Table: uint32(limits.Table), GoJumps: cfg.GoJumps},
		guest.LoadBounds{Time: limits.CompileTime, Memory: int64(limits.CompileMemory)})
}
