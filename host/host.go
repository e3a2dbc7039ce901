package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/internal/credentials"
	"github.com/wirehost/wirehost/internal/meter"
	"github.com/wirehost/wirehost/reactor"
)

// Options are what a Host is given from outside. The zero value is safe. Its functions
// are called on any goroutine, where nothing else is said.
type Options struct {
	// Logger is what the host and its guests log with; nil = nothing is logged, and
	// SlogLogger makes one of log/slog's. Loops log with it: what it writes to must not
	// block.
	Logger hclog.Logger
	// Builtin is the module behind builtin:NAME, as plugins.Builtin is; nil = there are none.
	// Nobody may change the bytes that it gives.
	Builtin func(name string) ([]byte, bool)
	Sys     reactor.Sys         // in place of the configured backend's, for tests
	Place   func(loops int) int // reactor.Config.Place, for tests
	Wall    func() time.Time    // the guests' wall clock; nil = time.Now
	Trace   []string            // plugins that are traced from the start
	// Resume is asked once, when the host starts, how it is to be other than its
	// configuration says; nil = it is not.
	Resume func() Resumed
	// Modules is the folder where the bytes of modules are kept, for versions that are
	// pinned or gone back to after their file has changed, in another process: else a pin
	// ends with this one. It is asked
	// again at each use, so that a process can leave the folder to the next; "" or nil =
	// there is none. ours: nobody else changes it.
	Modules func() (dir string, ours bool)
	// SetMemoryLimit is called with what Go's memory limit is to be for the process
	// to stay within the memory it may have, in bytes, from the start on and as that
	// changes: debug.SetMemoryLimit, or nil where the program has a limit of its own.
	// One goroutine.
	SetMemoryLimit func(bytes int64)

	// Patience is how long those who ask what runs wait for an event loop that a guest
	// holds; what it told last is taken then. 0 = for ever.
	Patience time.Duration

	// Inherited is a listening socket that another process has given for an endpoint of the
	// configuration, as that has it, for the host to close; nil = the host binds it. nil =
	// there are none.
	Inherited func(endpoint string) *os.File
	// InheritedDatagrams are the sockets that another process has given for an endpoint of
	// datagrams, and where they are bound; nil = none. They are the host's to close, and are
	// served from Takeover.End on, or with an instance that comes before; where bound is "",
	// they are a service manager's, and served at once. kept: a Unix socket's file stays when
	// it is closed.
	InheritedDatagrams func(endpoint string) (bound string, sockets []*os.File, kept bool)
	// InheritedGuests tells of a plugin's guests in another process, from which they may come:
	// the last handles, and what they listen on; nil = there are none.
	InheritedGuests func(plugin string) (Handles, []GuestListener)
	// TakeOver is called at the end of Start, when everything is ready and nothing is
	// accepted yet, with a Takeover that is to be ended. On its error nothing starts.
	TakeOver func(*Takeover) error

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
	loader  *guest.Loader
	reactor *reactor.Reactor
	sources sources

	stopping   chan struct{} // closed when Shutdown begins
	stopOnce   sync.Once
	background sync.WaitGroup // what runs until then

	memory *guest.Reservations
	// launchesAtOnce is how many instances of a version are started off the loops at a
	// time: half of the processors stay with the loops.
	launchesAtOnce int

	// spent is the clock that callbacks are metered with. It is the real one even where
	// the reactor's is turned by a test: a guest that loops turns none.
	spent      func() time.Duration
	clockBase  time.Duration        // of the guests' monotonic clock: what the reactor's begins with
	cpu        func() time.Duration // the process's processor time; nil = unknown
	lookouts   []lookout            // by loop
	leftovers  leftovers
	giveBack   func()                   // gives what Go does not need back to the system
	mayOpen    func() uint64            // how many descriptors the process may have; 0 = any number. nil until Start
	observer   atomic.Pointer[Observer] // nil = none
	overloaded atomic.Bool
	shortOf    atomic.Pointer[string] // of what, while overloaded
	shed       atomic.Uint64          // idle connections that an overload has closed

	unmetered bool // for benchmarks, to know what metering costs
	paging    bool // for tests: every instance leaves its memory in every turn

	shape     sync.Mutex // held while plugins or listeners come or go
	ended     bool       // under shape; so is the next
	handed    bool       // another process has taken over
	placing   sync.Mutex // held while the loops of listeners change
	keeping   keeping
	mu        sync.Mutex // of what follows; never held while a loop is waited for
	unloaded  []*plugin  // they may have connections left
	coming    []*plugin  // that a change is adding
	cfg       config.Config
	plugins   map[string]*plugin
	pins      map[string]Pin // of Options.Resume, those that no plugin has taken yet; kept likewise
	kept      map[string][]Kept
	listeners []*listener
	ports     []*port

	ready readiness
}

