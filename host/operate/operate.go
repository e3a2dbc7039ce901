// Package operate is what a running server does around its host: it watches the
// modules' files and goes over to what was saved, answers administrators, reads
// its configuration again when it is told to, and lets connections finish at the
// end. The command wirehost serves with it, and so does a program that embeds a
// host: [Run] is all of it in one call.
//
// Signals, flags and exit codes are the program's own.
package operate

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/admin"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/bounded"
	"github.com/wirehost/wirehost/internal/lines"
	"github.com/wirehost/wirehost/internal/logqueue"
	"github.com/wirehost/wirehost/internal/watch"
)

// Options are what a Server is given from outside. Load is needed, by Run and to
// reload; the zero value of all else is safe.
type Options struct {
	// Load reads the configuration: Run does so at the start, and a reload again.
	// File makes one. One goroutine at a time; it should give up when ctx is done.
	Load func(ctx context.Context) (config.Config, error)
	// Host are the host's own options. The Server logs with its Logger too.
	Host host.Options
	// Log is where the log goes that the configuration's section log describes, where
	// Host.Logger is nil; nil = nowhere. What it is waits in a queue, so that a reader
	// who stands still holds up no event loop: past 1 MiB lines are lost, counted and
	// told. Where it is a pipe, the program must take SIGPIPE (signal.Notify), or Go
	// ends it when the pipe's reader has gone.
	Log io.Writer
	// Reloaded is told each configuration that a reload has gone over to, for what is
	// not the host's: the level of a log, say. nil = nobody is.
	Reloaded func(config.Config)
	// LogLost is how many lines of Host.Logger's log were lost, ever, for a metric;
	// nil = there is no such metric. Any goroutine.
	LogLost func() uint64
	// LogTail is the last lines of Host.Logger's log, for administrators; nil = they are not
	// shown, and with Log it is set. Any goroutine.
	LogTail func() []byte
	// Origins says which file Load has read last, "" for none, and where each setting was
	// said, as config.Options.Origins is told; nil = nobody knows.
	Origins func() (file string, settings map[string]string)
	// Program is the command line of the program, for Upgrade: the path of its executable
	// and its arguments; nil = there is no Upgrade.
	Program []string
	// Stderr is where access_log.to: stderr goes; nil = os.Stderr.
	Stderr io.Writer
	// Getenv finds the default place of the administration's socket; nil = os.Getenv.
	Getenv func(string) string
}

func (o Options) load(ctx context.Context) (config.Config, error) {
	if o.Load == nil {
		return config.Config{}, errors.New("operate: found no Options.Load, wanted one, such as File gives")
	}
	return o.Load(ctx)
}

// load reads the configuration.
func (s *Server) load(ctx context.Context) (config.Config, error) {
	s.loading.Lock()
	defer s.loading.Unlock()
	return s.o.load(ctx)
}

// File reads the configuration from a file, for Options.Load: YAML, or by its
// extension TOML or JSON. Relative paths within it start at its folder, and ${VARIABLE}
// is of the process's environment. It waits for no file for ever.
func File(path string) func(context.Context) (config.Config, error) {
	files := &bounded.Reader{}
	return func(ctx context.Context) (config.Config, error) {
		if path == "" {
			return config.Config{}, errors.New("configuration: found no name of a file, wanted one")
		}
		read := func(path string) ([]byte, error) { return files.Read(ctx, path, bounded.MaxText) }
		return config.Load(config.Options{File: path, ReadFile: read, LookupEnv: os.LookupEnv})
	}
}

// Server is a host that runs, as operators see it: changes by whatever trigger go
// through it, and the files that are watched follow them. What it does not
// change of the host is the host's own. Any goroutine but the loops'.
type Server struct {
	*host.Host
	o       Options
	log     hclog.Logger
	metrics *admin.Metrics
	started atomic.Bool
	ending  atomic.Bool

	ctx    context.Context // of changes by watched files
	cancel context.CancelFunc

	administration administration
	monitor        monitor
	inherited      *inheritance // from the process that this one takes over from; nil = none
	predecessors   predecessors
	replaced       chan struct{} // closed when another process has taken over
	drain          time.Duration // then: what is left may take so long to end
	access         accessLog
	keep           keeper
	tracing        tracing
	activated      activated
	files          func() []*os.File // of the service manager's
	watchdog       sync.WaitGroup
	leaving        sync.WaitGroup  // letGo, until it has
	over           chan struct{}   // closed by Close
	hurry          chan struct{}   // closed by EndPreStop
	stopping       atomic.Int32    // how far Shutdown has come
	queue          *logqueue.Queue // of Options.Log; nil = it is not used
	close          sync.Once

	origins atomic.Pointer[origins] // of the configuration that runs
	loading sync.Mutex              // held while Options.Load runs
	mu      sync.Mutex
	watcher *watch.Watcher // nil = files can't be watched, or it has ended
	refused map[string]int // by credential's file: how often what it has now was refused
	refusal string         // that was told last
}

