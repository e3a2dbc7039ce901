package operate

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// manager plays systemd's part: what it is told.
type manager struct {
	*testing.T
	conn *net.UnixConn
}

func newManager(t *testing.T) *manager {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	do(t, err)
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return &manager{t, conn}
}

// told is the next message, and holds it against what is to be in it.
func (m *manager) told(want ...string) string {
	m.Helper()
	b := make([]byte, 4096)
	do(m.T, m.conn.SetReadDeadline(time.Now().Add(patience)))
	n, err := m.conn.Read(b)
	do(m.T, err)
	text := string(b[:n])
	for _, w := range want {
		if !strings.Contains(text+"\n", w) {
			m.Errorf("found %q, wanted %q in it", text, w)
		}
	}
	return text
}

// begin starts a server of a configuration, with files of a service manager's.
func begin(t *testing.T, cfg config.Config, o Options, files ...*os.File) *Server {
	t.Helper()
	o.Host.Builtin = builtin
	cfg.Cache.Dir = "off"
	if cfg.Admin.Listen == "" {
		cfg.Admin.Listen = "off"
	}
	s, err := New(cfg, o)
	do(t, err)
	s.files = func() []*os.File { return files }
	do(t, s.Start(context.Background()))
	t.Cleanup(func() {
		s.EndPreStop()
		do(t, s.Shutdown(context.Background()))
	})
	return s
}

// echoes is a configuration of an echo behind endpoints.
func echoes(endpoints ...string) config.Config {
	c := config.Config{Plugins: map[string]config.Plugin{"p": {Module: "builtin:echo"}}}
	for _, e := range endpoints {
		c.Listeners = append(c.Listeners, config.Listener{Endpoint: e, Plugin: "p"})
	}
	return c
}

// answers tells whether an echo answers at an address.
func answers(network, address string) error {
	c, err := net.Dial(network, address)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := fmt.Fprint(c, "hello"); err != nil {
		return err
	}
	_, err = io.ReadFull(c, make([]byte, 5))
	return err
}

// TestNotify: a service manager is told of the start, of reloads, also of one that fails,
// and of the end.
func TestNotify(t *testing.T) {
	m := newManager(t)
	failing := error(nil)
	cfg := echoes()
	cfg.Cache.Dir, cfg.Admin.Listen, cfg.Reactor.DrainTimeout = "off", "off", time.Minute
	s := begin(t, cfg, Options{Load: func(context.Context) (config.Config, error) { return cfg, failing }})
	m.told("READY=1\n")
	_, err := s.Reload(context.Background())
	do(t, err)
	m.told("RELOADING=1\n", "MONOTONIC_USEC=")
	m.told("READY=1\n")
	failing = fmt.Errorf("no configuration")
	if _, err := s.Reload(context.Background()); err == nil {
		t.Fatal("found no error")
	}
	m.told("RELOADING=1\n")
	m.told("READY=1\n", "STATUS=serving; the last reload failed\n")
	do(t, s.Shutdown(context.Background()))
	m.told("STOPPING=1\n", "EXTEND_TIMEOUT_USEC=70000000\n")
}

// TestWatchdog: the service manager's is told that the server lives while the loops answer,
// and only then.
func TestWatchdog(t *testing.T) {
	m := newManager(t)
	log := newJournal(t)
	cfg := echoes()
	cfg.Admin.Listen, cfg.Cache.Dir = "off", "off"
	s := begin(t, cfg, Options{Log: log})
	m.told("READY=1\n")
	ticks := make(chan time.Time)
	stuck := false
	s.watchdog.Go(func() {
		s.feedWatchdog(ticks, time.Hour, func(ctx context.Context) error {
			if stuck {
				return fmt.Errorf("event loop 0 does not answer: %w", context.DeadlineExceeded)
			}
			return s.Answers(ctx)
		})
	})
	ticks <- time.Time{}
	if text := m.told(); text != "WATCHDOG=1" {
		t.Fatalf("found %q, wanted WATCHDOG=1", text)
	}
	stuck = true
	ticks <- time.Time{}
	log.await("event loop 0 does not answer")
	stuck = false
	ticks <- time.Time{}
	if text := m.told(); text != "WATCHDOG=1" {
		t.Errorf("found %q, wanted WATCHDOG=1 and nothing before it", text)
	}
}

