package operate

import (
	"net"
	"os"

	"github.com/wirehost/wirehost/host/admin"
)

// monitor is where probes and scrapes are answered, from before the host starts until its end,
// in a server of its own. Any goroutine.
type monitor struct {
	service
	server *admin.Server // nil = there is none
}

// listen binds the endpoint: where that fails, it is better not to start. given gives
// its socket where another process has that.
func (m *monitor) listen(s *Server, given func(name, endpoint string) (*os.File, bool)) (err error) {
	endpoint := s.Config().Monitor.Listen
	if endpoint == "" || m.hasEnded() {
		return nil
	}
	m.server = admin.NewMonitor(admin.Options{Host: administered{s}, Logger: s.log.Named("monitor"),
		Metrics: s.metrics})
	again := func(f *os.File) (net.Listener, error) { return admin.ListenMonitorFile(f, endpoint) }
	m.set("the monitor", s.log, m.server.Serve, again)
	m.at = endpoint
	if inherited, kept := given(monitorSocket+endpoint, endpoint); inherited != nil {
		err = m.take(inherited, kept)
	} else {
		m.listener, err = admin.ListenMonitor(endpoint)
	}
	if err != nil {
		return err
	}
	at := m.listener.Addr()
	s.log.Info("monitor", "endpoint", at.Network()+"://"+at.String())
	return nil
}

// end lets requests finish, for requestWait, and ends the listening. Twice is as good as once.
func (m *monitor) end() error { return m.service.end(m.server) }
