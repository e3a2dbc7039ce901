package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestMonitorShowsAndChangesNothing: of a monitor there is nothing but what it is for, whatever
// the method, and nothing that clients or guests have written.
func TestMonitorShowsAndChangesNothing(t *testing.T) {
	f := newFake()
	s := NewMonitor(Options{Host: f})
	for what, code := range map[string]int{
		"GET /healthz": 200, "HEAD /healthz": 200, "GET /readyz": 200, "GET /metrics": 200, "GET /status.json": 200,
		"POST /healthz": 405, "DELETE /status.json": 405, "PUT /metrics": 405,
		"GET /": 200, "GET /page/page.js": 200, "POST /": 404, "POST /page/events": 404, "GET /v1/log": 404,
		"GET /v1/plugins": 404, "GET /v1/connections": 404, "GET /v1/config": 404,
		"POST /v1/plugins/echo/reload": 404, "DELETE /v1/plugins/echo": 404, "PUT /v1/plugins/echo/trace": 404,
		"GET /v1/plugins/echo/profile": 404, "GET /debug/pprof/": 404, "GET /debug/pprof/heap": 404,
	} {
		if r := ask(t, s, what, ""); r.code != code {
			t.Errorf("%s: found %d %s, wanted %d", what, r.code, r.body, code)
		}
	}
	if r := ask(t, s, "GET /v1/status", ""); !strings.Contains(r.body,
		"found no /v1/status; wanted one of /healthz, /metrics") {
		t.Errorf("found %s", r.body)
	}
	for _, path := range []string{"/status.json", "/metrics"} {
		r := ask(t, s, "GET "+path, "")
		for _, secret := range []string{"1.2.3.4", "it was bad", "echo/1", "builtin:"} {
			if strings.Contains(r.body, secret) {
				t.Errorf("%s: found %q in\n%s", path, secret, r.body)
			}
		}
	}
	f.ready = false
	if r := ask(t, s, "GET /readyz", ""); r.code != 503 || !strings.Contains(r.body, "some plugin does not start") {
		t.Errorf("found %d %s", r.code, r.body)
	}
	if r := ask(t, s, "GET /status.json", ""); !strings.Contains(r.body, `"ready":false,"unready":"some plugin`) {
		t.Errorf("found %s", r.body)
	}
	if r := ask(t, s, "GET /healthz", ""); r.code != 200 {
		t.Errorf("found %d %s", r.code, r.body)
	}
}

// monitored serves a monitor on a Unix socket.
func monitored(t *testing.T, h Host) (path string) {
	t.Helper()
	path = spot(t, "m")
	ln, err := ListenMonitor("unix://" + path)
	if err != nil {
		t.Fatal(err)
	}
	s := NewMonitor(Options{Host: h})
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ln) }()
	t.Cleanup(func() {
		if err := errors.Join(s.Close(context.Background()), <-ended); err != nil {
			t.Error(err)
		}
	})
	return path
}

// TestMonitorIsBounded: connections that say nothing keep no probe out, and requests are small.
func TestMonitorIsBounded(t *testing.T) {
	path := monitored(t, newFake())
	var silent []net.Conn
	for range 3 * monitorConns {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		silent = append(silent, c)
	}
	dial := func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }
	client := http.Client{Transport: &http.Transport{DialContext: dial}, Timeout: patience}
	resp, err := client.Get("http://monitor/healthz")
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode != 200 || !resp.Close {
		t.Errorf("found %s, and that the connection stays: %v", resp.Status, !resp.Close)
	}
	for n := range 2*monitorConns + 1 { // closed, each by one that came later
		if _, err := silent[n].Read(make([]byte, 1)); !errors.Is(err, io.EOF) &&
			!strings.Contains(fmt.Sprint(err), "reset") {
			t.Fatalf("%d: found %v, wanted the end", n, err)
		}
	}
	answer := raw(t, path, "GET /healthz HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 16<<10)+"\r\n\r\n", false)
	if !strings.HasPrefix(answer, "HTTP/1.1 431 ") {
		t.Errorf("found %.100q, wanted that the header is too large", answer)
	}
}

// TestMonitorListens: on any address, and not on what is no address.
func TestMonitorListens(t *testing.T) {
	ln, err := ListenMonitor("tcp://0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
	if _, err := ListenMonitor("tls://127.0.0.1:0"); err == nil ||
		!strings.Contains(err.Error(), "found the scheme tls, wanted unix or tcp") {
		t.Errorf("found %v", err)
	}
}