// TestWatchdogInterval: it is told twice in the time in which it wants to hear something.
func TestWatchdogInterval(t *testing.T) {
	m := newManager(t)
	t.Setenv("WATCHDOG_USEC", "20000")
	t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))
	begin(t, echoes(), Options{})
	m.told("READY=1\n")
	for range 3 {
		m.told("WATCHDOG=1\n")
	}
}

// given is a listener's socket as a service manager passes it, and where it is bound.
func given(t *testing.T, network, address string) (*os.File, string) {
	t.Helper()
	ln, err := net.Listen(network, address)
	do(t, err)
	defer ln.Close()
	if u, is := ln.(*net.UnixListener); is {
		u.SetUnlinkOnClose(false)
	}
	f, err := ln.(interface{ File() (*os.File, error) }).File()
	do(t, err)
	return f, ln.Addr().String()
}

// TestActivation: endpoints take the sockets that are bound there, the others are named and
// closed, and the files of Unix sockets stay.
func TestActivation(t *testing.T) {
	dir := t.TempDir()
	tcp, at := given(t, "tcp", "127.0.0.1:0")
	unix, path := given(t, "unix", filepath.Join(dir, "echo.sock"))
	adm, admPath := given(t, "unix", filepath.Join(dir, "admin.sock"))
	spare, spareAt := given(t, "tcp", "127.0.0.1:0")
	no, err := os.Open(os.DevNull)
	do(t, err)
	_, port, _ := net.SplitHostPort(at)
	cfg := echoes("tcp://localhost:"+port, "unix://"+path)
	cfg.Admin.Listen, cfg.State.Dir = "unix://"+admPath, "off"
	log := newJournal(t)
	s := begin(t, cfg, Options{Log: log}, tcp, unix, adm, spare, no)
	log.await("is no socket that is listened on")
	if line := log.await("no endpoint of the configuration"); !strings.Contains(line, spareAt) {
		t.Errorf("found %s, wanted %s named", line, spareAt)
	}
	do(t, answers("tcp", at))
	do(t, answers("unix", path))
	if c, err := net.Dial("tcp", spareAt); err == nil {
		c.Close()
		t.Error("the socket that nobody wants is listened on")
	}
	if c, err := net.Dial("unix", admPath); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
	none := cfg
	none.Listeners = nil
	_, err = s.Host.Reload(context.Background(), none)
	do(t, err)
	_, err = s.Host.Reload(context.Background(), cfg) // a listener that comes again has the same socket
	do(t, err)
	do(t, answers("tcp", at))
	do(t, s.Shutdown(context.Background()))
	for _, p := range []string{path, admPath} {
		if _, err := os.Lstat(p); err != nil {
			t.Errorf("%v: it was the service manager's", err)
		}
	}
	if c, err := net.Dial("tcp", at); err == nil {
		c.Close()
		t.Error("it is listened on after the end")
	}
}

// TestBoundTo: which sockets are an endpoint's.
func TestBoundTo(t *testing.T) {
	tcp := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 25} }
	unix := func(name string) net.Addr { return &net.UnixAddr{Name: name, Net: "unix"} }
	for _, c := range []struct {
		addr     net.Addr
		endpoint string
		want     bool
	}{
		{tcp("0.0.0.0"), "tcp://0.0.0.0:25", true}, {tcp("::"), "tcp://:25", true}, {tcp("::"), "tls://:25", true},
		{tcp("127.0.0.1"), "tcp://127.0.0.1:25", true}, {tcp("127.0.0.1"), "tcp://127.0.0.2:25", false},
		{tcp("127.0.0.1"), "tcp://:25", false}, {tcp("127.0.0.1"), "tcp://127.0.0.1:0", false},
		{tcp("0.0.0.0"), "tcp://127.0.0.1:25", false}, {tcp("::1"), "tcp://[::1]:25", true},
		{tcp("::1"), "unix://::1:25", false}, {unix("/run/a"), "unix:///run/a", true},
		{unix("/run/a"), "unix:///run/b", false}, {unix("@a"), "unix://@a", true}, {unix("@a"), "unix://a", false},
		{unix("/run/a"), "tcp://:25", false}, {&net.UDPAddr{Port: 25}, "tcp://:25", false},
		{tcp("::"), "udp://:25", false},
		{&net.UDPAddr{IP: net.IPv6unspecified, Port: 25}, "udp://:25", true},
		{&net.UnixAddr{Name: "/run/a", Net: "unixgram"}, "unixgram:///run/a", true},
		{&net.UnixAddr{Name: "/run/a", Net: "unixgram"}, "unix:///run/a", false},
	} {
		if got := boundTo(c.addr, c.endpoint); got != c.want {
			t.Errorf("%v, %s: found %v, wanted %v", c.addr, c.endpoint, got, c.want)
		}
	}
}

