package admin

import (
	"container/list"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/internal/build"
	"github.com/wirehost/wirehost/reactor"
)

// The bounds of a monitor, which anybody may reach. All that it keeps is below the
// descriptors that are kept back for it and for administration.
const (
	monitorConns  = 16               // open at a time; one more closes the oldest
	monitorHeader = 8 << 10          // bytes of a request's header
	monitorIn     = 5 * time.Second  // for a request to arrive
	monitorOut    = 10 * time.Second // for an answer to be made and to leave
	monitorFresh  = 250 * time.Millisecond
)

// NewMonitor makes a Server that tells how the host does, to whoever asks, and changes
// nothing: probes, metrics, /status.json. It shows nothing of clients, and waits for no
// event loop.
func NewMonitor(o Options) *Server {
	s := newServer(o)
	s.o.Host = &steady{Host: s.o.Host}
	s.routes = []route{
		{method: "GET", path: "/healthz", do: s.health},
		{method: "GET", path: "/readyz", do: s.ready},
		{method: "GET", path: "/metrics", raw: s.o.Metrics.serve(s.o.Host)},
		{method: "GET", path: "/status.json", do: s.status},
	}
	s.http = &http.Server{
		Handler:           s.mux(s.page),
		ReadHeaderTimeout: monitorIn,
		ReadTimeout:       monitorIn,
		WriteTimeout:      monitorOut,
		MaxHeaderBytes:    monitorHeader,
		ErrorLog:          s.log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}
	s.http.SetKeepAlivesEnabled(false)
	s.http.RegisterOnShutdown(s.feed.end)
	s.ioTime = monitorOut
	return s
}

// ListenMonitor binds the endpoint that a monitor serves: unix://PATH, or tcp://HOST:PORT on
// any address. It keeps the newest 16 connections.
func ListenMonitor(endpoint string) (net.Listener, error) {
	e, err := reactor.ParseEndpoint(endpoint)
	var ln net.Listener
	switch {
	case err != nil:
	case e.Scheme == "unix":
		ln, err = listenUnix(e.Path)
	case e.Scheme == "tcp":
		ln, err = net.Listen("tcp", net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))))
	default:
		err = fmt.Errorf("found the scheme %s, wanted unix or tcp", e.Scheme)
	}
	if err != nil {
		return nil, fmt.Errorf("monitor: %s: %w", endpoint, err)
	}
	return &newest{Listener: ln}, nil
}

// ListenMonitorFile is ListenMonitor with a socket that listens there already, which another
// process has given. It closes f.
func ListenMonitorFile(f *os.File, endpoint string) (net.Listener, error) {
	ln, err := listenFile(f, endpoint)
	if err != nil {
		return nil, fmt.Errorf("monitor: %s: %w", endpoint, err)
	}
	return &newest{Listener: ln}, nil
}

func (l *newest) inner() net.Listener { return l.Listener }

// newest is a listener that closes the oldest connection for one too many. So those that
// are opened and say nothing keep out nobody who asks at once, as a probe does.
type newest struct {
	net.Listener
	mu   sync.Mutex
	open list.List // of *kept, the oldest first
}

// Accept takes a connection.
func (l *newest) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	k := &kept{Conn: c, of: l}
	l.mu.Lock()
	k.at = l.open.PushBack(k)
	var over *kept
	if l.open.Len() > monitorConns {
		over, _ = l.open.Front().Value.(*kept)
		l.open.Remove(over.at)
	}
	l.mu.Unlock()
	if over != nil {
		_ = over.Conn.Close() // whoever has it closes it again
	}
	return k, nil
}

// kept is a connection of a newest.
type kept struct {
	net.Conn
	of *newest
	at *list.Element
}

// Close closes it, and makes room.
func (k *kept) Close() error {
	k.of.mu.Lock()
	k.of.open.Remove(k.at) // nothing, where it was removed before
	k.of.mu.Unlock()
	return k.Conn.Close()
}

// steady is a Host that looks at its loops no more often than each monitorFresh, whoever
// asks: a look takes a loop's time.
type steady struct {
	Host
	mu                    sync.Mutex
	pluginsAt, loopsAt    time.Time
	plugins               []host.PluginInfo
	loops                 []host.LoopInfo
	pluginsErr, loopsErrs error
}

// Plugins is the Host's.
func (s *steady) Plugins() ([]host.PluginInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.pluginsAt) >= monitorFresh {
		s.plugins, s.pluginsErr = s.Host.Plugins()
		s.pluginsAt = time.Now()
	}
	return s.plugins, s.pluginsErr
}

// LoopInfos is the Host's.
func (s *steady) LoopInfos() ([]host.LoopInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.loopsAt) >= monitorFresh {
		s.loops, s.loopsErrs = s.Host.LoopInfos()
		s.loopsAt = time.Now()
	}
	return s.loops, s.loopsErrs
}

