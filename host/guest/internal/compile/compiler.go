package compile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Options are what a Compiler is given.
type Options struct {
	// Command is the command line of a program that calls Run with the argument
	// that is added to it; nil has modules compiled in this process, which a
	// hostile one can end.
	Command []string
	Machine bool   // machine code can be made and run here
	Dir     string // of the cache; "" = none
	Size    int64  // bytes of the cache; 0 = any number
	Logger  hclog.Logger
}

// Compiler compiles modules, and keeps what it made in a cache.
type Compiler struct {
	o       Options
	program string        // tells builds of the compiler apart
	slots   chan struct{} // one for each compilation at a time

	mu      sync.Mutex
	refused map[string]error
	used    map[string]int // by key: how many hold the entry
}

// Module is a module that is to be compiled.
type Module struct {
	Name string                                       // whose it is, for the log
	Sum  string                                       // SHA-256 in hex
	Open func(context.Context) (io.ReadCloser, error) // it must end with the context

	Unmetered bool // for benchmarks
}

// Bounds are what one compilation may take.
type Bounds struct {
	Time   time.Duration // 0 = any
	Memory int64         // bytes; 0 = any number; holds for a process of its own alone
}

// maxRefused is how many refusals are remembered.
const maxRefused = 256

// New opens the cache. One that can't be used is told, and costs time alone:
// private folders stand in for it.
func New(o Options) (*Compiler, error) {
	if os.Getenv(asked) != "" {
		return nil, errors.New("the compiler: found a server where a module was to be compiled, wanted a call of " +
			"host.CompileIfAsked: the main of the program that Options.Compiler names must make it before anything " +
			"else")
	}
	c := &Compiler{o: o, slots: make(chan struct{}, runtime.NumCPU()), refused: map[string]error{},
		used: map[string]int{}}
	var err error
	if c.program, err = programID(o.Command); err != nil {
		return nil, err
	}
	if o.Dir == "" {
		return c, nil
	}
	if c.o.Dir, err = filepath.Abs(o.Dir); err == nil {
		err = tryWrite(c.o.Dir)
	}
	if err != nil {
		o.Logger.Warn("no cache of compiled modules: starts will be slower; set cache.dir to a folder "+
			"that can be written", "dir", o.Dir, "err", err)
		c.o.Dir = ""
	}
	return c, nil
}

// tryWrite makes dir, and finds out whether it can be written.
func tryWrite(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	name, err := os.MkdirTemp(dir, newPrefix)
	if err != nil {
		return err
	}
	return os.Remove(name)
}

// key names the entry of a module.
func (c *Compiler) key(m Module, l Limits) string {
	l.Module = 0 // what was compiled is not larger
	return sumOf(fmt.Append(nil, entryFormat, c.program, c.o.Machine, m.Sum, l, m.Unmetered))
}

// Entry gives what was compiled of a module, and compiles it where that is not
// there. The entry's Discard must be called when it is loaded, or is not to be;
// release when what was loaded is used no more: until then the entry stays in the
// cache. ctx ends a compilation. An error that is a *Refusal is the module's fault.
func (c *Compiler) Entry(ctx context.Context, m Module, l Limits, bounds Bounds) (e *Entry, release func(), err error) {
	key := c.key(m, l)
	mark := fmt.Sprint(key, bounds, l.Module)
	if err := c.refusal(mark); err != nil {
		return nil, nil, err
	}
	release = c.hold(key)
	for range 3 { // what was made may be removed by another process that keeps the cache to its size
		if e, err = c.find(key); err == nil {
			break
		}
		if errors.Is(err, ErrDamaged) {
			c.o.Logger.Warn("an entry of the cache of compiled modules is damaged: it is made anew", "err", err)
		}
		if e, err = c.make(ctx, m, l, bounds, key); !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrDamaged) {
			break
		}
	}
	if err != nil {
		release()
		c.remember(mark, err)
		return nil, nil, err
	}
	return e, release, nil
}

func (c *Compiler) refusal(mark string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused[mark]
}

func (c *Compiler) remember(mark string, err error) {
	var r *Refusal
	if !errors.As(err, &r) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.refused) >= maxRefused {
		clear(c.refused)
	}
	c.refused[mark] = err
}

// hold keeps an entry from being removed until release is called, once.
func (c *Compiler) hold(key string) (release func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used[key]++
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.used[key]--; c.used[key] == 0 {
			delete(c.used, key)
		}
	})
}

// find reads an entry of the cache where there is one.
func (c *Compiler) find(key string) (*Entry, error) {
	if c.o.Dir == "" {
		return nil, fs.ErrNotExist
	}
	dir := filepath.Join(c.o.Dir, key)
	e, err := open(dir)
	if err == nil {
		now := time.Now()
		_ = os.Chtimes(filepath.Join(dir, moduleFile), now, now) // for Trim; a cache may be read-only
	}
	return e, err
}

// Damaged removes the entry of a module, so that it is made anew.
func (c *Compiler) Damaged(m Module, l Limits) error {
	if c.o.Dir == "" {
		return nil
	}
	return os.RemoveAll(filepath.Join(c.o.Dir, c.key(m, l)))
}

