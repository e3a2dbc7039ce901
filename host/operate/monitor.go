package operate

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/wirehost/wirehost/host/admin"
)

// monitor is where probes and scrapes are answered, from before the host starts until its end,
// in a server of its own. Any goroutine.
type monitor struct {
	mu       sync.Mutex
	ended    bool
	listener net.Listener // nil = none
	server   *admin.Server
	served   sync.WaitGroup
}

// begin listens, and answers from then on. Where that fails, it is better not to start.
func (m *monitor) begin(s *Server) (err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	endpoint := s.Config().Monitor.Listen
	if endpoint == "" || m.ended {
		return nil
	}
	if m.listener, err = admin.ListenMonitor(endpoint); err != nil {
		return err
	}
	m.server = admin.NewMonitor(admin.Options{Host: administered{s}, Logger: s.log.Named("monitor"),
		Metrics: s.metrics})
	at := m.listener.Addr()
	s.log.Info("monitor", "endpoint", at.Network()+"://"+at.String())
	m.served.Go(func() {
		if err := m.server.Serve(m.listener); err != nil {
			s.log.Error("the monitor has ended", "err", err)
		}
	})
	return nil
}

// end lets requests finish, for requestWait, and ends the listening. Twice is as good as once.
func (m *monitor) end() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = true
	if m.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), requestWait)
	defer cancel()
	err := m.server.Close(ctx)
	m.served.Wait()
	m.server = nil
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}