// The body of /status.json. What guests and clients have written, such as the text of a trap,
// is not in it, nor are paths and peers.
type (
	statusBody struct {
		Ready      bool           `json:"ready"`
		Unready    string         `json:"unready,omitempty"` // why
		Build      build.Info     `json:"build"`
		Started    time.Time      `json:"started"`
		Overloaded bool           `json:"overloaded"`
		Shed       uint64         `json:"overload_closed"` // ever: idle connections that an overload has closed
		Reloads    reloadStatus   `json:"config_reload"`
		Plugins    []pluginStatus `json:"plugins"`
		Listeners  []listenStatus `json:"listeners"`
		Loops      []loopStatus   `json:"loops"`
	}
	pluginStatus struct {
		Name        string             `json:"name"`
		State       string             `json:"state"`
		Active      string             `json:"active"`
		Isolation   config.Isolation   `json:"isolation"`
		Versions    []versionStatus    `json:"versions"`
		Connections int                `json:"connections"`
		Instances   int                `json:"instances"`
		PagedOut    int                `json:"paged_out"`
		Timers      int                `json:"timers"`
		Memory      uint64             `json:"memory_bytes"`
		Traps       map[string]uint64  `json:"traps"`
		Callbacks   host.CallbackStats `json:"callbacks"`
		FailedAt    *time.Time         `json:"last_failure_at,omitempty"` // of the last change, where it failed
		Stale       bool               `json:"stale,omitempty"`
		PinnedAt    *time.Time         `json:"pinned_at,omitempty"`
		Failure     string             `json:"last_failure,omitempty"` // on administration's page alone
		PinnedBy    string             `json:"pinned_by,omitempty"`    // as well
		why, pinner string             // what those are
		metrics     []guest.Metric
	}
	versionStatus struct {
		Name        string     `json:"name"`
		State       host.State `json:"state"`
		Since       time.Time  `json:"since"`
		Instances   int        `json:"instances"`
		Connections int        `json:"connections"`
	}
	listenStatus struct {
		Endpoint    string `json:"endpoint"`
		Plugin      string `json:"plugin"`
		Connections int    `json:"connections"`
		Accepted    uint64 `json:"accepted"`
		Refused     uint64 `json:"refused"`
	}
	loopStatus struct {
		Connections int      `json:"connections"`
		Opened      uint64   `json:"opened"`
		Lost        uint64   `json:"lost"`
		BytesIn     uint64   `json:"bytes_in"`
		BytesOut    uint64   `json:"bytes_out"`
		Queued      uint64   `json:"bytes_queued"`
		Turns       []uint64 `json:"turns"` // by TurnBounds of package host: how long they took
		TurnTime    float64  `json:"turn_seconds"`
		Late        float64  `json:"late_seconds"` // for how long it has not answered
	}
)

// status is /status.json.
func (s *Server) status(http.ResponseWriter, *http.Request) (*answer, error) {
	return &answer{body: s.statusNow()}, nil
}

// statusNow is how the host does. What does not run yet is left out.
func (s *Server) statusNow() statusBody {
	h := s.o.Host
	b := statusBody{Unready: h.Unready(), Build: s.o.Metrics.build, Started: s.o.Metrics.started,
		Reloads: s.o.Metrics.lastReload(), Plugins: []pluginStatus{}, Listeners: []listenStatus{},
		Loops: []loopStatus{}}
	b.Ready = b.Unready == ""
	b.Overloaded, b.Shed = h.Overload()
	if plugins, err := h.Plugins(); err == nil {
		for _, p := range plugins {
			b.Plugins = append(b.Plugins, statusOf(p))
		}
	}
	for _, l := range h.ListenerInfos() {
		b.Listeners = append(b.Listeners, listenStatus{l.Endpoint, l.Plugin, l.Connections, l.Accepted, l.Refused})
	}
	if loops, err := h.LoopInfos(); err == nil {
		for _, l := range loops {
			b.Loops = append(b.Loops, loopStatus{Connections: l.Connections, Opened: l.Opened, Lost: l.Lost,
				BytesIn: l.BytesIn, BytesOut: l.BytesOut, Queued: l.Queued, Turns: l.Turns[:],
				TurnTime: l.TurnTime.Seconds(), Late: l.Late.Seconds()})
		}
	}
	return b
}

func statusOf(p host.PluginInfo) pluginStatus {
	b := pluginStatus{Name: p.Name, State: p.State, Active: p.Active, Isolation: p.Isolation,
		Versions: []versionStatus{}, Connections: p.Connections, Instances: p.Instances, PagedOut: p.PagedOut,
		Timers: p.Timers, Memory: p.Memory, Traps: p.Traps, Callbacks: p.Callbacks, FailedAt: p.FailedAt,
		Stale: p.Stale, PinnedAt: p.PinnedAt, pinner: p.PinnedBy, metrics: p.Metrics,
		why: strings.TrimSpace(p.Reason + " " + p.Failure)}
	for _, v := range p.Versions {
		b.Versions = append(b.Versions, versionStatus{v.Name, v.State, v.Since, v.Instances, v.Connections})
	}
	return b
}
