package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/guest/compile"
)

// wasmPage is the unit of linear memory.
const wasmPage = 64 << 10

// engine is what all plugins' runtimes share: how modules are compiled, and what
// was loaded of them.
type engine struct {
	name     string // compiler or interpreter
	machine  bool   // machine code can be made and run here
	log      hclog.Logger
	compiler *compile.Compiler

	mu   sync.Mutex
	code map[string]*machineCode // by the entry that it was loaded from
}

// machineCode is what wazero has loaded of one module, for all versions of it.
type machineCode struct {
	key   string // of the entry
	cache wazero.CompilationCache
	users int
}

// newEngine finds out whether machine code can be made and run here, which the
// processor or a policy (W^X) may forbid, and opens the cache.
func newEngine(ctx context.Context, cfg config.Cache, command []string, log hclog.Logger) (*engine, error) {
	e := &engine{name: "interpreter", log: log, code: map[string]*machineCode{}}
	if err := tryCompiler(ctx); err != nil {
		log.Warn("no compiler here; plugins run interpreted, many times slower", "err", err)
	} else {
		e.name, e.machine = "compiler", true
	}
	var err error
	e.compiler, err = compile.New(compile.Options{
		Command: command, Machine: e.machine, Dir: cacheDir(cfg.Dir, log), Size: int64(cfg.Size), Logger: log,
	})
	return e, err
}

// tryCompiler compiles and runs a module. wazero panics where it can't.
func tryCompiler(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
	defer r.Close(ctx)
	_, err = r.Instantiate(ctx, []byte("\x00asm\x01\x00\x00\x00"+
		"\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x08\x01\x00\x0a\x04\x01\x02\x00\x0b"))
	return err
}

// cacheDir is the folder of the cache on disk; "" where there is none.
func cacheDir(dir string, log hclog.Logger) string {
	switch dir {
	case "off":
		return ""
	case "":
		base, err := os.UserCacheDir()
		if err != nil {
			log.Warn("no cache of compiled modules: starts will be slower; set cache.dir to a folder that can be written",
				"err", err)
			return ""
		}
		return filepath.Join(base, "wirehost")
	}
	return dir
}

// program is a module that is compiled and loaded, in a Runtime of its own:
// plugins that do not trust each other share none.
type program struct {
	rt       wazero.Runtime
	compiled wazero.CompiledModule
	image    *image   // what its instances' memories hold at the start; nil where wazero copies it
	exports  []string // those of the contract that the module has
	bytes    int      // of the module as it was read
	release  func(context.Context) error
}

// load compiles a module, where that was not done before, and loads it. ctx ends
// the compilation.
func (e *engine) load(ctx context.Context, m compile.Module, cfg config.Limits) (*program, error) {
	limits := compile.Limits{Module: int64(cfg.Module), Memory: uint64(cfg.Memory), Stack: uint32(cfg.Stack), Table: uint32(cfg.Table)}
	bounds := compile.Bounds{Time: cfg.CompileTime, Memory: int64(cfg.CompileMemory)}
	for tries := 1; ; tries++ {
		entry, release, err := e.compiler.Entry(ctx, m, limits, bounds)
		if err != nil {
			return nil, err
		}
		p, err := e.loadEntry(ctx, entry)
		if left := entry.Discard(); left != nil {
			e.log.Warn("what was compiled of a module can't be removed", "err", left)
		}
		if err == nil {
			p.exports, p.bytes = entry.Exports, entry.Bytes
			free := p.release
			p.release = func(ctx context.Context) error { defer release(); return free(ctx) }
			return p, nil
		}
		if tries == 2 {
			release()
			return nil, err
		}
		e.log.Warn("what was compiled of a module can't be loaded: it is made anew", "err", err)
		err = e.compiler.Damaged(m, limits)
		release()
		if err != nil {
			return nil, err
		}
	}
}

// loadEntry has wazero load what was compiled.
func (e *engine) loadEntry(ctx context.Context, entry *compile.Entry) (_ *program, err error) {
	code, err := e.share(entry)
	if err != nil {
		return nil, err
	}
	p := &program{release: func(ctx context.Context) error { return e.unshare(ctx, code) }}
	p.rt = wazero.NewRuntimeWithConfig(ctx, e.runtimeConfig(code))
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close(ctx))
		}
	}()
	if err := giveHostCalls(ctx, p.rt); err != nil {
		return nil, err
	}
	if p.image, err = newImage(entry.Image); err != nil {
		return nil, err
	}
	if p.compiled, err = p.rt.CompileModule(ctx, entry.Binary); err != nil {
		return nil, err
	}
	if e.machine && !entry.Loaded() {
		return nil, fmt.Errorf("%w: wazero has not taken its machine code", compile.ErrDamaged)
	}
	return p, nil
}

func (e *engine) runtimeConfig(code *machineCode) wazero.RuntimeConfig {
	if code == nil {
		return wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(api.CoreFeaturesV2)
	}
	return wazero.NewRuntimeConfigCompiler().WithCompilationCache(code.cache).WithCoreFeatures(api.CoreFeaturesV2)
}

// share gives the machine code of an entry to one more version; nil where there
// is none.
func (e *engine) share(entry *compile.Entry) (*machineCode, error) {
	if entry.Cache == "" {
		return nil, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.code[entry.Key]
	if c == nil {
		cache, err := wazero.NewCompilationCacheWithDir(entry.Cache)
		if err != nil {
			return nil, err
		}
		c = &machineCode{key: entry.Key, cache: cache}
		e.code[c.key] = c
	}
	c.users++
	return c, nil
}

func (e *engine) unshare(ctx context.Context, c *machineCode) error {
	if c == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if c.users--; c.users > 0 {
		return nil
	}
	delete(e.code, c.key)
	return c.cache.Close(ctx)
}

// close frees a program. No instance of it may be in use. The machine code lies
// in a cache that Runtimes share, and must be given back by itself.
func (p *program) close(ctx context.Context) error {
	errs := []error{p.rt.Close(ctx)}
	if p.compiled != nil {
		errs = append(errs, p.compiled.Close(ctx))
	}
	return errors.Join(append(errs, p.image.close(), p.release(ctx))...)
}
