// Package admin is the HTTP server that an operator talks to: what runs, and
// changes of it. It speaks JSON on a Unix socket, or on a loopback address.
// The description of it that programs can read is openapi.json, which it serves
// under /v1/openapi.json; README.md has the problems that it answers with.
//
// Whoever reaches the socket may do all of it: the socket's mode is the access
// control. On TCP, where every local user and every web page in a local browser
// can connect, a page can do nothing: see guard.
package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/pprof/profile"
	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
)

// Host is what is administered: a *host.Host, and what its owner knows.
// Methods may be called from any goroutine.
type Host interface {
	Ready() bool
	Unready() string // why it is not ready; "" = it is
	Plugins() ([]host.PluginInfo, error)
	Plugin(name string) (host.PluginInfo, error)
	Connections(ctx context.Context, q host.ConnQuery) (host.ConnPage, error)
	CloseConnections(ctx context.Context, f host.ConnFilter, abort bool) (closed int, err error)
	ListenerInfos() []host.ListenerInfo
	GuestSockets(most int) (list []host.ListenerInfo, more bool)
	Certificates() []host.CertificateInfo
	LoopInfos() ([]host.LoopInfo, error)
	Overload() (on bool, closed uint64)
	Config() config.Config

	LoadPlugin(ctx context.Context, name string, cfg config.Plugin, listeners ...config.Listener) (host.Change, error)
	UnloadPlugin(ctx context.Context, name string) (host.Change, error)
	ReloadPlugin(ctx context.Context, name string, force bool) (host.Outcome, error)
	UsePlugin(ctx context.Context, version string) (host.Outcome, error)
	Trace(plugin string, conn int32, on bool) error
	TraceTo(ctx context.Context, plugin string, conn int32, to io.Writer) error
	Profile(ctx context.Context, plugin string, d time.Duration) (*profile.Profile, error)
	// Origins are the configuration's file, "" for none, and where each setting was said,
	// by its dotted name.
	Origins() (file string, settings map[string]string)
	UnpinPlugin(ctx context.Context, name string) (host.Outcome, error)
	// History tells what became of a plugin, the last change first.
	History(plugin string) ([]Event, error)
	// SavePlugin has a plugin that was loaded or unloaded stay so over restarts; CanSave
	// says why that can't be, nil = it can.
	SavePlugin(name string) error
	CanSave() error
	// ReloadConfig reads the configuration again, and goes over to it.
	ReloadConfig(ctx context.Context) (host.Change, error)
	// Upgrade hands over to the program's executable as it is now, or only says what would move.
	Upgrade(ctx context.Context, dryRun bool) (host.Upgraded, error)
}

// Options are what a Server is given. Host must be set.
type Options struct {
	Host    Host
	Logger  hclog.Logger // nil = none
	Metrics *Metrics     // nil = /metrics has what Host tells, and no counts of changes
	// LogTail is the last lines of the log; nil = there are none. Any goroutine.
	LogTail func() []byte
	// Authority is the address that is listened on, as HOST:PORT, where web pages
	// can reach it: see guard. "" = a Unix socket, where they can't.
	Authority string
	// TLS is what TCP is served with; nil = it is plain. Whose certificate it has verified
	// needs no token.
	TLS *tls.Config
	// Token is what requests on TCP must bear, as it is now; nil = they need none, and
	// where TLS asks for certificates, those must do. Any goroutine.
	Token func() string
}

const (
	// maxBody is how long a request's body may be, in bytes.
	maxBody = 1 << 20
	// maxHeader is how long its header may be, in bytes.
	maxHeader = 64 << 10
	// ioTime is how long a request may take to arrive, and an answer to leave.
	// What is between has no limit: a module may compile for as long as
	// compile_time says.
	ioTime = 30 * time.Second
	// idleTime is how long a connection may stay without a request.
	idleTime = 2 * time.Minute
)

// Server answers administrators. Its methods may be called from any goroutine.
type Server struct {
	o       Options
	log     hclog.Logger
	began   time.Time
	http    *http.Server
	routes  []route
	ioTime  time.Duration
	feed    *feed    // of the page
	changes sync.Map // names of plugins that a conditional request changes now

	administers bool         // or it is a monitor
	refusedAt   atomic.Int64 // when a refused request was last logged, in ns
	refusedMore atomic.Int64 // refused since then
}

// New makes a Server that does not serve yet.
func New(o Options) *Server {
	s := newServer(o)
	s.routes, s.administers = s.table(), true
	s.http = &http.Server{
		Handler: s.guard(s.mux(func(m *http.ServeMux) {
			s.profiles(m)
			s.page(m)
		})),
		ConnContext:       knowAsker,
		ReadHeaderTimeout: ioTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(&seldom{log: s.log}, "", 0),
	}
	s.http.RegisterOnShutdown(s.feed.end)
	return s
}

func newServer(o Options) *Server {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	s := &Server{o: o, log: o.Logger, ioTime: ioTime, began: time.Now()}
	s.feed = newFeed(s.sight)
	return s
}

// Serve answers what comes in on ln, until Close, or until ln is closed. It closes ln.
func (s *Server) Serve(ln net.Listener) error {
	if s.o.TLS != nil {
		ln = tls.NewListener(ln, s.o.TLS)
	}
	if err := s.http.Serve(ln); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// ServeConn answers what comes in on one connection, however rarely, until that ends.
func (s *Server) ServeConn(conn net.Conn) {
	one := &oneConn{Conn: conn, done: make(chan struct{})}
	server := &http.Server{Handler: s.http.Handler, ConnContext: asOwn, MaxHeaderBytes: maxHeader,
		ErrorLog: s.http.ErrorLog, ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed || state == http.StateHijacked {
				one.end()
			}
		}}
	_ = server.Serve(one) // the end of the connection
}

// oneConn is a listener that has one connection.
type oneConn struct {
	net.Conn
	given atomic.Bool
	done  chan struct{}
	once  sync.Once
}

func (o *oneConn) Accept() (net.Conn, error) {
	if !o.given.Swap(true) {
		return o.Conn, nil
	}
	<-o.done
	return nil, net.ErrClosed
}

func (o *oneConn) end() { o.once.Do(func() { close(o.done) }) }

// Close ends Accept; the connection is the server's.
func (o *oneConn) Close() error {
	o.end()
	return nil
}

func (o *oneConn) Addr() net.Addr { return o.Conn.LocalAddr() }

// Close stops listening, lets requests finish until ctx is done, and ends the
// rest.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}