// New prepares a host; it does no I/O. Where a setting may not be zero, zero stands
// for the default. The error is a config.Faults with all that is wrong with cfg.
func New(cfg config.Config, o Options) (*Host, error) {
	cfg, err := complete(cfg)
	if err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	var clockBase time.Duration
	if o.Wall == nil {
		o.Wall, clockBase = time.Now, time.Duration(time.Now().UnixNano())
	}
	made := time.Now()
	h := &Host{
		o: o, log: o.Logger, sources: sources{builtin: o.Builtin}, cfg: cfg,
		plugins: map[string]*plugin{}, stopping: make(chan struct{}),
		memory: guest.NewReservations(), launchesAtOnce: max(1, runtime.GOMAXPROCS(0)/2),
		spent: func() time.Duration { return time.Since(made) }, clockBase: clockBase, cpu: meter.ProcessClock(),
		giveBack: debug.FreeOSMemory, keeping: keeping{halves: map[string]bool{}},
	}
	h.sources.credentials = credentials.New(
		credentials.Options{Files: &h.sources.files, Wall: time.Now, Logger: o.Logger})
	return h, nil
}

// complete is cfg with defaults, and an error where it is not valid.
func complete(cfg config.Config) (config.Config, error) {
	cfg = cfg.WithDefaults()
	return cfg, cfg.Validate()
}

// now is the reactor's clock.
func (h *Host) now() time.Duration { return h.reactor.Now() }

// guestNow is the guests' monotonic clock. It goes on from one process to the next, for
// a guest that starts from the image of a start which was another process's; unless a
// test has given the host a wall clock.
func (h *Host) guestNow() time.Duration { return h.clockBase + h.reactor.Now() }

// wall is the guests' wall clock.
func (h *Host) wall() time.Time { return h.o.Wall() }

// Start compiles and starts every plugin, binds every listener, and begins to
// accept. On an error nothing is left running. A plugin whose module is sound
// but which fails to start is an error of that plugin alone: the others serve,
// and it is tried again. ctx cancels the start. Once; a second call is an error, and
// changes nothing. After Shutdown it is ErrNotRunning.
func (h *Host) Start(ctx context.Context) error {
	h.shape.Lock()
	defer h.shape.Unlock()
	if h.reactor != nil {
		return errors.New("host: started already")
	}
	if h.isStopping() {
		return ErrNotRunning
	}
	began := time.Now()
	h.resume()
	var err error
	if h.reactor, err = reactor.New(h.reactorConfig()); err != nil {
		return err
	}
	h.lookouts = make([]lookout, len(h.reactor.Loops()))
	if h.loader, err = h.newLoader(ctx); err != nil {
		return errors.Join(err, h.reactor.Close())
	}
	defer h.leftovers.beginLoading()()
	h.watchUse()
	h.log.Info("starting", "engine", h.loader.Name(), "backend", h.reactor.Backend(), "loops", len(h.reactor.Loops()))
	if err := h.startAll(ctx); err != nil {
		h.stopBackground()
		return errors.Join(err, h.freePlugins(ctx, h.reactor.Close()))
	}
	h.background.Go(h.tellCuts)
	h.background.Go(h.loader.TrimCache)
	h.sweepModules()
	h.announceListeners()
	h.warnAbsent()
	h.log.Debug("started", "took", time.Since(began).Round(time.Millisecond))
	h.announceReady()
	return nil
}

