package operate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/lines"
)

// Validate is host.Validate, and checks as well what a Server needs around its host: what
// administrators are known by, the access log and state.dir. It binds and starts nothing,
// and leaves no file behind. The error joins all faults. ctx ends it.
func Validate(ctx context.Context, cfg config.Config, o host.Options) error {
	err := host.Validate(ctx, cfg, o)
	if faults := config.Faults(nil); errors.As(err, &faults) {
		return err
	}
	return errors.Join(err, checkAround(ctx, cfg, false), checkState(cfg.State))
}

// checkAround checks what a start refuses, and where it is not lenient, what it lives with.
func checkAround(ctx context.Context, cfg config.Config, lenient bool) error {
	err := (&known{}).read(ctx, cfg.Admin, hclog.NewNullLogger(), lenient)
	return errors.Join(err, checkAccessLog(cfg.AccessLog))
}

// checkAccessLog opens the file, and removes it where it was not there.
func checkAccessLog(cfg config.AccessLog) error {
	path, is := strings.CutPrefix(cfg.To, "file://")
	if !is {
		return nil
	}
	_, missing := os.Lstat(path)
	f, err := openLogFile(path)
	if err != nil {
		return err
	}
	err = f.Close()
	if missing != nil {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// checkState tells whether a folder that is configured can be written to, or be made. A
// server whose can't goes on, and what is pinned ends with it.
func checkState(cfg config.State) error {
	if cfg.Dir == "" || cfg.Dir == "off" {
		return nil
	}
	dir := cfg.Dir
	for { // the first folder on the way up that is there
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	f, err := os.CreateTemp(dir, ".wirehost-")
	if err != nil {
		return fmt.Errorf("state.dir: found %s, wanted a folder that can be written to: %w", cfg.Dir,
			errors.Unwrap(err))
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// upgradable says why this process can't be taken over from at all, or nil.
func (s *Server) upgradable() error {
	if len(s.o.Program) == 0 {
		return errors.New("upgrade: found no Options.Program, wanted the command line of the program")
	}
	if os.Getpid() == 1 {
		return errors.New("upgrade: this is process 1, whose end ends its container: start another container")
	}
	return nil
}

// refusals are why an upgrade would be refused now, as far as that can be told without one:
// the executable, the configuration's file, the modules.
func (s *Server) refusals(ctx context.Context) []string {
	err := s.upgradable()
	if err == nil {
		if _, pathErr := exec.LookPath(s.o.Program[0]); pathErr != nil {
			err = fmt.Errorf("upgrade: %w", pathErr)
		}
	}
	cfg, loadErr := s.load(ctx)
	if loadErr == nil {
		loadErr = s.checkHeir(ctx, cfg)
	}
	if err = errors.Join(err, loadErr); err == nil {
		return nil
	}
	return lines.Of(err)
}

// checkHeir checks a configuration as a process that takes over would find it.
func (s *Server) checkHeir(ctx context.Context, cfg config.Config) error {
	text, err := s.exportState()
	if err != nil {
		return err
	}
	next := keeper{imported: true, base: cfg.WithDefaults()}
	if next.state, err = parseState(text); err != nil {
		return err
	}
	o := s.o.Host
	o.Logger, o.Modules = nil, s.keep.modules
	o.Resume = func() host.Resumed {
		from := next.resumed()
		from.Config.Listeners = s.heirListeners(from.Config.Listeners)
		return from
	}
	return errors.Join(checkAround(ctx, cfg, true), host.Validate(ctx, cfg, o), s.checkAddresses(cfg))
}

// checkAddresses tries the addresses of the monitor and of the administration that are others
// than this process's.
func (s *Server) checkAddresses(cfg config.Config) error {
	is := s.Config()
	return errors.Join(checkAddress("monitor.listen", is.Monitor.Listen, cfg.Monitor.Listen),
		checkAddress("admin.listen", is.Admin.Listen, cfg.Admin.Listen))
}

func checkAddress(setting, is, next string) error {
	addr, onTCP := strings.CutPrefix(next, "tcp://")
	if !onTCP || next == is {
		return nil
	}
	ln, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s: found %s, which %s", setting, next, addressTaken)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", setting, err)
	}
	return ln.Close()
}

// heirListeners are listeners of which no more is looked at than would stop an upgrade: their
// sockets are inherited, and a certificate that fails here too stops none.
func (s *Server) heirListeners(list []config.Listener) []config.Listener {
	loaded := s.CertificateFiles()
	list = slices.Clone(list)
	for n := range list {
		l := &list[n]
		l.Owner, l.Group = "", ""
		fails := func(file string) bool { sum, here := loaded[file]; return here && sum == "" }
		isBad := fails(l.TLS.ClientCA)
		for _, c := range l.TLS.All() {
			isBad = isBad || fails(c.Cert)
		}
		if isBad {
			l.Endpoint, l.TLS = "tcp://127.0.0.1:0", config.TLS{}
		}
	}
	return list
}
