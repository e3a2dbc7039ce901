package operate

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/build"
	"github.com/wirehost/wirehost/internal/traces"
)

// tracing sends traces, where that is wanted. Any goroutine.
type tracing struct {
	replaced[string, traceSink, *traceSink]
	log hclog.Logger
}

// traceSink is a collector that traces are sent to.
type traceSink struct {
	*traces.Sender
	log hclog.Logger
}

// set goes over to a collector; "" = none.
func (t *tracing) set(endpoint string) error {
	return t.replaced.set(endpoint, func(string) (*traceSink, error) {
		if endpoint == "" {
			return nil, nil
		}
		s, err := traces.New(endpoint, build.Read().Version, t.log)
		return &traceSink{s, t.log}, err
	})
}

func (s *traceSink) close() {
	ctx, cancel := context.WithTimeout(context.Background(), logWait)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		s.log.Warn("sending the last traces", "err", err)
	}
}

func (s *traceSink) lostEver() uint64 { return s.Lost() }

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
		"Lines of the access log that were lost: they were not written in time.", s.access.lost)
	s.metrics.Counter("wirehost_traces_lost_total",
		"Spans, connections and changes of versions that were not sent to otlp.endpoint.", s.tracing.lost)
}

// observe goes over to what a configuration wants to be told. Where that is nothing, the host
// has nobody to tell. The error says what is told to as before.
func (s *Server) observe(cfg config.Config) error {
	err := errors.Join(s.access.set(cfg.AccessLog), s.tracing.set(cfg.OTLP.Endpoint))
	o := &host.Observer{}
	if s.tracing.now.Load() != nil {
		o.Sample, o.Reloaded = sampleOf(cfg.OTLP.Sample), s.reloaded
	}
	if s.access.now.Load() != nil || o.Sample > 0 {
		o.Ended = s.connEnded
	}
	if o.Ended == nil && o.Reloaded == nil {
		o = nil
	}
	s.Host.Observe(o)
	return err
}

// sampleOf is a share such as 1% as a number, which it is: the configuration was checked.
func sampleOf(percent string) float64 {
	n, _ := strconv.ParseFloat(strings.TrimSuffix(percent, "%"), 64)
	return n / 100
}

// connEnded tells of a connection. On its loop.
func (s *Server) connEnded(e host.ConnEnd) {
	s.access.write(&e)
	if t := s.tracing.now.Load(); t != nil {
		t.Connection(e)
	}
}

func (s *Server) reloaded(r host.Reloading) {
	if t := s.tracing.now.Load(); t != nil {
		t.Reload(r)
	}
}

// endObserving writes and sends what is left.
func (s *Server) endObserving() {
	s.Host.Observe(nil)
	s.access.end()
	s.tracing.end()
}
