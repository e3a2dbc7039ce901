package admin

import (
	"strings"
	"testing"
)

// TestStreamTrace: the lines of a trace are the answer, as they come, and why it has ended.
func TestStreamTrace(t *testing.T) {
	_, path := served(t, newFake())
	answer := raw(t, path, "GET /v1/plugins/echo/trace?connection=echo/2 HTTP/1.0\r\n\r\n", true)
	if !strings.HasPrefix(answer, "HTTP/1.0 200 OK\r\n") ||
		!strings.HasSuffix(answer, "\r\n\r\necho/2 <- dataReceived\nthe trace has ended: host: not running\n") {
		t.Errorf("found %q", answer)
	}
	for query, code := range map[string]int{"": 404, "?connection=echo/1": 400} {
		if r := ask(t, New(Options{Host: newFake()}), "GET /v1/plugins/none/trace"+query, ""); r.code != code {
			t.Errorf("%s: found %d %s, wanted %d", query, r.code, r.body, code)
		}
	}
}

// TestProfiles: Go's own profiles are on the administration.
func TestProfiles(t *testing.T) {
	s := New(Options{Host: newFake()})
	for what, code := range map[string]int{
		"GET /debug/pprof/": 200, "GET /debug/pprof/goroutine?debug=1": 200, "GET /debug/pprof/cmdline": 200,
		"GET /debug/pprof/none": 404, "POST /debug/pprof/profile": 404,
	} {
		if r := ask(t, s, what, ""); r.code != code {
			t.Errorf("%s: found %d %.200s, wanted %d", what, r.code, r.body, code)
		}
	}
}
