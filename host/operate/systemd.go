package operate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/hashicorp/go-hclog"
)

// What a server tells a service manager (sd_notify(3), $NOTIFY_SOCKET), and the sockets that
// one has given it (sd_listen_fds(3), $LISTEN_FDS). Without one, none of this does anything.

// notify tells the service manager something, unless another process is its main one.
func (s *Server) notify(lines ...string) {
	select {
	case <-s.replaced:
		return
	default:
	}
	if _, err := daemon.SdNotify(false, strings.Join(lines, "\n")); err != nil {
		s.log.Warn("the service manager can't be told", "what", lines[0], "err", err)
	}
}

// notifyReady tells that the server serves.
func (s *Server) notifyReady(status string) { s.notify(daemon.SdNotifyReady, "STATUS="+status) }

// notifyReloading tells that the configuration is being read again; ready follows.
func (s *Server) notifyReloading() {
	s.notify(daemon.SdNotifyReloading, strings.TrimSuffix(daemon.SdNotifyMonotonicUsec(), "\n"))
}

// endMargin is how long the end may take beside what the configuration says.
const endMargin = 10 * time.Second

// notifyStopping tells that the server ends, and how long that may take: longer, it may be,
// than the unit's TimeoutStopSec.
func (s *Server) notifyStopping(takes time.Duration) {
	s.notify(daemon.SdNotifyStopping, "EXTEND_TIMEOUT_USEC="+strconv.FormatInt((takes+endMargin).Microseconds(), 10))
}

// beginWatchdog tells the service manager that the server lives, twice in the time in which
// it wants to hear that, for as long as the event loops answer.
func (s *Server) beginWatchdog() {
	within, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		s.log.Warn("the service manager's watchdog is not told anything", "err", err)
	}
	if within <= 0 {
		return
	}
	tick := time.NewTicker(within / 2)
	s.watchdog.Go(func() {
		defer tick.Stop()
		s.feedWatchdog(tick.C, within/2, s.Answers)
	})
}

// feedWatchdog tells at each tick that the server lives, where answers gives no error within
// so long.
func (s *Server) feedWatchdog(ticks <-chan time.Time, patience time.Duration,
	answers func(context.Context) error) {
	for {
		select {
		case <-ticks:
		case <-s.over:
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		stop := make(chan struct{})
		go func() {
			select {
			case <-s.over:
				cancel()
			case <-stop:
			}
		}()
		err := answers(ctx)
		close(stop)
		cancel()
		switch {
		case err == nil:
			s.notify(daemon.SdNotifyWatchdog)
		case errors.Is(err, context.DeadlineExceeded):
			s.log.Error("the service manager's watchdog is not told that the server lives", "err", err)
		}
	}
}

// activated are the sockets that a service manager has given. Any goroutine.
type activated struct {
	mu    sync.Mutex
	list  []activatedSocket
	given []string // what they were given for, by this process or by one before it
}

// note notes what a socket was given for.
func (a *activated) note(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !slices.Contains(a.given, name) {
		a.given = append(a.given, name)
	}
}

// listed is what sockets were given for.
func (a *activated) listed() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.given)
}

type activatedSocket struct {
	name   string
	at     net.Addr
	socket filer // a duplicate; nobody accepts or receives from it
	wanted bool  // by an endpoint
}

// filer is a socket of package net's.
type filer interface {
	io.Closer
	File() (*os.File, error)
}

// activatedOf makes a socket of a file's, which listens, or is for datagrams.
func activatedOf(f *os.File) (socket filer, at net.Addr, err error) {
	ln, err := net.FileListener(f)
	if err == nil {
		if u, is := ln.(*net.UnixListener); is {
			u.SetUnlinkOnClose(false) // it is the service manager's
		}
		socket, _ = ln.(filer)
		at = ln.Addr()
	} else if c, packetErr := net.FilePacketConn(f); packetErr == nil {
		socket, _ = c.(filer)
		at = c.LocalAddr()
	} else {
		return nil, nil, err
	}
	if socket == nil {
		return nil, nil, fmt.Errorf("found a socket of %s", at.Network())
	}
	return socket, at, nil
}

