package admin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"go.uber.org/goleak"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/reactor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a Host of one plugin, echo.
type fake struct {
	mu       sync.Mutex
	ready    bool
	active   string
	pinned   *time.Time
	err      error // of the next changes and lists
	cfg      config.Config
	loaded   config.Plugin
	listens  []config.Listener
	forced   bool
	saved    []string
	cantSave error
	traced   string // conn, on
	profiled time.Duration
	query    host.ConnQuery
	closing  host.ConnFilter
	aborted  bool
	by       host.By
	entered  chan struct{} // where it is not nil, reload says here that it has begun
	proceed  chan struct{} // and waits for this
}

func newFake() *fake {
	return &fake{ready: true, active: "echo@aaaaaaaaaaaa", cfg: config.Defaults()}
}

func (f *fake) Ready() bool { return f.ready }

func (f *fake) fault() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *fake) Plugins() ([]host.PluginInfo, error) {
	if err := f.fault(); err != nil {
		return nil, err
	}
	p, err := f.Plugin("echo")
	return []host.PluginInfo{p}, err
}

func (f *fake) Plugin(name string) (host.PluginInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if name != "echo" {
		return host.PluginInfo{}, fmt.Errorf("plugin %s: %w", name, host.ErrUnknown)
	}
	at := time.Unix(1, 0)
	return host.PluginInfo{
		Name: "echo", State: "active", Active: f.active, Module: "builtin:echo", Isolation: "loop", Reload: "migrate",
		Versions: []host.VersionInfo{{Name: f.active, State: host.StateActive, Since: at, SHA256: "aa", Instances: 2,
			Connections: 3}, {Name: "echo@000000000000", State: host.StateStandby}},
		Connections: 3, Instances: 2, PagedOut: 1, Timers: 1, Memory: 1 << 17,
		Traps:   map[string]uint64{"unreachable": 4},
		Growths: 5, Cut: 6, Unrecorded: 7,
		Metrics:   []guest.Metric{{Name: "lines_total", Kind: "counter", Value: 8}},
		Callbacks: host.CallbackStats{Counts: [7]uint64{100, 10, 1, 0, 0, 0, 2}, Sum: 2.5, Slow: 2},
		Failure:   "it was bad", FailedAt: &at, PinnedAt: f.pinned, PinnedBy: "page, root",
	}, nil
}

func (f *fake) Connections(_ context.Context, q host.ConnQuery) (host.ConnPage, error) {
	if q.Plugin == "none" {
		return host.ConnPage{}, fmt.Errorf("plugin none: %w", host.ErrUnknown)
	}
	f.query = q
	return host.ConnPage{Connections: []host.ConnInfo{
		{ID: "echo/1", Plugin: "echo", Version: f.active, Peer: "1.2.3.4:5", State: "open"},
		{ID: "line/1", Plugin: "line"}}, Next: "1.5"}, f.fault()
}

func (f *fake) CloseConnections(ctx context.Context, filter host.ConnFilter, abort bool) (int, error) {
	if filter.IsZero() {
		return 0, host.ErrNoFilter
	}
	f.closing, f.aborted, f.by = filter, abort, host.ByOf(ctx)
	if slices.Contains(filter.IDs, "echo/9") {
		return len(filter.IDs) - 1, fmt.Errorf("connection echo/9: %w", host.ErrNoConnection)
	}
	return 3, f.fault()
}

func (f *fake) Origins() (string, map[string]string) {
	return "/etc/w.yaml", map[string]string{"reactor.loops": "/etc/w.yaml:3"}
}

func (f *fake) GuestSockets(most int) ([]host.ListenerInfo, bool) {
	loop := 1
	return []host.ListenerInfo{{ID: "echo/7", Version: "echo@abc", Loop: &loop, Endpoint: "tcp://127.0.0.1:9",
		Plugin: "echo", RefusedBy: map[string]uint64{}}}, most == 1
}

func (f *fake) ListenerInfos() []host.ListenerInfo {
	return []host.ListenerInfo{{Endpoint: "tcp://127.0.0.1:7", Plugin: "echo", Connections: 3, Accepted: 7, Refused: 1,
		RefusedBy: map[string]uint64{"max_connections": 1}, Held: 4,
		Handshakes: map[string]uint64{"version": 2}}}
}

func (f *fake) Certificates() []host.CertificateInfo {
	at := time.Unix(1_900_000_000, 0).UTC()
	return []host.CertificateInfo{{Cert: "/c.pem", Names: []string{"a.example"}, NotBefore: &at, NotAfter: &at,
		Loaded: true},
		{Cert: "/gone.pem", Names: []string{}, Err: "found no file"}}
}

func (f *fake) LoopInfos() ([]host.LoopInfo, error) {
	return []host.LoopInfo{{LoopStats: reactor.LoopStats{Connections: 3, Opened: 7, Lost: 4, BytesIn: 10, BytesOut: 11},
		LoopDetails: reactor.LoopDetails{Turns: [13]uint64{5, 0, 0, 0, 1}, TurnTime: 9 * time.Millisecond,
			LostBy: [13]uint64{reactor.Timeout: 4}}, Queued: 12}}, f.fault()
}

func (f *fake) Unready() string {
	if f.Ready() {
		return ""
	}
	return "some plugin does not start"
}

func (f *fake) Overload() (bool, uint64) { return true, 8 }