// make compiles a module, in the cache, or where that fails in a folder of its own.
func (c *Compiler) make(ctx context.Context, m Module, l Limits, bounds Bounds, key string) (*Entry, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if e, err := c.find(key); err == nil { // another has made it meanwhile
		return e, nil
	}
	defer tellWait(func(took time.Duration) { c.o.Logger.Info("compiling", "plugin", m.Name, "for", took) })()
	if c.o.Dir != "" {
		err := c.makeIn(ctx, c.o.Dir, m, l, bounds, key)
		if err == nil {
			c.Trim()
			return c.find(key)
		}
		if !isDisk(err) {
			return nil, err
		}
		c.o.Logger.Warn("the cache of compiled modules can't be written: compiled without it", "dir", c.o.Dir, "err",
			err)
	}
	dir, err := os.MkdirTemp("", "wirehost-*")
	if err != nil {
		return nil, fmt.Errorf("a temporary folder to compile in (TMPDIR): %w", err)
	}
	err = c.makeIn(ctx, dir, m, l, bounds, key)
	var e *Entry
	if err == nil {
		e, err = open(filepath.Join(dir, key))
	}
	if err != nil {
		return nil, err // makeIn has removed the folder
	}
	e.private = dir
	return e, nil
}

const (
	silence   = 2 * time.Second  // of a compilation, before it is told
	tellEvery = 10 * time.Second // and after that
)

// tellWait has tell be told how long something takes, in whole seconds, until stop is
// called: not at all where that is soon.
func tellWait(tell func(time.Duration)) (stop func()) {
	done := make(chan struct{})
	go func() {
		next := silence
		for took := next; ; took += next {
			select {
			case <-done:
				return
			case <-time.After(next):
				tell(took)
			}
			next = tellEvery
		}
	}()
	return sync.OnceFunc(func() { close(done) })
}

// diskError says that an entry could not be written.
type diskError struct{ err error }

func (e *diskError) Error() string { return e.err.Error() }
func (e *diskError) Unwrap() error { return e.err }

func isDisk(err error) bool {
	var d *diskError
	return errors.As(err, &d)
}

// makeIn compiles a module into an entry of base. It appears whole, or not at
// all.
func (c *Compiler) makeIn(ctx context.Context, base string, m Module, l Limits, bounds Bounds, key string) error {
	if err := os.MkdirAll(base, 0o700); err != nil { // it may have been removed since
		return &diskError{err}
	}
	dir, err := os.MkdirTemp(base, newPrefix)
	if err != nil {
		return &diskError{err}
	}
	discard := func() {
		_ = os.RemoveAll(dir) // Trim finds what is left
		if base != c.o.Dir {
			_ = os.Remove(base) // where it is empty
		}
	}
	in, err := m.Open(ctx) // outside of compile_time: a file that does not open in time is no fault of the module's
	if err != nil {
		discard()
		return err
	}
	q := Request{Version: thisVersion(), Dir: dir, Key: key, Sum: m.Sum, Limits: l, Memory: bounds.Memory,
		Machine: c.o.Machine, Unmetered: m.Unmetered}
	if len(c.o.Command) > 0 {
		defer discard() // before the caller goes on, and perhaps ends
		err = inTime(ctx, bounds.Time, func(ctx context.Context) error { return c.apart(ctx, in, q) })
	} else {
		given := make(chan struct{}) // closed when nobody writes into dir any more
		defer func() {
			go func() {
				<-given
				discard()
			}()
		}()
		err = inTime(ctx, bounds.Time, func(ctx context.Context) error { return c.here(ctx, in, q, given) })
	}
	if err != nil {
		return err
	}
	return c.install(dir, filepath.Join(base, key))
}

// inTime has a module compiled within a time; 0 = any. Past it the module is refused.
func inTime(ctx context.Context, most time.Duration, compile func(context.Context) error) error {
	if most > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, most,
			refuse(fmt.Errorf("compiling took more than limits.compile_time, %v", most)))
		defer cancel()
	}
	if err := compile(ctx); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// install gives an entry its name. One that is there already, and not damaged, is
// as good: another process has made it.
func (c *Compiler) install(dir, name string) error {
	err := os.Rename(dir, name)
	if err == nil {
		return nil
	}
	if _, err := open(name); err == nil {
		return nil
	}
	if err := os.RemoveAll(name); err != nil {
		return &diskError{err}
	}
	if err := os.Rename(dir, name); err != nil {
		return &diskError{err}
	}
	return nil
}

// here compiles in this process. Given up, it goes on in the background until the
// function that it is at has been compiled.
func (c *Compiler) here(ctx context.Context, in io.ReadCloser, q Request, given chan<- struct{}) error {
	done := make(chan error, 1)
	go func() {
		defer close(given)
		done <- func() error {
			b, err := q.read(in)
			if err = errors.Join(err, in.Close()); err != nil {
				return err
			}
			err = build(ctx, q.Dir, b, q)
			if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
				err = &diskError{err}
			}
			return err
		}()
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// firstLine is the first line of a text.
func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
