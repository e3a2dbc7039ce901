package admin

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/wirehost/wirehost/host"
)

func TestProfile(t *testing.T) {
	cases := []struct {
		name, what string
		err        error
		code       int
		want       string // in the body
		d          time.Duration
	}{
		{name: "usual", what: "GET /v1/plugins/echo/profile", code: 200, d: 10 * time.Second},
		{name: "so long", what: "GET /v1/plugins/echo/profile?for=1m30s", code: 200, d: 90 * time.Second},
		{name: "no time", what: "GET /v1/plugins/echo/profile?for=soon", code: 400, want: `for: found \"soon\"`},
		{name: "no unit", what: "GET /v1/plugins/echo/profile?for=10", code: 400, want: "wanted a time such as 10s"},
		{name: "too long", what: "GET /v1/plugins/echo/profile?for=61m", code: 400, want: "at most 1h"},
		{name: "nothing", what: "GET /v1/plugins/echo/profile?for=0s", code: 400},
		{name: "before", what: "GET /v1/plugins/echo/profile?for=-1s", code: 400},
		{name: "of no kind", what: "GET /v1/plugins/echo/profile?as=text", code: 400, want: `as: found \"text\"`},
		{name: "unknown", what: "GET /v1/plugins/none/profile", code: 404, want: "#unknown-plugin"},
		{name: "two", what: "GET /v1/plugins/echo/profile", err: host.ErrProfiling, code: 409, want: "#profiling"},
		{name: "at the end", what: "GET /v1/plugins/echo/profile", err: host.ErrNotRunning, code: 503},
		{name: "changed", what: "POST /v1/plugins/echo/profile", code: 405},
	}
	d := description(t)
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			f := newFake()
			f.err = tc.err
			r := ask(t, New(Options{Host: f}), tc.what, "")
			exchange{code: tc.code, want: tc.want}.check(t, r)
			d.holds(t, tc.what, r)
			if tc.code != 200 {
				return
			}
			if f.profiled != tc.d {
				t.Errorf("found %v, wanted %v", f.profiled, tc.d)
			}
			if p, err := profile.ParseData([]byte(r.body)); err != nil || len(p.SampleType) != 1 {
				t.Errorf("found %v, %v", p, err)
			}
		})
	}
}

// A client that goes away ends its profile.
func TestProfileEndsWithItsClient(t *testing.T) {
	f := newFake()
	f.entered = make(chan struct{})
	s := httptest.NewServer(New(Options{Host: f}).http.Handler)
	defer s.Close() // waits for the request
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/v1/plugins/echo/profile", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() { <-f.entered; cancel() }()
	if resp, err := http.DefaultClient.Do(r); err == nil {
		resp.Body.Close()
		t.Errorf("found %s", resp.Status)
	}
}