// New prepares a server; it does no I/O. It must be closed, which Shutdown does too.
func New(cfg config.Config, o Options) (*Server, error) {
	s := &Server{o: o, replaced: make(chan struct{})}
	if o.Host.Logger == nil {
		s.o.Host.Logger = hclog.NewNullLogger()
		if o.Log != nil {
			s.openLog(cfg.Log)
		}
	}
	s.log = s.o.Host.Logger
	s.o.Host.Inherited = func(endpoint string) *os.File {
		f, _ := s.given(endpoint, endpoint)
		return f
	}
	s.o.Host.InheritedDatagrams = s.givenDatagrams
	s.o.Host.InheritedGuests = func(plugin string) (host.Handles, []host.GuestListener) {
		return s.inherited.guests(plugin)
	}
	if _, there := os.LookupEnv(handoverVariable); there {
		s.o.Host.TakeOver = func(t *host.Takeover) error { return s.inherited.takeOver(t) }
	}
	s.over, s.hurry, s.files = make(chan struct{}), make(chan struct{}), activationFiles
	s.keep = keeper{log: s.log.Named("state"), state: newState(), why: errors.New("the server has not started")}
	s.o.Host.Resume, s.o.Host.Modules = s.keep.resumed, s.keep.modules
	var err error
	if s.o.Host.Patience == 0 {
		s.o.Host.Patience = lookPatience
	}
	if s.Host, err = host.New(cfg, s.o.Host); err != nil {
		s.closeLog()
		return nil, err
	}
	s.noteOrigins()
	s.keep.base = s.Config()
	s.metrics = admin.NewMetrics(s.o.LogLost)
	s.beginObserving()
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// lookPatience is Host.Patience where the program says nothing: administrators and probes are
// answered within a second.
const lookPatience = 800 * time.Millisecond

// Run reads the configuration and serves until ctx is done, or another process has taken
// over. Then connections may
// finish for reactor.drain_timeout, and the rest are closed; that is no error. An
// error is one of the start, the context's where it ended that, or of the end.
func Run(ctx context.Context, o Options) error {
	cfg, err := o.load(ctx)
	if err != nil {
		return err
	}
	s, err := New(cfg, o)
	if err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-s.Replaced():
	}
	return s.Shutdown(context.WithoutCancel(ctx))
}

// Start begins to serve: administrators are listened for, the host starts, and its
// modules' files are watched. Where administrators can't be listened for, nothing
// starts; of the default endpoint that is only a warning. On an error nothing is
// left running. ctx cancels the start. A second call is an error, and
// changes nothing: who tries again makes another Server.
func (s *Server) Start(ctx context.Context) error {
	if s.started.Swap(true) {
		return errors.New("operate: found a server that was started before, wanted a new one: each starts once")
	}
	s.activated.take(s.files(), s.log)
	err := s.observe(s.Config())
	if err == nil {
		s.inherited, err = s.inherit()
	}
	if err == nil {
		err = s.administration.known.read(ctx, s.Config().Admin, s.log.Named("admin"), true)
	}
	if err == nil {
		err = s.administration.listen(s.Config().Admin, s.o.Getenv, s.given)
	}
	if err == nil {
		s.keep.open(s.Config().State, s.administration.endpoint(), s.getenv())
		err = s.monitor.listen(s, s.given)
	}
	if err == nil {
		if s.inherited == nil { // else it is the other process's until the host runs
			s.monitor.begin()
		}
		err = s.Host.Start(ctx)
	}
	if err != nil {
		err = s.inherited.because(err)
		s.inherited.close()
		s.Close()
		return err
	}
	_, _ = s.loadSaved(ctx) // it has told, and begun remembers
	s.administration.begin(s)
	if s.inherited != nil {
		s.monitor.begin()
		s.inherited.takeRest()
	}
	s.begun()
	s.beginWatching()
	s.activated.closeRest(s.log)
	s.notifyReady("serving")
	s.beginWatchdog()
	return nil
}

// Ready tells whether every listener is bound and every plugin active, connections are taken,
// and the server is not ending.
func (s *Server) Ready() bool { return s.Unready() == "" }

// Unready says why the server is not Ready, in words that tell nothing of its clients; "" where
// it is.
func (s *Server) Unready() string {
	if s.ending.Load() {
		return "the server is ending"
	}
	return s.Host.Unready()
}

