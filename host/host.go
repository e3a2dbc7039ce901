// Package host runs network protocols that are WebAssembly modules: it loads
// them, holds them against the contract of package abi, and puts their
// instances behind the connections of package reactor.
//
// A guest's callbacks run on the event loop that owns its connection, and so
// does all that an instance, a connection or a timer of a guest does: there are
// no locks on the data path. What a Host offers may be called from any
// goroutine but the loops'.
package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/bounded"
	"github.com/wirehost/wirehost/internal/meter"
	"github.com/wirehost/wirehost/reactor"
)

// Options are what a Host is given from outside.
type Options struct {
	Logger  hclog.Logger                // nil = none; SlogLogger makes one. Loops log with it: what it writes to must not block
	Builtin func(string) ([]byte, bool) // the module behind builtin:NAME
	Sys     reactor.Sys                 // in place of the configured backend's, for tests
	Place   func(loops int) int         // reactor.Config.Place, for tests
	Wall    func() time.Time            // the guests' wall clock; nil = time.Now
	Trace   []string                    // plugins that are traced from the start
	// SetMemoryLimit is called with what Go's memory limit is to be for the process
	// to stay within the memory it may have, in bytes, from the start on and as that
	// changes: debug.SetMemoryLimit, or nil where the program has a limit of its own.
	// One goroutine.
	SetMemoryLimit func(bytes int64)

	// Compiler is the command line of a program that compiles modules, each in a
	// process of its own: CompileIfAsked gives this program's. Another program that
	// calls it (the command wirehost does) takes the argument compile-module, and must
	// be built of the same versions of wirehost and wazero, or each module is an error.
	// nil compiles in this process: a hostile module can then end it (stack overflow,
	// out of memory), limits.compile_memory does not hold, and compiling that was
	// given up goes on in the background for a while.
	Compiler []string
}

// Host runs plugins behind listeners.
type Host struct {
	o       Options
	log     hclog.Logger
	engine  *engine
	reactor *reactor.Reactor
	files   bounded.Reader // of what the configuration names

	stopping   chan struct{} // closed when Shutdown begins
	stopOnce   sync.Once
	background sync.WaitGroup // what runs until then

	memory *reservations
	// startsAtOnce is how many starts of a version run off the loops at a time: half
	// of the processors stay with the loops.
	startsAtOnce int

	made       time.Time
	cpu        func() time.Duration // the process's processor time; nil = unknown
	leftovers  leftovers
	giveBack   func() // gives what Go does not need back to the system
	overloaded atomic.Bool
	short      atomic.Bool // of memory: no linear memory grows, no instance starts
	shedded    atomic.Uint64

	unmetered bool // for benchmarks, to know what metering costs

	shape     sync.Mutex // held while plugins or listeners come or go
	ended     bool       // under shape
	mu        sync.Mutex // of what follows; never held while a loop is waited for
	unloaded  []*plugin  // they may have connections left
	cfg       config.Config
	plugins   map[string]*plugin
	listeners []*listener

	announceMu sync.Mutex
	announced  bool
	bound      bool     // the listeners are
	serving    []string // the endpoints that ready names
}

// listener is one entry of the configuration's listeners.
type listener struct {
	cfg     config.Listener
	ln      *reactor.Listener
	plugin  *plugin
	options reactor.ListenOptions
	changed bool // by the last reload
}

// New prepares a host; it does no I/O. Zero values in cfg stand for the defaults.
func New(cfg config.Config, o Options) *Host {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.Wall == nil {
		o.Wall = time.Now
	}
	return &Host{o: o, log: o.Logger, cfg: cfg.WithDefaults(), plugins: map[string]*plugin{}, stopping: make(chan struct{}),
		memory: newReservations(), startsAtOnce: max(1, runtime.GOMAXPROCS(0)/2), made: time.Now(), cpu: meter.ProcessClock(), giveBack: debug.FreeOSMemory}
}

// now is the reactor's clock.
func (h *Host) now() time.Duration { return h.reactor.Now() }

