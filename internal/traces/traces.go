// Package traces sends what a host tells of connections and of changes of plugins'
// versions as spans, by OpenTelemetry's protocol over HTTP.
package traces

import (
	"context"
	"crypto/tls"
	"errors"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/reactor"
)

// The bounds of what waits, and of an export.
const (
	maxWaiting = 1024 // connections and changes
	maxSpans   = 2048
	exportTime = 10 * time.Second
	tellEvery  = time.Minute // of failures
)

// Sender makes spans on a goroutine of its own, and sends them. Any goroutine.
type Sender struct {
	log      hclog.Logger
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	lost     atomic.Uint64
	work     chan func()
	done     chan struct{} // closed when all work is

	mu     sync.Mutex // against a send after the end
	ended  bool
	toldAt time.Time // of the exporter's goroutine
}

// New makes a Sender to a collector, http://HOST:PORT or https://; it does no I/O yet. Headers,
// such as a token, are those of OTEL_EXPORTER_OTLP_HEADERS.
func New(endpoint, version string, log hclog.Logger) (*Sender, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, errors.New("otlp.endpoint: found what is no URL")
	}
	if !strings.HasSuffix(u.Path, "/v1/traces") {
		u = u.JoinPath("v1", "traces")
	}
	client, err := otlptracehttp.New(context.Background(), otlptracehttp.WithEndpointURL(u.String()),
		otlptracehttp.WithTimeout(exportTime), otlptracehttp.WithRetry(otlptracehttp.RetryConfig{}))
	if err != nil {
		return nil, err
	}
	s := &Sender{log: log, work: make(chan func(), maxWaiting), done: make(chan struct{})}
	// It blocks, on the goroutine of s: what finds no room is counted before it.
	batches := sdk.NewBatchSpanProcessor(&exporter{client, s}, sdk.WithBlocking(), sdk.WithMaxQueueSize(maxSpans),
		sdk.WithExportTimeout(exportTime))
	s.provider = sdk.NewTracerProvider(sdk.WithSampler(sdk.AlwaysSample()), sdk.WithSpanProcessor(batches),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", "wirehost"),
			attribute.String("service.version", version))))
	s.tracer = s.provider.Tracer("github.com/wirehost/wirehost")
	go func() {
		defer close(s.done)
		for do := range s.work {
			do()
		}
	}()
	return s, nil
}

// exporter counts and tells what could not be sent, in place of OpenTelemetry's own way, which
// is the standard logger.
type exporter struct {
	sdk.SpanExporter
	s *Sender
}

// ExportSpans sends spans. One goroutine.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	if err == nil {
		return nil
	}
	e.s.lost.Add(uint64(len(spans)))
	if now := time.Now(); now.Sub(e.s.toldAt) >= tellEvery {
		e.s.toldAt = now
		e.s.log.Warn("traces could not be sent", "spans", len(spans), "err", err)
	}
	return nil
}

// Lost is how many spans, connections and changes were not sent, ever.
func (s *Sender) Lost() uint64 { return s.lost.Load() }

// send has do make spans, if there is room. It never waits.
func (s *Sender) send(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	select {
	case s.work <- do:
	default:
		s.lost.Add(1)
	}
}

// Close sends what is left, until ctx is done. Once.
func (s *Sender) Close(ctx context.Context) error {
	s.mu.Lock()
	s.ended = true
	close(s.work)
	s.mu.Unlock()
	select {
	case <-s.done:
	case <-ctx.Done():
	}
	return s.provider.Shutdown(ctx)
}

// Connection sends a connection that has ended now, with its callbacks, where they were noted.
func (s *Sender) Connection(e host.ConnEnd) {
	if e.Noted == nil {
		return
	}
	at := time.Now()
	s.send(func() { s.connection(e, at) })
}

func (s *Sender) connection(e host.ConnEnd, at time.Time) {
	kind := trace.SpanKindServer
	if e.Listener == "" {
		kind = trace.SpanKindClient
	}
	attrs := []attribute.KeyValue{
		attribute.String("wirehost.connection", e.ID), attribute.String("wirehost.plugin", e.Plugin),
		attribute.String("wirehost.version", e.Version), attribute.String("wirehost.listener", e.Listener),
		attribute.String("network.peer.address", e.Peer), attribute.String("wirehost.reason", e.Reason.String()),
		attribute.Int64("wirehost.bytes_in", int64(e.In)), attribute.Int64("wirehost.bytes_out", int64(e.Out)),
	}
	if e.TLSVersion != 0 {
		attrs = append(attrs, attribute.String("tls.protocol.version",
			strings.TrimPrefix(tls.VersionName(e.TLSVersion), "TLS ")),
			attribute.String("tls.client.server_name", strings.ToValidUTF8(e.ServerName, "?")))
	}
	if e.Noted.More > 0 {
		attrs = append(attrs, attribute.Int("wirehost.callbacks_not_noted", e.Noted.More))
	}
	ctx, span := s.tracer.Start(context.Background(), "connection", trace.WithTimestamp(at.Add(-e.Age)),
		trace.WithSpanKind(kind), trace.WithAttributes(attrs...))
	for _, c := range e.Noted.Callbacks {
		_, child := s.tracer.Start(ctx, c.Name, trace.WithTimestamp(c.Began))
		if c.Trap {
			child.SetStatus(codes.Error, "trap")
		}
		child.End(trace.WithTimestamp(c.Began.Add(c.Took)))
	}
	switch e.Reason {
	case reactor.Done, reactor.Aborted, reactor.ShuttingDown, reactor.Replaced:
	default:
		span.SetStatus(codes.Error, e.Reason.String())
	}
	span.End(trace.WithTimestamp(at))
}

// Reload sends a change of a plugin's version, with its steps.
func (s *Sender) Reload(r host.Reloading) { s.send(func() { s.reload(r) }) }

func (s *Sender) reload(r host.Reloading) {
	kept := 0
	for _, n := range r.Outcome.Kept {
		kept += n
	}
	ctx, span := s.tracer.Start(context.Background(), "reload", trace.WithTimestamp(r.Began), trace.WithAttributes(
		attribute.String("wirehost.plugin", r.Plugin), attribute.String("wirehost.previous", r.Previous),
		attribute.String("wirehost.version", r.Version), attribute.Int("wirehost.migrated", r.Outcome.Migrated),
		attribute.Int("wirehost.kept", kept), attribute.Int("wirehost.dropped", r.Outcome.Dropped)))
	for _, step := range r.Steps {
		_, child := s.tracer.Start(ctx, step.Name, trace.WithTimestamp(step.Began))
		setError(child, step.Err)
		child.End(trace.WithTimestamp(step.Began.Add(step.Took)))
	}
	setError(span, r.Err)
	span.End(trace.WithTimestamp(r.Began.Add(r.Took)))
}

// maxError is how much of an error goes into a span, in bytes: a module's faults are its doing.
const maxError = 1024

func setError(span trace.Span, err error) {
	if err != nil {
		text := err.Error()
		span.SetStatus(codes.Error, strings.ToValidUTF8(text[:min(len(text), maxError)], ""))
	}
}