// TestPreStop: for so long the server is unready and takes connections; who is in a hurry
// ends it.
func TestPreStop(t *testing.T) {
	log := newJournal(t)
	cfg := echoes("tcp://127.0.0.1:0")
	cfg.Reactor.PreStop = time.Hour
	s := begin(t, cfg, Options{Log: log})
	at := strings.TrimPrefix(s.ListenerInfos()[0].Endpoint, "tcp://")
	if s.EndPreStop() {
		t.Error("it was ended before it began")
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(context.Background()) }()
	log.await("unready; serving on")
	if s.Ready() {
		t.Error("ready while it ends")
	}
	do(t, answers("tcp", at))
	if !s.EndPreStop() || s.EndPreStop() {
		t.Error("found that it can't be ended, or twice")
	}
	do(t, <-ended)
	if c, err := net.Dial("tcp", at); err == nil {
		c.Close()
		t.Error("it is listened on after the end")
	}
}

// TestLetsGo: while a process drains, the next one of the same configuration starts beside
// it, with the administration and the state.
func TestLetsGo(t *testing.T) {
	dir := t.TempDir()
	log := newJournal(t)
	cfg := echoes("unix://" + dir + "/echo.sock")
	cfg.Admin.Listen, cfg.State.Dir, cfg.Reactor.DrainTimeout = "unix://"+dir+"/admin.sock", dir, patience
	first := begin(t, cfg, Options{Log: log})
	c, err := net.Dial("unix", dir+"/echo.sock")
	do(t, err)
	defer c.Close()
	_, err = fmt.Fprint(c, "hello")
	do(t, err)
	_, err = io.ReadFull(c, make([]byte, 5))
	do(t, err)
	ended := make(chan error, 1)
	go func() { ended <- first.Shutdown(context.Background()) }()
	log.await("shutting down")
	first.leaving.Wait()
	next := begin(t, cfg, Options{})
	do(t, next.CanSave())
	do(t, answers("unix", dir+"/echo.sock"))
	_, err = fmt.Fprint(c, "again")
	do(t, err)
	_, err = io.ReadFull(c, make([]byte, 5))
	do(t, err)
	c.Close()
	do(t, <-ended)
	if a, err := net.Dial("unix", dir+"/admin.sock"); err != nil {
		t.Errorf("the first one's end took the next one's administration away: %v", err)
	} else {
		a.Close()
	}
}

// TestActivatedDatagrams: so do endpoints for datagrams, and the file of a Unix socket stays.
func TestActivatedDatagrams(t *testing.T) {
	path := filepath.Join(t.TempDir(), "datagrams")
	var files []*os.File
	var at string
	for network, address := range map[string]string{"udp": "127.0.0.1:0", "unixgram": path} {
		c, err := net.ListenPacket(network, address)
		do(t, err)
		f, err := c.(filer).File()
		do(t, err)
		if network == "udp" {
			at = c.LocalAddr().String()
		}
		if u, is := c.(*net.UnixConn); is {
			do(t, u.Close()) // its file stays
		} else {
			do(t, c.Close())
		}
		files = append(files, f)
	}
	cfg := echoes("udp://"+at, "unixgram://"+path)
	cfg.Plugins["p"] = config.Plugin{Module: "../testdata/datagrams.wasm"}
	s := begin(t, cfg, Options{}, files...)
	c, err := net.Dial("udp", at)
	do(t, err)
	defer c.Close()
	do(t, c.SetDeadline(time.Now().Add(patience)))
	_, err = fmt.Fprint(c, "!hello")
	do(t, err)
	b := make([]byte, 16)
	n, err := c.Read(b)
	if do(t, err); string(b[:n]) != "!hello" {
		t.Errorf("found %q", b[:n])
	}
	u, err := net.Dial("unixgram", path)
	do(t, err)
	u.Close()
	do(t, s.Shutdown(context.Background()))
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("%v: it was the service manager's", err)
	}
}