// spent is the clock that callbacks are metered with. It is the real one even
// where the reactor's is turned by a test: a guest that loops turns none.
func (h *Host) spent() time.Duration { return time.Since(h.made) }

// wall is the guests' wall clock.
func (h *Host) wall() time.Time { return h.o.Wall() }

// Start compiles and starts every plugin, binds every listener, and begins to
// accept. On an error nothing is left running. A plugin whose module is sound
// but which fails to start is an error of that plugin alone: the others serve,
// and it is tried again. ctx cancels the start.
func (h *Host) Start(ctx context.Context) (err error) {
	h.shape.Lock()
	defer h.shape.Unlock()
	if h.reactor != nil {
		return errors.New("host: started already")
	}
	began := time.Now()
	if h.reactor, err = reactor.New(h.reactorConfig()); err != nil {
		return err
	}
	if h.engine, err = newEngine(ctx, h.cfg.Cache, h.o.Compiler, h.log); err != nil {
		return errors.Join(err, h.reactor.Close())
	}
	defer h.leftovers.load()()
	h.watchUse()
	h.log.Info("starting", "engine", h.engine.name, "backend", h.reactor.Backend(), "loops", len(h.reactor.Loops()))
	defer func() {
		if err != nil {
			h.stopBackground()
			err = errors.Join(err, h.end(ctx, h.reactor.Close()))
		}
	}()
	if err = h.loadAll(ctx); err != nil {
		return err
	}
	if err = h.bind(ctx); err != nil {
		return err
	}
	if err = h.reactor.Start(); err != nil {
		return err
	}
	if err = h.startPlugins(ctx); err != nil {
		return err
	}
	for _, l := range h.listeners {
		if err = l.ln.Start(); err != nil {
			return err
		}
	}
	h.background.Go(h.tellCuts)
	h.background.Go(h.engine.compiler.Trim)
	h.serve(began)
	return nil
}

// watchUse looks at what the process uses, from now on: loading is what takes most.
func (h *Host) watchUse() {
	o := &overload{h: h, measure: h.processUse(uint64(h.cfg.Reactor.MaxMemory)), memory: newOwnMemory(h)}
	o.check()
	h.background.Go(o.run)
}

// stopBackground ends what runs beside the loops.
func (h *Host) stopBackground() {
	h.stopOnce.Do(func() { close(h.stopping) })
	h.background.Wait()
}

func (h *Host) reactorConfig() reactor.Config {
	c := h.cfg.Reactor
	return reactor.Config{
		Loops: c.Loops, Backend: c.Backend, Sys: h.o.Sys, Place: h.o.Place,
		CloseTimeout: c.CloseTimeout, WriteTimeout: c.WriteTimeout, ClosedTimeout: c.ClosedTimeout,
		HighWater: int(c.WriteBuffer.High), LowWater: int(c.WriteBuffer.Low), MaxQueued: int(c.WriteBuffer.Max),
		MaxQueuedAll:   mostQueued(uint64(c.MaxMemory)),
		MaxConnections: c.MaxConnections, Logger: h.log.Named("reactor"),
	}
}

