package operate

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
)

// TestMonitorBeforeTheStart: a probe is answered while the host has not started, and told that
// it is not ready; and until the end.
func TestMonitorBeforeTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m")
	s, err := New(config.Config{
		Admin: config.Admin{Listen: "off"}, Cache: config.Cache{Dir: "off"},
		Monitor: config.Monitor{Listen: "unix://" + path},
		Plugins: map[string]config.Plugin{"p": {Module: "builtin:echo"}},
	}, Options{Host: host.Options{Builtin: builtin}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.monitor.listen(s, s.given); err != nil {
		t.Fatal(err)
	}
	s.monitor.begin()
	ask := func(what string, want int, text string) {
		t.Helper()
		if code, got := get(t, path, what); code != want || !strings.Contains(got, text) {
			t.Errorf("%s: found %d %s, wanted %d and %q", what, code, got, want, text)
		}
	}
	ask("/healthz", 200, "ok")
	ask("/readyz", 503, "some listener is not bound, or some plugin has not started")
	ask("/status.json", 200, `"ready":false`)
	ask("/metrics", 200, "wirehost_ready 0\n")
	if err := s.Host.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	ask("/readyz", 200, "ready")
	ask("/status.json", 200, `"ready":true`)
	s.endChanges()
	ask("/readyz", 503, "the server is ending")
	ask("/healthz", 200, "ok")
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("unix", path); err == nil {
		t.Error("found a monitor after the end")
	}
}

// get asks a monitor.
func get(t *testing.T, path, what string) (int, string) {
	t.Helper()
	dial := func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }
	c := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: patience}
	resp, err := c.Get("http://monitor" + what)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}
