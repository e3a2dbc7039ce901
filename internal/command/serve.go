package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/operate"
	"github.com/wirehost/wirehost/internal/lines"
	"github.com/wirehost/wirehost/reactor"
)

func newServe(a *app) *cobra.Command {
	var trace []string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the host",
		Long: "Run the host until a signal ends it.\n\n" +
			"SIGHUP loads configuration and plugins again. SIGUSR2 has the executable that now lies\n" +
			"at this one's path take over, as 'wirehost upgrade' does. SIGTERM and SIGINT let\n" +
			"connections finish for reactor.drain_timeout; a second one ends at once. With\n" +
			"reactor.pre_stop the first begins that time, in which the host is unready and serves\n" +
			"on, and a second one ends it.\n\n" +
			"With no configuration file the built-in plugins run: echo on tcp://127.0.0.1:7007\n" +
			"and linereceiver on tcp://127.0.0.1:7008.",
		Args: arguments(),
		RunE: func(*cobra.Command, []string) error {
			a.queue()
			signals, stop := a.await(true)
			defer stop()
			return a.serve(signals, trace)
		},
	}
	cmd.Flags().StringArrayVar(&trace, "trace-abi", nil,
		"log every callback and host call of `PLUGIN`, with what its connections carry")
	return cmd
}

// said is which file the configuration was read from, and where each setting was said.
func (a *app) said() (file string, settings map[string]string) {
	if all := a.origins.Load(); all != nil {
		settings = *all
	}
	if a.file == "" {
		return "", settings
	}
	if abs, err := filepath.Abs(a.file); err == nil {
		return abs, settings
	}
	return a.file, settings
}

// program is the command line of this process, for an upgrade; nil where its executable is
// not known.
func (a *app) program() []string {
	path, err := os.Executable()
	if err != nil {
		return nil
	}
	// A link that leads to the program may lead to another one later.
	if asked, err := exec.LookPath(os.Args[0]); err == nil {
		if asked, err = filepath.Abs(asked); err == nil && sameFile(asked, path) {
			path = asked
		}
	}
	return append([]string{path}, a.args...)
}

// server is what serve runs, and what it was told.
type server struct {
	*app
	log     hclog.Logger
	ops     *operate.Server
	signals <-chan os.Signal
}

// serve runs the host. It returns nil after an orderly end, errForced after a
// second signal, and errSaid where the log has the reason.
func (a *app) serve(signals <-chan os.Signal, trace []string) error {
	cfg, err := a.load(context.Background())
	if err != nil {
		return err
	}
	for _, name := range trace {
		if _, ok := cfg.Plugins[name]; !ok {
			return fmt.Errorf("--trace-abi: found no plugin %q in the configuration", name)
		}
	}
	defer a.keepHeapFloor()()
	a.tellWith(cfg.Log)
	s := &server{app: a, log: a.logger(cfg.Log), signals: signals}
	o := a.options()
	o.Logger, o.Trace, o.SetMemoryLimit = s.log, trace, a.memoryLimit()
	s.ops, err = operate.New(cfg, operate.Options{
		Host: o, Load: a.load, Origins: a.said, Getenv: a.getenv, LogLost: a.queues.err.Lost,
		LogTail:  a.queues.err.Tail,
		Program:  a.program(),
		Stderr:   a.stderr,
		Reloaded: func(cfg config.Config) { s.log.SetLevel(hclog.LevelFromString(cfg.Log.Level)) },
	})
	if err != nil {
		lines.Log(s.log, "could not start", err)
		return errSaid
	}
	defer s.ops.Close()
	pending, err := s.start()
	if err != nil {
		return err
	}
	if a.file == "" {
		fmt.Fprint(a.stdout, s.hints())
	}
	s.run(pending)
	return s.shutdown()
}

