package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/host/bounded"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/meter"
	"github.com/wirehost/wirehost/host/wasmbin"
)

// builtinPrefix begins the modules that the command carries.
const builtinPrefix = "builtin:"

// module is a module that has been read and held against the contract, and is
// not compiled yet.
type module struct {
	plugin string
	from   string // where it was read: a path, or builtin:NAME
	binary []byte // as it was read
	meter  *meter.Info
	sum    [sha256.Size]byte
	config []byte // the plugin's section as JSON
	desc   abi.Module
}

// LoadError says why a plugin's module can't be hosted: one fault a line.
type LoadError struct {
	Plugin string
	Module string // where it was read
	Faults []string
	Err    error // the first fault as an error, where it is one
}

func (e *LoadError) Error() string {
	return fmt.Sprintf("plugin %s: module %s: %s", e.Plugin, e.Module, strings.Join(e.Faults, "\n  "))
}

func (e *LoadError) Unwrap() error { return e.Err }

// readModule reads the module of a plugin's configuration and checks it.
func (h *Host) readModule(ctx context.Context, name string, cfg config.Plugin) (*module, error) {
	m := &module{plugin: name, from: cfg.Module}
	fail := func(err error) (*module, error) {
		return nil, &LoadError{Plugin: name, Module: m.from, Faults: []string{err.Error()}, Err: err}
	}
	b, err := h.readBinary(ctx, cfg)
	if err != nil {
		return fail(err)
	}
	m.sum = sha256.Sum256(b)
	if want := strings.ToLower(cfg.SHA256); want != "" && want != hex.EncodeToString(m.sum[:]) {
		return fail(fmt.Errorf("found sha256 %x, wanted %s", m.sum, want))
	}
	if m.config, err = configJSON(cfg.Config); err != nil {
		return fail(err)
	}
	if err := m.check(b, cfg.Limits); err != nil {
		return nil, err
	}
	return m, nil
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

func (h *Host) readBinary(ctx context.Context, cfg config.Plugin) ([]byte, error) {
	if name, ok := strings.CutPrefix(cfg.Module, builtinPrefix); ok {
		if h.o.Builtin != nil {
			if b, ok := h.o.Builtin(name); ok {
				return b, nil
			}
		}
		return nil, fmt.Errorf("found no built-in module %q", name)
	}
	b, err := h.files.Read(ctx, cfg.Module, int64(cfg.Limits.Module))
	if errors.Is(err, bounded.ErrTooLong) {
		err = fmt.Errorf("%w, wanted at most limits.module", err)
	}
	return b, err
}

// check holds the binary against the binary format, the contract and the limits.
func (m *module) check(b []byte, limits config.Limits) error {
	bad := &LoadError{Plugin: m.plugin, Module: m.from}
	decoded, err := wasmbin.Decode(b)
	if err != nil {
		bad.Err, bad.Faults = err, []string{err.Error()}
		return bad
	}
	m.desc = decoded.Describe()
	for _, f := range abi.Validate(m.desc) {
		bad.Faults = append(bad.Faults, f.String())
	}
	if mem, limit := m.desc.Memory, uint64(limits.Memory); mem != nil && limit > 0 {
		if size := uint64(mem.Min) * wasmPage; size > limit {
			bad.Faults = append(bad.Faults, fmt.Sprintf("memory: found %d bytes at the start, wanted at most limits.memory, %d", size, limit))
		}
	}
	if len(bad.Faults) > 0 {
		if _, _, err := meter.Rewrite(b, meterOptions(limits)); err != nil { // all faults at once
			bad.Faults = append(bad.Faults, err.Error())
		}
		return bad
	}
	m.binary = b
	return nil
}

func meterOptions(limits config.Limits) meter.Options {
	return meter.Options{StackBytes: uint32(limits.Stack), MaxTableElements: uint32(limits.Table)}
}

// metered is the binary with the accounting in it that holds a guest to its
// limits of time, stack and tables.
func (m *module) metered(limits config.Limits) ([]byte, error) {
	b, info, err := meter.Rewrite(m.binary, meterOptions(limits))
	if err != nil {
		return nil, &LoadError{Plugin: m.plugin, Module: m.from, Faults: []string{err.Error()}, Err: err}
	}
	m.meter = info
	return b, nil
}

// hash tells versions apart: the module's bytes and the configuration that the
// guest sees.
func (m *module) hash() string {
	h := sha256.New()
	h.Write(m.sum[:])
	h.Write(m.config)
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// exports tells which of the contract's exports the module has.
func (m *module) exports(name string) bool {
	_, ok := m.desc.Export(name)
	return ok
}

// errNotCompiled says that the compiler, or the cache of what it made, has refused a
// module.
var errNotCompiled = errors.New("does not compile")

// compile makes machine code of a metered module, within limit where that is not
// 0, and closes rt where it fails. The compiler can't be interrupted: past the
// limit, or after ctx, it goes on in the background for a result that is thrown
// away.
func (m *module) compile(ctx context.Context, e *engine, rt wazero.Runtime, binary []byte, limit time.Duration) (wazero.CompiledModule, error) {
	type result struct {
		mod wazero.CompiledModule
		err error
	}
	over := func() error { return fmt.Errorf("compiling took more than limits.compile_time, %v", limit) }
	began := time.Now()
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, over())
		defer cancel()
	}
	e.compiling.Add(1)
	done := make(chan result, 1)
	go func() {
		c, err := rt.CompileModule(context.Background(), binary)
		e.compiling.Add(-1)
		done <- result{c, err}
	}()
	fail := func(err error) (wazero.CompiledModule, error) {
		return nil, &LoadError{Plugin: m.plugin, Module: m.from, Faults: []string{firstLine(err)}, Err: err}
	}
	select {
	case r := <-done:
		err := r.err
		switch {
		case err != nil:
			err = fmt.Errorf("%w: %w", errNotCompiled, err)
		case limit > 0 && time.Since(began) > limit:
			err = errors.Join(over(), r.mod.Close(ctx))
		default:
			return r.mod, nil
		}
		return fail(errors.Join(err, rt.Close(ctx)))
	case <-ctx.Done():
		go func() {
			<-done
			_ = rt.Close(context.Background()) // nobody is left to hear of it
		}()
		return fail(context.Cause(ctx))
	}
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
