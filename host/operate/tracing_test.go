package operate

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
)

// collecting is a collector on loopback, and the spans that it was sent.
func collecting(t *testing.T) (endpoint string, spans <-chan *trace.Span) {
	t.Helper()
	list := make(chan *trace.Span, 1000)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var req collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &req)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("found %s, %v", r.URL.Path, err)
		}
		for _, rs := range req.GetResourceSpans() {
			for _, ss := range rs.GetScopeSpans() {
				for _, s := range ss.GetSpans() {
					list <- s
				}
			}
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL, list
}

// family is a span by its name, and the names of its children in their order.
func family(spans []*trace.Span, name string) (parent *trace.Span, children []string) {
	for _, s := range spans {
		if s.GetName() == name {
			parent = s
		}
	}
	for _, s := range spans {
		if parent != nil && string(s.GetParentSpanId()) == string(parent.GetSpanId()) {
			children = append(children, s.GetName())
		}
	}
	return parent, children
}

// TestTraces: a sampled connection is a span with its callbacks, a change of a version one with
// its steps.
func TestTraces(t *testing.T) {
	endpoint, got := collecting(t)
	cfg := config.Config{
		Admin: config.Admin{Listen: "off"}, Cache: config.Cache{Dir: "off"},
		OTLP:      config.OTLP{Endpoint: endpoint, Sample: "100%"},
		Plugins:   map[string]config.Plugin{"p": {Module: "builtin:echo"}},
		Listeners: []config.Listener{{Endpoint: "tcp://127.0.0.1:0", Plugin: "p"}},
	}
	s, err := New(cfg, Options{Host: host.Options{Builtin: builtin},
		Load: func(context.Context) (config.Config, error) { return cfg, nil }})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	talk(t, s)
	if _, err := s.ReloadPlugin(context.Background(), "p", true); err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	var spans []*trace.Span
	for len(got) > 0 {
		spans = append(spans, <-got)
	}
	conn, callbacks := family(spans, "connection")
	if all := strings.Join(callbacks, " "); conn == nil || conn.GetKind() != trace.Span_SPAN_KIND_SERVER ||
		!strings.Contains(all, "connectionMade dataReceived") || !strings.Contains(all, "connectionLost") ||
		conn.GetStartTimeUnixNano() > conn.GetEndTimeUnixNano() {
		t.Errorf("found %v with %q", conn, all)
	}
	reload, steps := family(spans, "reload")
	if all := strings.Join(steps, " "); reload == nil || all != "compile start rehearse move" {
		t.Errorf("found %v with %q", reload, all)
	}
	if n := s.tracing.lost(); n != 0 {
		t.Errorf("found %d spans lost", n)
	}
}

// TestTracesLost: a collector that refuses costs spans, which are counted, and nothing else.
func TestTracesLost(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no", http.StatusInternalServerError)
	}))
	defer srv.Close()
	journal := newJournal(t)
	cfg := config.Config{
		Admin: config.Admin{Listen: "off"}, Cache: config.Cache{Dir: "off"},
		OTLP:    config.OTLP{Endpoint: srv.URL},
		Plugins: map[string]config.Plugin{"p": {Module: "builtin:echo"}},
	}
	s, err := New(cfg, Options{Host: host.Options{Builtin: builtin}, Log: journal})
	if err != nil {
		t.Fatal(err)
	}
	do(t, s.observe(s.Config()))
	for range 3 {
		s.reloaded(host.Reloading{Plugin: "p", Began: time.Now(), Steps: []host.Step{{Name: "compile"}}})
	}
	s.endObserving()
	if n := s.tracing.lost(); n != 6 {
		t.Errorf("found %d spans lost, wanted 6", n)
	}
	journal.await("traces could not be sent")
	s.Close()
}