// start starts the host. pending is a signal that came meanwhile and is to be
// obeyed now, or nil: one that ends may come when the host is ready already.
func (s *server) start() (pending os.Signal, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.ops.Start(ctx) }()
	ending := false
	for {
		select {
		case err := <-done:
			switch {
			case err == nil:
				return pending, nil
			case ending && errors.Is(err, context.Canceled):
				s.log.Error("stopped during start-up", "signal", pending.String())
			case ending:
				lines.Log(s.log, "stopped during start-up", err)
			default:
				lines.Log(s.log, "could not start", err)
			}
			return nil, errSaid
		case sig := <-s.signals:
			switch {
			case !goesOn(sig) && ending:
				s.log.Warn("ended by a second signal, during start-up", "signal", sig.String())
				return nil, errForced
			case !goesOn(sig):
				ending = true
				cancel()
				pending = sig
			case !ending:
				pending = sig
			}
		}
	}
}

// run waits for the signal that ends, and reloads at each SIGHUP: one reload at
// a time, and one more for all that came during it. pending has come already.
func (s *server) run(pending os.Signal) {
	ctx, cancel := context.WithCancel(host.WithBy(context.Background(), host.By{Trigger: "hup"}))
	defer cancel()
	again := false
	var reloaded chan struct{} // nil: none under way
	obey := func(sig os.Signal) (ends bool) {
		switch sig {
		case syscall.SIGHUP:
			again = true
			return false
		case upgradeSignal:
			go func() { _, _ = s.ops.Upgrade(ctx, false) }() // the log has it
			return false
		}
		s.log.Info("ending", "signal", sig.String())
		return true
	}
	if pending != nil && obey(pending) {
		return
	}
	for {
		if again && reloaded == nil {
			again, reloaded = false, make(chan struct{})
			go func(done chan<- struct{}) {
				defer close(done)
				_, _ = s.ops.Reload(ctx) // the log has it
			}(reloaded)
		}
		select {
		case <-reloaded:
			reloaded = nil
		case <-s.ops.Replaced():
			return
		case sig := <-s.signals:
			if obey(sig) {
				return
			}
		}
	}
}

// shutdown lets connections finish, for as long as drain_timeout says.
func (s *server) shutdown() error {
	done := make(chan error, 1)
	go func() { done <- s.ops.Shutdown(context.Background()) }()
	for {
		select {
		case err := <-done:
			if err != nil {
				lines.Log(s.log, "ended with an error", err)
				return errSaid
			}
			return nil
		case sig := <-s.signals:
			if !goesOn(sig) && s.ops.EndPreStop() {
				s.excused.Add(1)
				s.log.Info("a second signal: listeners close now", "signal", sig.String())
			} else if !goesOn(sig) {
				s.log.Warn("ended by a second signal; connections were cut", "signal", sig.String())
				return errForced
			}
		}
	}
}

// hints say what to type to try what runs.
func (s *server) hints() string {
	var b strings.Builder
	b.WriteString("No configuration file: running what is built in. Try it from another terminal:\n")
	plugins := s.ops.Config().Plugins
	for _, l := range s.ops.ListenerInfos() {
		ep, err := endpointOf(l.Endpoint)
		if err != nil {
			continue // the log has it
		}
		what := "talk to " + l.Plugin
		flag := ""
		switch plugins[l.Plugin].Module {
		case "builtin:echo":
			what = "every byte comes back"
		case "builtin:linereceiver":
			what, flag = "every line comes back; its lines end with CR LF", "-C "
		}
		fmt.Fprintf(&b, "  %-36s # %s\n", connectWith(ep, flag), what)
	}
	b.WriteString("End with Ctrl-C; a second one does not wait for open connections.\n")
	return b.String()
}

// endpointOf reads a listener's endpoint.
func endpointOf(text string) (reactor.Endpoint, error) {
	if config.ForDatagrams(text) {
		return reactor.ParseDatagramEndpoint(text)
	}
	return reactor.ParseEndpoint(text)
}

// connectWith is the command that connects a terminal to an endpoint.
func connectWith(ep reactor.Endpoint, flag string) string {
	host := ep.Host
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "127.0.0.1"
	}
	switch ep.Scheme {
	case "unix":
		return fmt.Sprintf("nc %s-U %s", flag, ep.Path)
	case "unixgram":
		return fmt.Sprintf("nc %s-uU %s", flag, ep.Path)
	case "udp":
		flag += "-u "
	case "tls":
		return fmt.Sprintf("openssl s_client -quiet -connect %s:%d", host, ep.Port)
	}
	return fmt.Sprintf("nc %s%s %d", flag, host, ep.Port)
}