// getenv is Options.Getenv.
func (s *Server) getenv() func(string) string {
	if s.o.Getenv == nil {
		return os.Getenv
	}
	return s.o.Getenv
}

// Shutdown lets no more changes begin, and connections finish for
// reactor.drain_timeout, or until ctx is done; then it closes the rest, which is
// told in the log and is no error. Before that, for reactor.pre_stop, it goes on as ever,
// but unready. Then the endpoints are another process's to take, the administration's too.
func (s *Server) Shutdown(ctx context.Context) error {
	s.endChanges()
	drain := s.Config().Reactor.DrainTimeout
	select {
	case <-s.replaced:
		drain = s.drain
	default:
		s.notifyStopping(s.Config().Reactor.PreStop + drain)
		s.preStop(ctx)
		s.letGo()
	}
	ctx, cancel := context.WithTimeout(ctx, drain)
	defer cancel()
	err := s.Host.Shutdown(ctx)
	switch {
	case err == nil:
		s.log.Info("ended")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		s.log.Warn("ended; connections that had not finished were closed", "drain_timeout", drain)
		err = nil
	}
	s.Close()
	return err
}

// Stages of Shutdown.
const (
	inPreStop = 1 + iota
	pastPreStop
)

// preStop goes on serving, unready, for as long as whoever sends clients here is to have to
// notice that.
func (s *Server) preStop(ctx context.Context) {
	wait := s.Config().Reactor.PreStop
	if wait <= 0 || !s.stopping.CompareAndSwap(0, inPreStop) {
		return
	}
	s.log.Info("unready; serving on before listeners close", "pre_stop", wait)
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.hurry:
	case <-ctx.Done():
	}
	s.stopping.Store(pastPreStop)
}

// EndPreStop has a Shutdown that still serves, for reactor.pre_stop, go on: listeners close,
// and connections may finish. It tells whether there was one. Any goroutine.
func (s *Server) EndPreStop() bool {
	if !s.stopping.CompareAndSwap(inPreStop, pastPreStop) {
		return false
	}
	close(s.hurry)
	return true
}

// letGo leaves to the next process what only one can have, while connections finish:
// it may start now. Requests under way have requestWait.
func (s *Server) letGo() {
	s.keep.release()
	s.activated.close()
	s.leaving.Go(func() {
		if err := errors.Join(s.administration.end(), s.monitor.end()); err != nil {
			s.log.Warn("letting go of the administration", "err", err)
		}
	})
}

// Close ends what is around the host, and leaves the host itself as it is: a
// program that ends without Shutdown, or in the middle of it, leaves no socket
// behind in this way. Requests under way have a second. Calling it again does
// nothing.
func (s *Server) Close() {
	s.endChanges()
	s.close.Do(func() {
		close(s.over)
		s.watchdog.Wait()
		s.leaving.Wait()
		s.activated.close()
		s.predecessors.close()
		if err := s.administration.end(); err != nil {
			s.log.Warn("closing the administration", "err", err)
		}
		if err := s.monitor.end(); err != nil {
			s.log.Warn("closing the monitor", "err", err)
		}
		s.endObserving()
		s.keep.release()
		s.closeLog()
	})
}

// endChanges lets no more changes begin. Administrators can still ask.
func (s *Server) endChanges() {
	s.ending.Store(true)
	s.cancel()
	s.mu.Lock()
	w := s.watcher
	s.watcher = nil // and none comes: beginWatching sees ending
	s.mu.Unlock()
	if w == nil {
		return
	}
	if err := w.Close(); err != nil {
		s.log.Warn("watching files", "err", err)
	}
}

// logWait is how long the end waits for what is queued to be written.
const logWait = time.Second

func (s *Server) closeLog() {
	if s.queue != nil {
		s.queue.Close(logWait)
	}
}

// openLog makes the logger that o.Log is written by.
func (s *Server) openLog(cfg config.Log) {
	var tell hclog.Logger // of lines that were lost, at any level
	s.queue = logqueue.New(logqueue.Options{To: s.o.Log, Tail: true, Lost: func(lost, bytes uint64) {
		tell.Error("log lines were lost: nobody read them", "lines", lost, "bytes", bytes)
	}})
	tell = lines.Logger(s.queue, "error", cfg.Format)
	log := lines.Logger(s.queue, cfg.Level, cfg.Format)
	s.o.Host.Logger, s.o.LogLost, s.o.LogTail = log, s.queue.Lost, s.queue.Tail
	reloaded := s.o.Reloaded
	s.o.Reloaded = func(cfg config.Config) {
		log.SetLevel(hclog.LevelFromString(cfg.Log.Level))
		if reloaded != nil {
			reloaded(cfg)
		}
	}
}