// startAll loads the plugins, binds the listeners, starts loops and plugins, and begins to
// accept. On an error some of that is left.
func (h *Host) startAll(ctx context.Context) error {
	if err := h.loadAll(ctx); err != nil {
		return err
	}
	if err := h.bind(ctx); err != nil {
		return err
	}
	if err := h.reactor.Start(); err != nil {
		return err
	}
	if err := h.startPlugins(ctx); err != nil {
		return err
	}
	if h.o.TakeOver != nil {
		t := h.takeOver()
		if err := h.o.TakeOver(t); err != nil {
			t.closeSpare()
			return err
		}
	}
	for _, l := range h.listeners {
		if err := l.ln.Start(); err != nil {
			return err
		}
	}
	for _, t := range h.ports {
		if err := t.on.Start(); err != nil {
			return err
		}
	}
	return nil
}

// isStopping tells whether the host's end has begun.
func (h *Host) isStopping() bool {
	select {
	case <-h.stopping:
		return true
	default:
		return false
	}
}

// stopBackground ends what runs beside the loops.
func (h *Host) stopBackground() {
	h.stopOnce.Do(func() { close(h.stopping) })
	h.background.Wait()
}

// tellCuts has each plugin say what was cut from its log, each second, until the
// host stops.
func (h *Host) tellCuts() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			for _, p := range h.all() {
				p.account.TellCut(false)
			}
			h.sources.credentials.Remind()
		case <-h.stopping:
			return
		}
	}
}

func (h *Host) reactorConfig() reactor.Config {
	c := h.cfg.Reactor
	return reactor.Config{
		Loops: c.Loops, Backend: c.Backend, Sys: h.o.Sys, Place: h.o.Place,
		CloseTimeout: c.CloseTimeout, WriteTimeout: c.WriteTimeout, ClosedTimeout: c.ClosedTimeout,
		HighWater: int(c.WriteBuffer.High), LowWater: int(c.WriteBuffer.Low), MaxQueued: int(c.WriteBuffer.Max),
		MaxQueuedAll: mostQueued(uint64(c.MaxMemory)), LibraryTLS: c.TLSRecords == "library",
		Ended: h.tellEnded, MaxConnections: c.MaxConnections, Logger: h.log.Named("reactor"),
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
			if p.active, errs[n] = p.loadVersion(ctx, h.cfg.Plugins[name], h.cfg.Trust); errs[n] == nil {
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

// startPlugins starts every plugin on the loops where it runs.
func (h *Host) startPlugins(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, p := range h.plugins {
		if err := p.openInside(); err != nil {
			return err
		}
	}
	for _, p := range h.plugins {
		if err := p.awaitGuests(); err != nil {
			return err
		}
		if err := p.startOnLoops(&wg); err != nil {
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

// Listeners are the endpoints listened on, ports resolved, in the configuration's order.
func (h *Host) Listeners() []reactor.Endpoint {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []reactor.Endpoint
	h.inOrder(func(l *listener) { list = append(list, l.ln.Endpoint()) },
		func(t *port) { list = append(list, t.on.Endpoint()) })
	return list
}

// Config is the configuration that runs, with what was loaded and unloaded
// since. Its maps and slices must not be changed. Any goroutine.
func (h *Host) Config() config.Config {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cfg
}

// plugin finds a plugin by its name, or is ErrUnknown.
func (h *Host) plugin(name string) (*plugin, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.plugins[name]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("plugin %s: %w", name, ErrUnknown)
}

// loaded lists the plugins by name.
func (h *Host) loaded() []*plugin {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.SortedFunc(maps.Values(h.plugins), func(a, b *plugin) int { return strings.Compare(a.name, b.name) })
}

// all are the plugins that are loaded, and those that were unloaded and have
// connections left.
func (h *Host) all() []*plugin {
	plugins := h.loaded()
	h.mu.Lock()
	defer h.mu.Unlock()
	return append(plugins, h.unloaded...)
}
