package host

import (
	"context"
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
	cache    wazero.CompilationCache

	compiling atomic.Int32
}

// newEngine finds out whether machine code can be made and run here, which the
// processor or a policy (W^X) may forbid, and opens the cache. A cache that
// can't be used costs time, no more: it is warned of.
func newEngine(ctx context.Context, dir string, log hclog.Logger) *engine {
	e := &engine{name: "interpreter"}
	if err := tryCompiler(ctx); err != nil {
		log.Warn("no compiler here; plugins run interpreted, many times slower", "err", err)
	} else {
		e.name, e.compiler = "compiler", true
	}
	e.cache = openCache(dir, log)
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

func openCache(dir string, log hclog.Logger) wazero.CompilationCache {
	if dir == "off" {
		return wazero.NewCompilationCache()
	}
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			log.Warn("no cache of compiled modules", "err", err)
			return wazero.NewCompilationCache()
		}
		dir = filepath.Join(base, "wirehost")
	}
	c, err := wazero.NewCompilationCacheWithDir(dir)
	if err == nil {
		err = tryWrite(dir)
	}
	if err != nil {
		log.Warn("no cache of compiled modules: starts will be slower", "dir", dir, "err", err)
		return wazero.NewCompilationCache()
	}
	return c
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
// trust each other share none.
func (e *engine) newRuntime(ctx context.Context) wazero.Runtime {
	cfg := wazero.NewRuntimeConfigInterpreter()
	if e.compiler {
		cfg = wazero.NewRuntimeConfigCompiler()
	}
	return wazero.NewRuntimeWithConfig(ctx, cfg.WithCompilationCache(e.cache).WithCoreFeatures(api.CoreFeaturesV2))
}

// close frees the cache, unless a compilation that was given up uses it still:
// then it is left to the process's end.
func (e *engine) close(ctx context.Context) error {
	if e.compiling.Load() > 0 {
		return nil
	}
	return e.cache.Close(ctx)
}
