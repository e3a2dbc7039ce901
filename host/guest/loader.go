package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/tetratelabs/wazero"

	"github.com/wirehost/wirehost/host/guest/internal/compile"
)

// Loader compiles modules, or has them compiled, and loads what was compiled. Any
// goroutine.
type Loader struct {
	machine  bool // machine code can be made and run here
	log      hclog.Logger
	compiler *compile.Compiler

	mu   sync.Mutex
	code map[string]*machineCode // by the entry that it was loaded from
}

// LoaderOptions are what a Loader is given.
type LoaderOptions struct {
	Compiler []string // the command line of a program that calls RunCompiler; nil = none
	Dir      string   // of the cache; "" = none
	Size     int64    // bytes of the cache; 0 = any number
	Logger   hclog.Logger
}

// machineCode is what wazero has loaded of one module, for all versions of it.
type machineCode struct {
	key   string // of the entry
	cache wazero.CompilationCache
	users int

	loading sync.Mutex // see load
}

// load has wazero take a module's machine code in, for one version at a time: wazero shows
// another Runtime of the cache what it has read before it can be called, and who calls it
// then panics, or calls nothing and ends the process.
func (c *machineCode) load(ctx context.Context, rt wazero.Runtime, binary []byte) (wazero.CompiledModule, error) {
	if c != nil {
		c.loading.Lock()
		defer c.loading.Unlock()
	}
	return rt.CompileModule(ctx, binary)
}

// NewLoader finds out whether machine code can be made and run here, which the
// processor or a policy (W^X) may forbid, and opens the cache.
func NewLoader(ctx context.Context, o LoaderOptions) (*Loader, error) {
	l := &Loader{log: o.Logger, code: map[string]*machineCode{}}
	if err := tryCompiler(ctx); err != nil {
		l.log.Warn("no compiler here; plugins run interpreted, many times slower", "err", err)
	} else {
		l.machine = true
	}
	var err error
	l.compiler, err = compile.New(compile.Options{
		Command: o.Compiler, Machine: l.machine, Dir: o.Dir, Size: o.Size, Logger: l.log,
	})
	return l, err
}

// Name is compiler or interpreter: what runs guests here.
func (l *Loader) Name() string {
	if l.machine {
		return "compiler"
	}
	return "interpreter"
}

// TrimCache removes from the cache what is over its size.
func (l *Loader) TrimCache() { l.compiler.Trim() }

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

type (
	// Module is a module that a Loader is to load: its sum, and how it is read.
	Module = compile.Module
	// LoadLimits are what a module is held to before it is compiled, and is compiled for.
	LoadLimits = compile.Limits
	// LoadBounds are what its compilation may take.
	LoadBounds = compile.Bounds
	// Refusal says what is wrong with a module: one fault a line.
	Refusal = compile.Refusal
)

// RunCompiler is the whole of a process that compiles one module: request is the one
// argument after those of LoaderOptions.Compiler, module its standard input, and out its
// standard output. It changes the limits and the priority of this process. The error is
// one of its use, or of writing the answer; what is wrong with the module is in that.
func RunCompiler(request string, module io.Reader, out io.Writer) error {
	return compile.Run(request, module, out)
}

// Load compiles a module, where that was not done before, and loads it. ctx ends
// the compilation. An error that is a *Refusal is the module's fault.
func (l *Loader) Load(ctx context.Context, m Module, limits LoadLimits, bounds LoadBounds) (*Program, error) {
	for tries := 1; ; tries++ {
		entry, release, err := l.compiler.Entry(ctx, m, limits, bounds)
		if err != nil {
			return nil, err
		}
		p, err := l.loadEntry(ctx, entry)
		if left := entry.Discard(); left != nil {
			l.log.Warn("what was compiled of a module can't be removed", "err", left)
		}
		if err == nil {
			p.exports, p.gate, p.starts = entry.Exports, entry.Gate, entry.Starts()
			free := p.release
			p.release = func(ctx context.Context) error { defer release(); return free(ctx) }
			return p, nil
		}
		if tries == 2 {
			release()
			return nil, err
		}
		l.log.Warn("what was compiled of a module can't be loaded: it is made anew", "err", err)
		err = l.compiler.Damaged(m, limits)
		release()
		if err != nil {
			return nil, err
		}
	}
}

// loadEntry has wazero load what was compiled.
func (l *Loader) loadEntry(ctx context.Context, entry *compile.Entry) (_ *Program, err error) {
	code, err := l.share(entry)
	if err != nil {
		return nil, err
	}
	p := &Program{release: func(ctx context.Context) error { return l.unshare(ctx, code) }}
	p.rt = wazero.NewRuntimeWithConfig(ctx, runtimeConfig(code))
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close(ctx))
		}
	}()
	if err := giveHostCalls(ctx, p.rt); err != nil {
		return nil, err
	}
	if p.image, err = newImage(entry.Image); err != nil {
		return nil, err
	}
	if p.compiled, err = code.load(ctx, p.rt, entry.Binary); err != nil {
		return nil, err
	}
	if l.machine && !entry.Loaded() {
		return nil, fmt.Errorf("%w: wazero has not taken its machine code", compile.ErrDamaged)
	}
	return p, nil
}

// runtimeConfig is that of a program with machine code, or without.
func runtimeConfig(code *machineCode) wazero.RuntimeConfig {
	if code == nil {
		return compile.RuntimeConfig(false)
	}
	return compile.RuntimeConfig(true).WithCompilationCache(code.cache)
}

// share gives the machine code of an entry to one more version; nil where there
// is none.
func (l *Loader) share(entry *compile.Entry) (*machineCode, error) {
	if entry.Cache == "" {
		return nil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.code[entry.Key]
	if c == nil {
		cache, err := wazero.NewCompilationCacheWithDir(entry.Cache)
		if err != nil {
			return nil, err
		}
		c = &machineCode{key: entry.Key, cache: cache}
		l.code[c.key] = c
	}
	c.users++
	return c, nil
}

func (l *Loader) unshare(ctx context.Context, c *machineCode) error {
	if c == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.users--; c.users > 0 {
		return nil
	}
	delete(l.code, c.key)
	return c.cache.Close(ctx)
}
