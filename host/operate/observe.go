package operate

import (
	"os"
	"time"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
)

// beginObserving prepares what may be told of connections. The host has not started.
func (s *Server) beginObserving() {
	s.access = accessLog{log: s.log.Named("access"), stderr: s.o.Stderr, wall: s.o.Host.Wall}
	if s.access.stderr == nil {
		s.access.stderr = os.Stderr
	}
	if s.access.wall == nil {
		s.access.wall = time.Now
	}
	s.metrics.Counter("wirehost_access_log_lost_lines_total",
		"Lines of the access log that were lost: they were not written in time.", s.access.lostLines)
}

// observe goes over to what a configuration wants to be told. Where that is nothing, the host
// has nobody to tell.
func (s *Server) observe(cfg config.Config) {
	s.access.set(cfg.AccessLog)
	if cfg.AccessLog.To == "" {
		s.Host.Observe(nil)
		return
	}
	s.Host.Observe(&host.Observer{Ended: func(e host.ConnEnd) { s.access.write(&e) }})
}

// endObserving writes what is left.
func (s *Server) endObserving() {
	s.Host.Observe(nil)
	s.access.end()
}
