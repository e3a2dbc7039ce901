package operate

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/reactor"
)

// at is when the lines of tests are written.
func at() time.Time { return time.Date(2026, 11, 26, 22, 10, 0, 5e6, time.UTC) }

// TestAccessLines: what is in a line, in both formats; and that nothing that a client chooses
// makes a field or a line of its own.
func TestAccessLines(t *testing.T) {
	evil := "a b=\"c\"\nplugin=x\x1b[31m\u202e\xff"
	for _, tc := range []struct {
		e    host.ConnEnd
		want string
	}{
		{host.ConnEnd{ID: "smtp/12", Plugin: "smtp", Version: "smtp@0123", Peer: "tcp://10.0.0.1:5000",
			Listener: "tcp://0.0.0.0:25", Reason: reactor.Timeout, Age: 1204400 * time.Microsecond, In: 5, Out: 6,
			TLSVersion: 0x0304, ServerName: "mail.example"},
			`2026-11-26T22:10:00.005Z id=smtp/12 peer=tcp://10.0.0.1:5000 listener=tcp://0.0.0.0:25 ` +
				`plugin=smtp@0123 reason="timed out" duration=1.204s in=5 out=6 tls=1.3 sni=mail.example`},
		{host.ConnEnd{Plugin: "smtp", Peer: "tcp://10.0.0.1:5000", Listener: "tcp://0.0.0.0:25",
			Reason: reactor.Refused},
			`2026-11-26T22:10:00.005Z peer=tcp://10.0.0.1:5000 listener=tcp://0.0.0.0:25 plugin=smtp ` +
				`reason="connection refused" duration=0s in=0 out=0`},
		{host.ConnEnd{ID: "p/1", Version: "p@1", Peer: "unix:///a b", TLSVersion: 0x0303, ServerName: evil},
			`2026-11-26T22:10:00.005Z id=p/1 peer="unix:///a b" outgoing=true plugin=p@1 reason="connection done" ` +
				`duration=0s in=0 out=0 tls=1.2 sni="a b=\"c\"\nplugin=x\x1b[31m\u202e\xff"`},
	} {
		if got := string(accessText(nil, &tc.e, at())); got != tc.want+"\n" {
			t.Errorf("found\n%s\nwanted\n%s", got, tc.want)
		}
		line := accessJSON(nil, &tc.e, at())
		var v map[string]any
		if err := json.Unmarshal(line, &v); err != nil || strings.Count(string(line), "\n") != 1 {
			t.Errorf("found %q, %v", line, err)
		}
		if v["reason"] != tc.e.Reason.String() || v["duration_seconds"] != tc.e.Age.Round(time.Millisecond).Seconds() ||
			strings.ContainsAny(string(line), "\x1b") {
			t.Errorf("found %s", line)
		}
	}
}

// logged is a server with an access log, and what the connection of one client leaves in it.
func logged(t *testing.T, to, format string, stderr io.Writer) *Server {
	t.Helper()
	return serving(t, config.AccessLog{To: to, Format: format},
		config.Listener{Endpoint: "tcp://127.0.0.1:0", Plugin: "p"}, stderr)
}

func serving(t *testing.T, log config.AccessLog, ln config.Listener, stderr io.Writer) *Server {
	t.Helper()
	cfg := config.Config{
		Admin: config.Admin{Listen: "off"}, Cache: config.Cache{Dir: "off"},
		AccessLog: log,
		Plugins:   map[string]config.Plugin{"p": {Module: "builtin:echo"}},
		Listeners: []config.Listener{ln},
	}
	s, err := New(cfg, Options{
		Load:   func(context.Context) (config.Config, error) { return cfg, nil },
		Host:   host.Options{Builtin: builtin, Wall: at},
		Stderr: stderr,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// talk has a client send five bytes and take them back, and waits until the host has lost it.
func talk(t *testing.T, s *Server) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.Listeners()[0].String(), "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	echoed(t, c.(*net.TCPConn))
}

// echoed has a client send five bytes, take them back, and end.
func echoed(t *testing.T, c interface {
	net.Conn
	CloseWrite() error
}) {
	t.Helper()
	defer c.Close()
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c); err != nil {
		t.Fatal(err)
	}
}

// awaitLine waits for a line in a file.
func awaitLine(t *testing.T, path string, line *regexp.Regexp) {
	t.Helper()
	for until := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		text, err := os.ReadFile(path)
		if err == nil && line.Match(text) {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("found %q, %v, wanted %s", text, err, line)
		}
	}
}

