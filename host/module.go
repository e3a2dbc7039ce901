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

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/internal/bounded"
)

// builtinPrefix begins the modules that the command carries.
const builtinPrefix = "builtin:"

// module is a module whose bytes are known, by their sum. Nobody decodes them here: the
// compiler does, once.
type module struct {
	plugin string
	from   string // where it was read: a path, or builtin:NAME
	sum    [sha256.Size]byte
	size   int64  // bytes
	config []byte // the plugin's section as JSON
	open   func(context.Context) (io.ReadCloser, error)
}

// LoadError says why a plugin's module can't be hosted.
type LoadError struct {
	Plugin string   // its name
	Module string   // where it was read: a path, or builtin:NAME
	Faults []string // all that is wrong, one a line; at least one
	Err    error    // the first fault as an error, where it is one
}

// Error names the plugin, the module and all faults, one a line.
func (e *LoadError) Error() string {
	return fmt.Sprintf("plugin %s: module %s: %s", e.Plugin, e.Module, strings.Join(e.Faults, "\n  "))
}

// Unwrap is Err.
func (e *LoadError) Unwrap() error { return e.Err }

// readModule finds the module of a plugin's configuration, and adds it up. It
// keeps none of it: the compiler reads it again.
func (s *sources) readModule(ctx context.Context, name string, cfg config.Plugin) (*module, error) {
	m := &module{plugin: name, from: cfg.Module}
	if err := s.addUp(ctx, m, int64(cfg.Limits.Module)); err != nil {
		return nil, m.fault(err)
	}
	if want := strings.ToLower(cfg.SHA256); want != "" && want != hex.EncodeToString(m.sum[:]) {
		return nil, m.fault(fmt.Errorf("found sha256 %x, wanted %s", m.sum, want))
	}
	var err error
	if m.config, err = configJSON(cfg.Config); err != nil {
		return nil, m.fault(err)
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
func (s *sources) addUp(ctx context.Context, m *module, limit int64) error {
	if name, ok := strings.CutPrefix(m.from, builtinPrefix); ok {
		if s.builtin != nil {
			if b, ok := s.builtin(name); ok {
				m.open = func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
				m.sum, m.size = sha256.Sum256(b), int64(len(b))
				return nil
			}
		}
		if s.builtin == nil {
			return fmt.Errorf("found no built-in module %q: this program gives none (host.Options.Builtin)", name)
		}
		return fmt.Errorf("found no built-in module %q", name)
	}
	m.open = func(ctx context.Context) (io.ReadCloser, error) { return s.files.File(ctx, m.from) }
	type digest struct {
		sum  [sha256.Size]byte
		size int64
	}
	d, err := bounded.Use(ctx, &s.files, m.from, limit, func(_ fs.FileInfo, r io.Reader) (d digest, err error) {
		h := sha256.New()
		d.size, err = io.Copy(h, r)
		h.Sum(d.sum[:0])
		return d, err
	})
	if errors.Is(err, bounded.ErrTooLong) {
		err = fmt.Errorf("%w, wanted at most limits.module", err)
	}
	m.sum, m.size = d.sum, d.size
	return err
}

// hash tells versions apart: the module's bytes and the configuration that the
// guest sees.
func (m *module) hash() string {
	h := sha256.New()
	h.Write(m.sum[:])
	h.Write(m.config)
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