func (f *fake) Config() config.Config { return f.cfg }

func (f *fake) LoadPlugin(_ context.Context, name string, cfg config.Plugin,
	listeners ...config.Listener) (host.Change, error) {
	if err := f.fault(); err != nil {
		return host.Change{}, err
	}
	if name == "echo" {
		return host.Change{}, fmt.Errorf("plugin %s: %w", name, host.ErrLoaded)
	}
	f.loaded, f.listens = cfg, listeners
	return host.Change{Added: []string{"plugin " + name}}, nil
}

func (f *fake) UnloadPlugin(_ context.Context, name string) (host.Change, error) {
	if _, err := f.Plugin(name); err != nil {
		return host.Change{}, err
	}
	return host.Change{Removed: []string{"plugin " + name}}, f.fault()
}

func (f *fake) ReloadPlugin(ctx context.Context, name string, force bool) (host.Outcome, error) {
	if _, err := f.Plugin(name); err != nil {
		return host.Outcome{}, err
	}
	if f.entered != nil {
		f.entered <- struct{}{}
		select {
		case <-f.proceed:
		case <-ctx.Done():
			return host.Outcome{}, ctx.Err()
		}
	}
	if err := f.fault(); err != nil {
		return host.Outcome{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forced = force
	was := f.active
	f.active = "echo@bbbbbbbbbbbb"
	return host.Outcome{Plugin: name, Version: f.active, Previous: was, Policy: "migrate", Migrated: 398,
		Kept: map[string]int{"restoreState refused (7)": 2}}, nil
}

func (f *fake) UsePlugin(_ context.Context, version string) (host.Outcome, error) {
	if version != "echo@000000000000" {
		return host.Outcome{}, fmt.Errorf("version %s: %w", version, host.ErrUnknown)
	}
	f.mu.Lock()
	at := time.Unix(1, 0)
	f.pinned = &at
	f.mu.Unlock()
	return host.Outcome{Plugin: "echo", Version: version}, f.fault()
}

func (f *fake) Trace(plugin string, conn int32, on bool) error {
	if _, err := f.Plugin(plugin); err != nil {
		return err
	}
	if conn > 3 {
		return fmt.Errorf("connection %s/%d: %w", plugin, conn, host.ErrNoConnection)
	}
	f.traced = fmt.Sprint(conn, on)
	return f.fault()
}

func (f *fake) TraceTo(ctx context.Context, plugin string, conn int32, to io.Writer) error {
	if _, err := f.Plugin(plugin); err != nil || to == nil {
		return err
	}
	fmt.Fprintf(to, "%s/%d <- dataReceived\n", plugin, conn)
	return host.ErrNotRunning
}

func (f *fake) Profile(ctx context.Context, plugin string, d time.Duration) (*profile.Profile, error) {
	if _, err := f.Plugin(plugin); err != nil {
		return nil, err
	}
	if f.entered != nil {
		f.entered <- struct{}{}
		<-ctx.Done()
	}
	f.profiled = d
	return &profile.Profile{SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}}}, f.fault()
}

func (f *fake) UnpinPlugin(_ context.Context, name string) (host.Outcome, error) {
	if name != "echo" {
		return host.Outcome{}, fmt.Errorf("plugin %s: %w", name, host.ErrUnknown)
	}
	f.mu.Lock()
	f.pinned = nil
	f.mu.Unlock()
	return host.Outcome{Plugin: "echo", Version: f.active}, f.fault()
}

func (f *fake) History(name string) ([]Event, error) {
	if name != "echo" {
		return nil, fmt.Errorf("plugin %s: %w", name, host.ErrUnknown)
	}
	return []Event{{Outcome: "active", Version: f.active, By: "command, root"}}, f.fault()
}

func (f *fake) CanSave() error { return f.cantSave }

func (f *fake) SavePlugin(name string) error {
	f.saved = append(f.saved, name)
	return nil
}

func (f *fake) ReloadConfig(context.Context) (host.Change, error) {
	return host.Change{Plugins: []host.Outcome{{Plugin: "echo", Version: f.active, Unchanged: true}},
		NeedsBoot: []string{"reactor"}}, f.fault()
}

func (f *fake) Upgrade(_ context.Context, dryRun bool) (host.Upgraded, error) {
	return host.Upgraded{DryRun: dryRun, Plugins: []host.Departure{{Plugin: "echo", Moved: 2}}}, f.fault()
}

// reply is what a request got.
type reply struct {
	code   int
	header http.Header
	body   string
}

// ask sends one request: "METHOD PATH", a body, and headers "Name: value".
func ask(t testing.TB, s *Server, what, body string, headers ...string) reply {
	t.Helper()
	method, path, _ := strings.Cut(what, " ")
	var text io.Reader
	if body != "" {
		text = strings.NewReader(body)
	}
	r := httptest.NewRequestWithContext(context.Background(), method, path, text)
	if s.o.Authority == "" {
		r.Host = "wirehost"
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		key, value, _ := strings.Cut(h, ": ")
		if key == "Host" {
			r.Host = value
			continue
		}
		r.Header.Set(key, value)
		if value == "" {
			r.Header.Del(key)
		}
	}
	w := httptest.NewRecorder()
	s.http.Handler.ServeHTTP(w, r)
	return reply{w.Code, w.Result().Header, w.Body.String()}
}