// take takes the sockets of files, and closes these. What is none that is listened on, of TCP
// or Unix, and none for datagrams, is told.
func (a *activated) take(files []*os.File, log hclog.Logger) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, f := range files {
		socket, at, err := activatedOf(f)
		if err != nil {
			log.Warn("a descriptor of the service manager's is no socket that is listened on: it is closed",
				"name", f.Name(), "err", err)
		} else {
			a.list = append(a.list, activatedSocket{name: f.Name(), at: at, socket: socket})
		}
		_ = f.Close() // it was duplicated
	}
}

// socket is a duplicate of the one that is bound to an endpoint, which is the caller's; nil =
// there is none. A listener that comes again takes the same.
func (a *activated) socket(endpoint string) *os.File {
	a.mu.Lock()
	defer a.mu.Unlock()
	for n := range a.list {
		one := &a.list[n]
		if !boundTo(one.at, endpoint) {
			continue
		}
		if f, err := one.socket.File(); err == nil {
			one.wanted = true
			return f
		}
	}
	return nil
}

// boundTo tells whether an address is what an endpoint names.
func boundTo(addr net.Addr, endpoint string) bool {
	scheme, rest, _ := strings.Cut(endpoint, "://")
	switch a := addr.(type) {
	case *net.UnixAddr:
		if scheme != a.Net {
			return false
		}
		if strings.HasPrefix(rest, "@") || strings.HasPrefix(a.Name, "@") {
			return rest == a.Name
		}
		wanted, err := filepath.Abs(rest)
		return err == nil && wanted == filepath.Clean(a.Name)
	case *net.TCPAddr:
		return (scheme == "tcp" || scheme == "tls") && isAt(a.IP, a.Port, rest)
	case *net.UDPAddr:
		return scheme == "udp" && isAt(a.IP, a.Port, rest)
	}
	return false
}

// isAt tells whether an address and a port are those of a text.
func isAt(ip net.IP, port int, text string) bool {
	wanted, err := net.ResolveTCPAddr("tcp", text)
	if err != nil || wanted.Port == 0 || wanted.Port != port {
		return false
	}
	return wanted.IP.Equal(ip) || (wanted.IP == nil || wanted.IP.IsUnspecified()) && ip.IsUnspecified()
}

// closeRest closes the sockets that no endpoint wants, and tells which they are: who
// configured them meant something by them.
func (a *activated) closeRest(log hclog.Logger) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var kept []activatedSocket
	for _, one := range a.list {
		if one.wanted {
			kept = append(kept, one)
			continue
		}
		log.Warn("no endpoint of the configuration is bound as a socket of the service manager's: it is closed",
			"name", one.name, "bound", fmt.Sprintf("%s://%s", one.at.Network(), one.at))
		_ = one.socket.Close() // a duplicate
	}
	a.list = kept
}

// close closes all of them.
func (a *activated) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, one := range a.list {
		_ = one.socket.Close() // a duplicate
	}
	a.list = nil
}

// activationFiles are the descriptors of the service manager's. The environment is as if
// there had been none, for processes that this one starts.
func activationFiles() []*os.File { return activation.Files(true) }

// givenDatagrams are the sockets that an endpoint for datagrams is to have: of the process that
// this one takes over from, where bound says, or, with no bound, the service manager's; none =
// there are none. They are the caller's. kept: as with given.
func (s *Server) givenDatagrams(endpoint string) (bound string, files []*os.File, kept bool) {
	if bound, files = s.inherited.datagrams(endpoint); len(files) > 0 {
		if kept = s.inherited.stays(endpoint); kept {
			s.activated.note(endpoint)
		}
		return bound, files, kept
	}
	if f := s.activated.socket(endpoint); f != nil {
		s.activated.note(endpoint)
		return "", []*os.File{f}, true
	}
	return "", nil, false
}

// given is the socket that an endpoint is to be listened on by: of the process that this one
// takes over from, where it stands as name, or of the service manager; nil = none. It is the
// caller's. kept: its file is not to be removed when it is closed.
func (s *Server) given(name, endpoint string) (f *os.File, kept bool) {
	if f := s.inherited.socket(name); f != nil {
		kept = s.inherited.stays(name)
		if kept {
			s.activated.note(name)
		}
		return f, kept
	}
	if f = s.activated.socket(endpoint); f != nil {
		s.activated.note(name)
	}
	return f, f != nil
}