// TestAccessLogReopens: a file that was renamed gets what came before a reload, and the one
// that has its name then, what comes after.
func TestAccessLogReopens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access")
	s := logged(t, "file://"+path, "text", nil)
	line := regexp.MustCompile(`^2026-11-26T22:10:00.005Z id=p/\d+ peer=tcp://127.0.0.1:\d+ ` +
		`listener=tcp://127.0.0.1:\d+ plugin=p@[0-9a-f]{12} reason="connection done" duration=\S+ in=5 out=5\n$`)
	await := func(path string) {
		t.Helper()
		awaitLine(t, path, line)
	}
	talk(t, s)
	await(path)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	talk(t, s)
	await(path)
	await(path + ".1")
}

// TestAccessLineOfTLS: its version, and the name that the client asked for.
func TestAccessLineOfTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := renew(t)
	do(t, errors.Join(os.WriteFile(filepath.Join(dir, "c.pem"), cert, 0o600),
		os.WriteFile(filepath.Join(dir, "k.pem"), key, 0o600)))
	path := filepath.Join(dir, "access")
	s := serving(t, config.AccessLog{To: "file://" + path, Format: "text"}, config.Listener{
		Endpoint: "tls://127.0.0.1:0", Plugin: "p",
		TLS: config.TLS{Cert: filepath.Join(dir, "c.pem"), Key: filepath.Join(dir, "k.pem")}}, nil)
	for _, tc := range []struct {
		cfg  *tls.Config
		want string
	}{
		{&tls.Config{MaxVersion: tls.VersionTLS12, ServerName: "localhost"}, `in=\d+ out=\d+ tls=1\.2 sni=localhost\n`},
		{&tls.Config{ServerName: "other.example"}, `in=\d+ out=\d+ tls=1\.3 sni=other\.example\n`},
		{&tls.Config{}, `in=\d+ out=\d+ tls=1\.3\n`},
	} {
		tc.cfg.InsecureSkipVerify = true // its own
		c, err := net.Dial("tcp", strings.TrimPrefix(s.Listeners()[0].String(), "tls://"))
		if err != nil {
			t.Fatal(err)
		}
		echoed(t, tls.Client(c, tc.cfg))
		line := regexp.MustCompile(`(?m)^2026-\S+ id=p/\d+ \S+ listener=tls://\S+ plugin=p@\S+ ` +
			`reason="connection done" duration=\S+ ` + tc.want)
		awaitLine(t, path, line)
	}
}

// stuck is a writer that takes nothing.
type stuck struct{ let chan struct{} }

func (w stuck) Write(p []byte) (int, error) { <-w.let; return len(p), nil }

// TestAccessLogHoldsNothing: where the lines go to stands still, connections do not, and what
// is lost is counted.
func TestAccessLogHoldsNothing(t *testing.T) {
	w := stuck{make(chan struct{})}
	a := accessLog{log: hclog.NewNullLogger(), stderr: w, wall: at}
	do(t, a.set(config.AccessLog{To: "stderr", Format: "json"}))
	for range 20_000 {
		a.write(&host.ConnEnd{ID: "p/1", Plugin: "p", Peer: "tcp://127.0.0.1:1"})
	}
	if n := a.lost(); n == 0 || n >= 20_000 {
		t.Errorf("found %d lines lost of 20000, wanted those for which there is no room", n)
	}
	close(w.let)
	a.end()
	if a.now.Load() != nil {
		t.Error("found a log that goes on")
	}
}
