package operate

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/admin"
)

// administered is what administrators have of a Server: who asks while another
// change is under way is told so, and asks again.
type administered struct{ *Server }

// ReloadConfig reads the configuration again, and goes over to it.
func (a administered) ReloadConfig(ctx context.Context) (host.Change, error) { return a.reload(ctx) }

// Origins are the configuration's file, and where each setting was said.
func (a administered) Origins() (file string, settings map[string]string) {
	o := a.origins.Load()
	return o.file, o.settings
}

// administration is where administrators are listened for, and answered. Any
// goroutine.
type administration struct {
	mu        sync.Mutex
	ended     bool
	listener  net.Listener // nil = none
	without   error        // why there is none, where that is no error of the start
	authority string
	server    *admin.Server
	served    sync.WaitGroup
}

// listen binds the endpoint: where that fails, it is better not to start at all.
func (a *administration) listen(endpoint string, getenv func(string) string) (err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if endpoint == admin.Off || a.ended {
		return nil
	}
	isDefault := endpoint == ""
	if isDefault {
		if getenv == nil {
			getenv = os.Getenv
		}
		endpoint = admin.DefaultEndpoint(getenv)
	}
	a.listener, a.authority, err = admin.Listen(endpoint, isDefault)
	if err != nil && isDefault {
		a.without = err
		return nil
	}
	return err
}

// begin has administrators answered. The host runs.
func (a *administration) begin(s *Server) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.without != nil {
		s.log.Warn("no administration", "err", a.without)
	}
	if a.listener == nil || a.ended {
		return
	}
	a.server = admin.New(admin.Options{
		Host: administered{s}, Logger: s.log.Named("admin"), Metrics: s.metrics, Authority: a.authority,
	})
	endpoint := a.authority
	if endpoint == "" {
		endpoint = a.listener.Addr().String()
	}
	s.log.Info("administration", "endpoint", a.listener.Addr().Network()+"://"+endpoint)
	a.served.Go(func() {
		if err := a.server.Serve(a.listener); err != nil {
			s.log.Error("the administration has ended", "err", err)
		}
	})
}

// requestWait is how long a request may take to finish when everything else has
// ended.
const requestWait = time.Second

// end lets requests finish, for requestWait, and ends the listening.
func (a *administration) end() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	switch {
	case a.server != nil:
		ctx, cancel := context.WithTimeout(context.Background(), requestWait)
		defer cancel()
		err := a.server.Close(ctx)
		a.served.Wait()
		if errors.Is(err, context.DeadlineExceeded) {
			return nil
		}
		return err
	case a.listener != nil:
		return a.listener.Close()
	}
	return nil
}
