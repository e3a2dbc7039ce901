package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// wasmPage is the unit of linear memory.
const wasmPage = 64 << 10

// engine is what all plugins' runtimes share: how modules are compiled, and the
// cache of compiled ones.
type engine struct {
	name     string // compiler or interpreter
	compiler bool
	dir      string                  // of the cache on disk; "" = there is none
	cache    wazero.CompilationCache // on disk, or memory
	memory   wazero.CompilationCache // for what the disk refuses

	compiling atomic.Int32
}

// newEngine finds out whether machine code can be made and run here, which the
// processor or a policy (W^X) may forbid, and opens the cache. A cache that
// can't be used costs time, no more: it is warned of.
func newEngine(ctx context.Context, dir string, log hclog.Logger) *engine {
	e := &engine{name: "interpreter", memory: wazero.NewCompilationCache()}
	if err := tryCompiler(ctx); err != nil {
		log.Warn("no compiler here; plugins run interpreted, many times slower", "err", err)
	} else {
		e.name, e.compiler = "compiler", true
	}
	if e.cache, e.dir = openCache(dir, log); e.cache == nil {
		e.cache = e.memory
	}
	return e
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

// openCache opens the cache on disk, and says where it is; nil where there is none.
func openCache(dir string, log hclog.Logger) (wazero.CompilationCache, string) {
	if dir == "off" {
		return nil, ""
	}
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			log.Warn("no cache of compiled modules: starts will be slower", "err", err)
			return nil, ""
		}
		dir = filepath.Join(base, "wirehost")
	}
	c, err := wazero.NewCompilationCacheWithDir(dir)
	if err == nil {
		err = tryWrite(dir)
	}
	if err != nil {
		log.Warn("no cache of compiled modules: starts will be slower", "dir", dir, "err", err)
		return nil, ""
	}
	return c, dir
}

// tryWrite finds out whether dir can be written: wazero finds it out too late.
func tryWrite(dir string) error {
	f, err := os.CreateTemp(dir, ".try-*")
	if err != nil {
		return err
	}
	name := f.Name()
	if err := f.Close(); err != nil {
		return err
	}
	return os.Remove(name)
}

// newRuntime makes the Runtime of one version of a plugin: plugins that do not
// trust each other share none. cache is one of the engine's.
func (e *engine) newRuntime(ctx context.Context, cache wazero.CompilationCache) wazero.Runtime {
	cfg := wazero.NewRuntimeConfigInterpreter()
	if e.compiler {
		cfg = wazero.NewRuntimeConfigCompiler()
	}
	return wazero.NewRuntimeWithConfig(ctx, cfg.WithCompilationCache(cache).WithCoreFeatures(api.CoreFeaturesV2))
}

// close frees the caches, unless a compilation that was given up uses one still:
// then they are left to the process's end.
func (e *engine) close(ctx context.Context) error {
	if e.compiling.Load() > 0 {
		return nil
	}
	if e.cache == e.memory {
		return e.memory.Close(ctx)
	}
	return errors.Join(e.cache.Close(ctx), e.memory.Close(ctx))
}