// loadAll makes the plugins of the configuration, all at the same time.
func (h *Host) loadAll(ctx context.Context) error {
	names := pluginNames(h.cfg)
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	for n, name := range names {
		p := newPlugin(h, name, h.cfg.Plugins[name], n%len(h.reactor.Loops()))
		wg.Go(func() {
			if p.active, errs[n] = p.load(ctx, h.cfg.Plugins[name]); errs[n] == nil {
				h.mu.Lock()
				defer h.mu.Unlock()
				h.plugins[name] = p
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func pluginNames(cfg config.Config) []string {
	var names []string
	for name := range cfg.Plugins {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// load reads, checks and compiles a plugin's module. Any goroutine.
func (p *plugin) load(ctx context.Context, cfg config.Plugin) (*version, error) {
	began := time.Now()
	defer p.host.leftovers.load()()
	defer p.try(nil)
	m, err := p.host.readModule(ctx, p.name, cfg)
	if err != nil {
		return nil, err
	}
	v, err := newVersion(ctx, p, m, cfg)
	if err != nil {
		return nil, err
	}
	p.log.Info("loaded", "version", v.name, "module", m.from, "bytes", v.prog.bytes, "isolation", cfg.Isolation, "took", time.Since(began).Round(time.Millisecond))
	return v, nil
}

// bind makes the listeners' sockets.
func (h *Host) bind(ctx context.Context) error {
	var errs []error
	for n, cfg := range h.cfg.Listeners {
		l, err := h.listen(ctx, cfg)
		if err != nil {
			errs = append(errs, fmt.Errorf("listeners.%d: %w", n, err))
			continue
		}
		h.listeners = append(h.listeners, l)
	}
	return errors.Join(errs...)
}

func (h *Host) listen(ctx context.Context, cfg config.Listener) (*listener, error) {
	p, o, err := h.options(ctx, cfg, h.plugins)
	if err != nil {
		return nil, err
	}
	return h.listenFor(cfg, p, o)
}

func (h *Host) listenFor(cfg config.Listener, p *plugin, o reactor.ListenOptions) (*listener, error) {
	ep, err := reactor.ParseEndpoint(cfg.Endpoint)
	if err != nil {
		return nil, err
	}
	ln, err := h.reactor.Listen(ep, p, o)
	if err != nil {
		return nil, err
	}
	return &listener{cfg: cfg, ln: ln, plugin: p, options: o}, nil
}

// options are a listener's, read from its configuration and its files.
func (h *Host) options(ctx context.Context, cfg config.Listener, plugins map[string]*plugin) (*plugin, reactor.ListenOptions, error) {
	p := plugins[cfg.Plugin]
	if p == nil {
		return nil, reactor.ListenOptions{}, fmt.Errorf("listener %s: found no plugin %q", cfg.Endpoint, cfg.Plugin)
	}
	o := reactor.ListenOptions{
		Loop: p.loop(), MaxConnections: cfg.MaxConnections, IdleTimeout: cfg.IdleTimeout,
		Share: p.share, HandshakeTimeout: cfg.TLS.HandshakeTimeout, ProxyProtocol: cfg.ProxyProtocol,
	}
	var err error
	if o.TLS, err = h.serverTLS(ctx, cfg.TLS); err != nil {
		return nil, o, fmt.Errorf("listener %s: %w", cfg.Endpoint, err)
	}
	for _, from := range cfg.ProxyFrom {
		prefix, err := netip.ParsePrefix(from)
		if err != nil {
			return nil, o, fmt.Errorf("listener %s: proxy_from: %w", cfg.Endpoint, err)
		}
		o.ProxyFrom = append(o.ProxyFrom, prefix)
	}
	return p, o, nil
}

// loop is where a plugin's connections are pinned to, or -1.
func (p *plugin) loop() int {
	if p.current().cfg.Isolation == config.IsolationShared {
		return p.pinned
	}
	return -1
}

// startPlugins starts every plugin on the loops where it runs.
func (h *Host) startPlugins(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, p := range h.plugins {
		if err := p.start(&wg); err != nil {
			return err
		}
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// start starts a plugin that has been loaded, on the loops where it runs. wg is
// done when it has started or failed on all of them.
func (p *plugin) start(wg *sync.WaitGroup) error {
	v := p.active
	v.state, v.since = StateActive, p.host.wall()
	p.slots = make([]*slot, len(p.host.reactor.Loops()))
	for n, l := range p.host.reactor.Loops() {
		if !v.runsOn(n) {
			continue
		}
		s := newSlot(v, l)
		p.slots[n] = s
		v.addSlot(s)
		wg.Add(1)
		if err := l.CallFromThread(func() { s.rehearse(wg.Done) }); err != nil {
			wg.Done()
			return err
		}
	}
	return nil
}

// serve says what is listened on, and ready if every plugin runs.
func (h *Host) serve(began time.Time) {
	h.announceMu.Lock()
	for _, l := range h.listeners {
		h.serving = append(h.serving, l.ln.Endpoint().String())
		h.log.Info("listening", "endpoint", l.ln.Endpoint().String(), "plugin", l.cfg.Plugin)
	}
	h.bound = true
	h.announceMu.Unlock()
	h.log.Debug("started", "took", time.Since(began).Round(time.Millisecond))
	h.announce()
}

// announce logs ready once, when it is so. Any goroutine.
func (h *Host) announce() {
	h.announceMu.Lock()
	defer h.announceMu.Unlock()
	if h.announced || !h.bound || !h.healthy() {
		return
	}
	h.announced = true
	h.log.Info("ready", "listening", strings.Join(h.serving, " "))
}

func (h *Host) healthy() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.plugins {
		if p.failing.Load() > 0 {
			return false
		}
	}
	return true
}

// Ready tells whether every listener is bound and every plugin active.
func (h *Host) Ready() bool {
	h.announceMu.Lock()
	defer h.announceMu.Unlock()
	return h.announced && h.healthy()
}

// Listeners are the endpoints listened on, ports resolved, in the
// configuration's order.
func (h *Host) Listeners() []reactor.Endpoint {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []reactor.Endpoint
	for _, l := range h.listeners {
		list = append(list, l.ln.Endpoint())
	}
	return list
}

// Shutdown stops accepting, lets connections finish until ctx is done, closes
// the rest with reason 5, and stops the plugins. It returns ctx's error if some
// connections had to be closed.
func (h *Host) Shutdown(ctx context.Context) error {
	h.stopOnce.Do(func() { close(h.stopping) })
	h.shape.Lock()
	defer h.shape.Unlock()
	if h.reactor == nil || h.ended {
		return nil
	}
	h.stopBackground()
	for _, p := range h.snapshot() { // a change has no loops to lose, and no other begins
		p.changing.Lock()
		p.over = true
		p.changing.Unlock()
	}
	h.log.Info("shutting down", "connections", h.reactor.Connections())
	return h.end(ctx, h.reactor.Shutdown(ctx))
}

// end frees the plugins after the loops have ended: err is how that went.
func (h *Host) end(ctx context.Context, err error) error {
	ctx = context.WithoutCancel(ctx)
	h.ended = true
	h.mu.Lock()
	plugins := append(slices.Collect(maps.Values(h.plugins)), h.unloaded...)
	h.plugins, h.listeners = map[string]*plugin{}, nil
	h.mu.Unlock()
	// All at the same time: one whose instances take long to stop takes nothing of
	// another's time.
	by := h.spent() + stopPatience
	errs := make([]error, len(plugins))
	var wg sync.WaitGroup
	for n, p := range plugins {
		wg.Go(func() {
			errs[n] = p.end(ctx, by)
			p.tellUntold(true)
		})
	}
	wg.Wait()
	return errors.Join(append(errs, err)...)
}

// stopPatience is how long a plugin's instances, all together, may take for their
// stopFactory when the host ends. The rest are dropped without it.
const stopPatience = 500 * time.Millisecond

// Validate compiles and validates every plugin that cfg names and starts
// nothing. The error joins all faults.
func Validate(ctx context.Context, cfg config.Config, o Options) error {
	h := New(cfg, o)
	var err error
	if h.engine, err = newEngine(ctx, h.cfg.Cache, h.o.Compiler, h.log); err != nil {
		return err
	}
	var errs []error
	for n, l := range h.cfg.Listeners {
		if _, err := h.serverTLS(ctx, l.TLS); err != nil {
			errs = append(errs, fmt.Errorf("listeners.%d: listener %s: %w", n, l.Endpoint, err))
		}
	}
	for _, name := range pluginNames(h.cfg) {
		p := newPlugin(h, name, h.cfg.Plugins[name], 0)
		v, err := p.load(ctx, h.cfg.Plugins[name])
		if err == nil {
			err = v.close(ctx)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
