package operate

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/admin"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/changes"
)

// administered is what administrators have of a Server.
type administered struct{ *Server }

// ReloadConfig reads the configuration again, and goes over to it. It waits while another
// change is under way, for half a minute at most.
func (a administered) ReloadConfig(ctx context.Context) (change host.Change, err error) {
	err = changes.Asked(ctx, changes.Wait, func() (err error) {
		change, err = a.reload(ctx)
		return err
	})
	return change, err
}

// ReloadPlugin is Server.ReloadPlugin, and waits as ReloadConfig does.
func (a administered) ReloadPlugin(ctx context.Context, name string, force bool) (out host.Outcome, err error) {
	err = changes.Asked(ctx, changes.Wait, func() (err error) {
		out, err = a.Server.ReloadPlugin(ctx, name, force)
		return err
	})
	return out, err
}

// Origins are the configuration's file, and where each setting was said.
func (a administered) Origins() (file string, settings map[string]string) {
	o := a.origins.Load()
	return o.file, o.settings
}

// administration is where administrators are listened for, and answered. Any
// goroutine.
type administration struct {
	service
	without   error // why there is none, where that is no error of the start
	authority string
	place     string        // the endpoint that is listened on, as it is told from others'
	server    *admin.Server // nil = there is none
	known     known         // who may ask, on TCP
}

// listen binds the endpoint: where that fails, it is better not to start at all.
// given gives its socket where another process has that.
func (a *administration) listen(cfg config.Admin, getenv func(string) string,
	given func(name, endpoint string) (*os.File, bool)) (err error) {
	endpoint := cfg.Listen
	if endpoint == admin.Off || a.hasEnded() {
		return nil
	}
	isDefault := endpoint == ""
	if isDefault {
		if getenv == nil {
			getenv = os.Getenv
		}
		endpoint = admin.DefaultEndpoint(getenv)
	}
	a.again = func(f *os.File) (ln net.Listener, err error) {
		ln, a.authority, err = admin.ListenFile(f, endpoint)
		return ln, err
	}
	a.at = endpoint
	if inherited, kept := given(adminSocket+endpoint, endpoint); inherited != nil {
		err = a.take(inherited, kept)
	} else {
		a.listener, a.authority, err = admin.Listen(endpoint, isDefault, a.known.tls != nil && !a.known.isAnybody())
	}
	if err != nil && isDefault {
		a.without = err
		return nil
	}
	a.place = endpoint
	if path, is := strings.CutPrefix(endpoint, "unix://"); is && err == nil {
		if path, err := filepath.Abs(path); err == nil {
			a.place = "unix://" + path
		}
	}
	return err
}

// endpoint is where administrators are listened for, whatever folder the server was
// started in; "" = nowhere.
func (a *administration) endpoint() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.place
}

// begin has administrators answered. The host runs.
func (a *administration) begin(s *Server) {
	if a.without != nil {
		s.log.Warn("no administration", "err", a.without)
	}
	if a.listener == nil {
		return
	}
	a.server = admin.New(admin.Options{
		Host: administered{s}, Logger: s.log.Named("admin"), Metrics: s.metrics, Authority: a.authority,
		TLS: a.known.tls, Token: a.known.asks(), LogTail: s.o.LogTail,
	})
	if a.authority != "" && a.known.isAnybody() {
		s.log.Warn("every user of this machine may administrate: admin.token_file is not set", "endpoint", a.authority)
	}
	endpoint := a.authority
	if endpoint == "" {
		endpoint = a.listener.Addr().String()
	}
	s.log.Info("administration", "endpoint", a.listener.Addr().Network()+"://"+endpoint)
	a.set("the administration", s.log, a.server.Serve, a.again)
	a.service.begin()
}

// answerOne answers another process of the program on a socket that it alone has, until
// either ends.
func (a *administration) answerOne(f *os.File) error {
	if a.server == nil {
		return f.Close()
	}
	conn, err := net.FileConn(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	go a.server.ServeConn(conn)
	return nil
}

// end lets requests finish, for requestWait, and ends the listening.
func (a *administration) end() error { return a.service.end(a.server) }
