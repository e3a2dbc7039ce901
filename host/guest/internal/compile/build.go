package compile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/internal/gate"
	"github.com/wirehost/wirehost/internal/jumps"
	"github.com/wirehost/wirehost/internal/meter"
	"github.com/wirehost/wirehost/internal/wasmbin"
)

// Limits are what a module is held to before it is compiled, and is compiled
// for.
type Limits struct {
	Module int64  `json:"module"` // bytes of the file; 0 = any number
	Memory uint64 `json:"memory"` // bytes of an instance at its start; 0 = any number
	Stack  uint32 `json:"stack"`  // bytes, see meter.Options
	Table  uint32 `json:"table"`  // elements, see meter.Options

	GoJumps bool `json:"go_jumps"` // jumps are made direct, and addresses short: see package jumps
}

func (l Limits) meter() meter.Options {
	return meter.Options{StackBytes: l.Stack, MaxTableElements: l.Table, Exports: keptExports()}
}

// Refusal says why a module can't be hosted: one fault a line. It is the
// module's own fault: the same bytes under the same limits are refused again.
type Refusal struct {
	Faults []string
}

func (r *Refusal) Error() string {
	return strings.Join(r.Faults, "\n")
}

func refuse(err error) error { return &Refusal{[]string{err.Error()}} }

// maxFaults is how many faults of a module are told.
const maxFaults = 64

// check holds a module against the binary format, the contract and the limits,
// and writes the metering into it. The error names all faults.
func check(b []byte, l Limits, unmetered bool) (metered []byte, exports []string, err error) {
	m, err := wasmbin.Decode(b)
	if err != nil {
		return nil, nil, refuse(err)
	}
	var faults []string
	desc := m.Describe()
	for _, f := range abi.Validate(desc) {
		faults = append(faults, f.String())
	}
	faults = append(faults, footprintFaults(m, l)...)
	if l.GoJumps && len(faults) == 0 {
		if _, err := jumps.Thread(m); err != nil {
			return nil, nil, refuse(err)
		}
		if _, err := jumps.Narrow(m); err != nil {
			return nil, nil, refuse(err)
		}
	}
	if unmetered {
		metered = m.Encode()
	} else if metered, _, err = meter.RewriteModule(m, len(b), l.meter()); err != nil &&
		!slices.Contains(faults, err.Error()) {
		faults = append(faults, err.Error())
	}
	if more := len(faults) - maxFaults; more > 0 {
		faults = append(faults[:maxFaults], fmt.Sprintf("found %d more faults", more))
	}
	if len(faults) > 0 {
		return nil, nil, &Refusal{faults}
	}
	known := map[string]bool{}
	for _, e := range abi.Exports() {
		known[e.Name] = true
	}
	for _, e := range desc.Exports {
		if known[e.Name] {
			exports = append(exports, e.Name)
		}
	}
	return metered, exports, nil
}

// build checks and compiles a module into an entry, the empty folder dir.
func build(ctx context.Context, dir string, b []byte, q Request) error {
	metered, exports, err := check(b, q.Limits, q.Unmetered)
	if err != nil {
		return err
	}
	h := header{Format: entryFormat, Key: q.Key, Exports: exports}
	m, err := wasmbin.Decode(metered)
	if err != nil {
		return refuse(fmt.Errorf("with its metering: %w", err))
	}
	if h.Gate, err = gate.Add(m, keptExports()); err != nil {
		return refuse(err)
	}
	full := m.Encode()
	if !q.Machine { // the interpreter makes its code of the module itself, each time
		if err := tryInterpreter(ctx, full); err != nil {
			return err
		}
		return h.write(dir, full, nil)
	}
	stub, image := stubOf(m, q.Key)
	code, err := machineCode(ctx, filepath.Join(dir, "full"), full)
	if err != nil {
		return err
	}
	made, err := os.Stat(code)
	if err != nil {
		return err
	}
	if err := checkCode(made.Size(), len(b)); err != nil {
		return err
	}
	named, err := machineCode(ctx, filepath.Join(dir, codeFolder), stub)
	if err != nil {
		return err
	}
	// wazero finds machine code by the hash of what it decodes: so the stub's
	// name for the module's code.
	if err := os.Rename(code, named); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(dir, "full")); err != nil {
		return err
	}
	if h.Code, err = filepath.Rel(dir, named); err != nil {
		return err
	}
	return h.write(dir, stub, image)
}

// machineCode compiles a module with a cache in dir, and returns the one file
// that this makes.
func machineCode(ctx context.Context, dir string, b []byte) (file string, err error) {
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, cache.Close(ctx)) }()
	rt := wazero.NewRuntimeWithConfig(ctx, RuntimeConfig(true).WithCompilationCache(cache))
	defer func() { err = errors.Join(err, rt.Close(ctx)) }()
	c, err := rt.CompileModule(experimental.WithCompilationWorkers(ctx, runtime.GOMAXPROCS(0)), b)
	if err != nil {
		var onDisk *os.PathError
		if errors.As(err, &onDisk) {
			return "", err
		}
		return "", refuse(fmt.Errorf("does not compile: %w", err))
	}
	if err := c.Close(ctx); err != nil {
		return "", err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || len(files) != 1 {
		return "", fmt.Errorf("compile: found %d files of machine code, wanted one (%w)", len(files), err)
	}
	return files[0], nil
}

// tryInterpreter has the interpreter take a module.
func tryInterpreter(ctx context.Context, b []byte) (err error) {
	rt := wazero.NewRuntimeWithConfig(ctx, RuntimeConfig(false))
	defer func() { err = errors.Join(err, rt.Close(ctx)) }()
	if _, err := rt.CompileModule(ctx, b); err != nil {
		return refuse(fmt.Errorf("does not compile: %w", err))
	}
	return nil
}

// RuntimeConfig is the one with which guests are compiled, and loaded.
func RuntimeConfig(machine bool) wazero.RuntimeConfig {
	cfg := wazero.NewRuntimeConfigInterpreter()
	if machine {
		cfg = wazero.NewRuntimeConfigCompiler()
	}
	return cfg.WithCoreFeatures(api.CoreFeaturesV2)
}

// sumOf is a module's SHA-256 in hex.
func sumOf(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}
