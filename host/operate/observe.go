package operate

import (
	"context"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/build"
	"github.com/wirehost/wirehost/internal/traces"
)

// tracing sends traces, where that is wanted. Any goroutine.
type tracing struct {
	log    hclog.Logger
	sender atomic.Pointer[traces.Sender] // nil = off
	lost   atomic.Uint64                 // of senders that are closed

	mu       sync.Mutex // held while the sender is replaced
	endpoint string
	ended    bool
}

// set goes over to a collector; "" = none.
func (t *tracing) set(endpoint string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended || endpoint == t.endpoint {
		return
	}
	t.endpoint = endpoint
	var s *traces.Sender
	if endpoint != "" {
		var err error
		if s, err = traces.New(endpoint, build.Read().Version, t.log); err != nil {
			t.log.Error("traces are not sent", "err", err)
		}
	}
	t.replace(s)
}

// replace has traces go to s, and ends what was before.
func (t *tracing) replace(s *traces.Sender) {
	was := t.sender.Swap(s)
	if was == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), logWait)
	defer cancel()
	if err := was.Close(ctx); err != nil {
		t.log.Warn("sending the last traces", "err", err)
	}
	t.lost.Add(was.Lost())
}

func (t *tracing) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	t.replace(nil)
}

// lostSpans is how much was not sent, ever.
func (t *tracing) lostSpans() uint64 {
	n := t.lost.Load()
	if s := t.sender.Load(); s != nil {
		n += s.Lost()
	}
	return n
}

// beginObserving prepares what may be told of connections. The host has not started.
func (s *Server) beginObserving() {
	s.access = accessLog{log: s.log.Named("access"), stderr: s.o.Stderr, wall: s.o.Host.Wall}
	if s.access.stderr == nil {
		s.access.stderr = os.Stderr
	}
	if s.access.wall == nil {
		s.access.wall = time.Now
	}
	s.tracing.log = s.log.Named("traces")
	s.metrics.Counter("wirehost_access_log_lost_lines_total",
		"Lines of the access log that were lost: they were not written in time.", s.access.lostLines)
	s.metrics.Counter("wirehost_traces_lost_total",
		"Spans, connections and changes of versions that were not sent to otlp.endpoint.", s.tracing.lostSpans)
}

// observe goes over to what a configuration wants to be told. Where that is nothing, the host
// has nobody to tell.
func (s *Server) observe(cfg config.Config) {
	s.access.set(cfg.AccessLog)
	s.tracing.set(cfg.OTLP.Endpoint)
	o := &host.Observer{}
	if s.tracing.sender.Load() != nil {
		o.Sample, o.Reloaded = sampleOf(cfg.OTLP.Sample), s.reloaded
	}
	if cfg.AccessLog.To != "" || o.Sample > 0 {
		o.Ended = s.connEnded
	}
	if o.Ended == nil && o.Reloaded == nil {
		o = nil
	}
	s.Host.Observe(o)
}

// sampleOf is a share such as 1% as a number, which it is: the configuration was checked.
func sampleOf(percent string) float64 {
	n, _ := strconv.ParseFloat(strings.TrimSuffix(percent, "%"), 64)
	return n / 100
}

// connEnded tells of a connection. On its loop.
func (s *Server) connEnded(e host.ConnEnd) {
	s.access.write(&e)
	if t := s.tracing.sender.Load(); t != nil {
		t.Connection(e)
	}
}

func (s *Server) reloaded(r host.Reloading) {
	if t := s.tracing.sender.Load(); t != nil {
		t.Reload(r)
	}
}

// endObserving writes and sends what is left.
func (s *Server) endObserving() {
	s.Host.Observe(nil)
	s.access.end()
	s.tracing.end()
}
