package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/internal/changes"
)

// exchange is one request and what it must get.
type exchange struct {
	name    string
	what    string // METHOD PATH
	body    string
	headers []string
	err     error // of the Host
	code    int
	want    string // part of the body
	header  string // "Name: value" that must be there
}

func TestExchanges(t *testing.T) {
	bad := &host.LoadError{Plugin: "echo", Module: "/x.wasm",
		Faults: []string{"found no memory", "found no dataReceived"}}
	busy := fmt.Errorf("plugin echo: %w", host.ErrChanging)
	cases := []exchange{
		{name: "plugins", what: "GET /v1/plugins", code: 200, want: `{"plugins":[{"name":"echo"`},
		{name: "plugins of a host that ends", what: "GET /v1/plugins", err: host.ErrNotRunning, code: 503,
			want: "#not-running"},
		{name: "a plugin", what: "GET /v1/plugins/echo", code: 200, want: `"active":"echo@aaaaaaaaaaaa"`,
			header: `ETag: "echo@aaaaaaaaaaaa"`},
		{name: "no plugin", what: "GET /v1/plugins/ecoh", code: 404, want: `"detail":"plugin ecoh: not loaded"`},
		{name: "head", what: "HEAD /v1/plugins/echo", code: 200, header: `ETag: "echo@aaaaaaaaaaaa"`},
		{name: "connections", what: "GET /v1/connections", code: 200, want: `"id":"line/1"`},
		{name: "connections of no plugin", what: "GET /v1/connections?plugin=none", code: 404, want: "#unknown-plugin"},
		{name: "connections by a mistyped name", what: "GET /v1/connections?plugn=x", code: 400,
			want: `found the parameter \"plugn\", wanted one of id, plugin, `},
		{name: "connections of no network", what: "GET /v1/connections?peer=10.0.0.0/33", code: 400,
			want: "wanted an address or CIDR"},
		{name: "connections in no order", what: "GET /v1/connections?sort=size", code: 400,
			want: "wanted one of age, idle, in, out, queued"},
		{name: "connections in no state", what: "GET /v1/connections?state=up", code: 400, want: "wanted one of open"},
		{name: "too many connections", what: "GET /v1/connections?limit=10001", code: 400, want: "from 1 to 10000"},
		{name: "a page of what is sorted", what: "GET /v1/connections?sort=in&after=0.1", code: 400, want: "no pages"},
		{name: "connections idle for what", what: "GET /v1/connections?idle_for=10", code: 400, want: "such as 30s"},
		{name: "close", what: "POST /v1/connections/close", body: `{"plugin":"echo"}`, code: 200, want: `{"closed":3}`},
		{name: "close all", what: "POST /v1/connections/close", body: `{}`, code: 400,
			want: "found no connection, plugin"},
		{name: "close by a mistyped name", what: "POST /v1/connections/close", body: `{"plugn":"echo"}`, code: 400,
			want: "unknown field"},
		{name: "close one that is gone", what: "POST /v1/connections/close", body: `{"ids":["echo/1","echo/9"]}`,
			code: 404,
			want: `"faults":["connection echo/9: no such connection","others that were closed: 1"]`},
		{name: "close what is no ID", what: "POST /v1/connections/close", body: `{"ids":["echo"]}`, code: 400,
			want: "wanted PLUGIN/NUMBER"},
		{name: "close a version without its name", what: "POST /v1/connections/close", body: `{"version":"aa"}`,
			code: 400,
			want: "wanted NAME@HASH"},
		{name: "status", what: "GET /v1/status", code: 200, want: `"config":"/etc/w.yaml"`},
		{name: "status of certificates", what: "GET /v1/status", code: 200,
			want: `"certificates_refused":[{"cert":"/gone.pem","names":[],"loaded":false,"err":"found no file"}]`},
		{name: "status of a host that ends", what: "GET /v1/status", err: host.ErrNotRunning, code: 503},
		{name: "settings", what: "GET /v1/config/settings", code: 200,
			want: `{"key":"reactor.loops","value":"0","from":"/etc/w.yaml:3"}`},
		{name: "listeners", what: "GET /v1/listeners", code: 200, want: `"accepted":7`},
		{name: "few of guests' listeners", what: "GET /v1/listeners?limit=1", code: 200, want: `"more":true`},
		{name: "too many listeners", what: "GET /v1/listeners?limit=10001", code: 400, want: `limit: found \"10001\"`},
		{name: "listeners by what is none", what: "GET /v1/listeners?of=me", code: 400, want: `wanted one of limit`},
		{name: "config", what: "GET /v1/config", code: 200, want: `"drain":"10m0s"`},
		{name: "health", what: "GET /healthz", code: 200, want: `"ok"`},
		{name: "ready", what: "GET /readyz", code: 200, want: `"ready"`},
		{name: "metrics", what: "GET /metrics", code: 200, want: "\nwirehost_ready 1\n"},
		{name: "description", what: "GET /v1/openapi.json", code: 200, want: `"openapi": "3.1.0"`},

		{name: "load", what: "POST /v1/plugins/new", body: `{"module":"builtin:echo"}`, code: 201,
			want: `{"added":["plugin new"]}`, header: "Location: /v1/plugins/new"},
		{name: "load with a listener", what: "POST /v1/plugins/new",
			body: `{"module":"/x.wasm","listener":{"endpoint":"tcp://127.0.0.1:0"}}`, code: 201},
		{name: "load what is loaded", what: "POST /v1/plugins/echo", body: `{"module":"builtin:echo"}`, code: 409,
			want: "#loaded"},
		{name: "load during a change", what: "POST /v1/plugins/new", body: `{"module":"builtin:echo"}`, err: busy,
			code: 409, want: "#changing"},
		{name: "load a bad module", what: "POST /v1/plugins/new", body: `{"module":"/x.wasm"}`, err: bad, code: 422,
			want: `"faults":["plugin echo: module /x.wasm: found no memory",` +
				`"plugin echo: module /x.wasm: found no dataReceived"]`},
		{name: "load an unknown key", what: "POST /v1/plugins/new",
			body: "{\"module\":\"builtin:echo\",\n\"limitz\":{}}", code: 400,
			want: `body:2: limitz: found an unknown key`},
		{name: "load a relative path", what: "POST /v1/plugins/new", body: `{"module":"x.wasm"}`, code: 400,
			want: `wanted an absolute path`},
		{name: "load nothing", what: "POST /v1/plugins/new", code: 400, want: "it ends too early"},
		{name: "load under a bad name", what: "POST /v1/plugins/A%20b", body: `{"module":"builtin:echo"}`, code: 400,
			want: "wanted 1 to 64 of the letters"},

		{name: "reload", what: "POST /v1/plugins/echo/reload", code: 200,
			want: `"migrated":398,"kept":{"restoreState refused (7)":2}`, header: `ETag: "echo@bbbbbbbbbbbb"`},
		{name: "reload forced", what: "POST /v1/plugins/echo/reload", body: `{"force":true}`, code: 200},
		{name: "reload, empty", what: "POST /v1/plugins/echo/reload", body: ` {} `, code: 200},
		{name: "reload none", what: "POST /v1/plugins/none/reload", code: 404, want: "#unknown-plugin"},
		{name: "reload, matching", what: "POST /v1/plugins/echo/reload",
			headers: []string{`If-Match: "x", "echo@aaaaaaaaaaaa"`}, code: 200},
		{name: "reload, any", what: "POST /v1/plugins/echo/reload", headers: []string{`If-Match: *`}, code: 200},
		{name: "reload, another active", what: "POST /v1/plugins/echo/reload",
			headers: []string{`If-Match: "echo@cccccccccccc"`}, code: 412, want: `"running":"echo@aaaaaaaaaaaa"`},
		{name: "reload, a weak tag", what: "POST /v1/plugins/echo/reload",
			headers: []string{`If-Match: W/"echo@aaaaaaaaaaaa"`}, code: 412},
		{name: "reload none, any", what: "POST /v1/plugins/none/reload", headers: []string{`If-Match: *`}, code: 412},
		{name: "reload a bad module", what: "POST /v1/plugins/echo/reload", err: bad, code: 422,
			want: `"running":"echo@aaaaaaaaaaaa"`},
		{name: "reload a version that traps", what: "POST /v1/plugins/echo/reload",
			err: fmt.Errorf("version echo@b failed: %w", &guest.TrapError{Cause: "time"}), code: 422,
			want: "#refused"},
		{name: "reload during a change", what: "POST /v1/plugins/echo/reload", err: busy, code: 409,
			want: `"running":"echo@aaaaaaaaaaaa"`},
		{name: "reload at the end", what: "POST /v1/plugins/echo/reload", err: host.ErrNotRunning, code: 503},
		{name: "reload, joined", what: "POST /v1/plugins/echo/reload",
			err: errors.Join(errors.New("one"), errors.New("two")), code: 422, want: `"detail":"one; two"`},

		{name: "use", what: "POST /v1/plugins/echo/use", body: `{"version":"echo@000000000000"}`, code: 200,
			want: `"version":"echo@000000000000"`},
		{name: "use a version that is gone", what: "POST /v1/plugins/echo/use", body: `{"version":"echo@111111111111"}`,
			code: 422, want: "version echo@111111111111: not loaded"},
		{name: "use of none", what: "POST /v1/plugins/none/use", body: `{"version":"none@111111111111"}`, code: 404,
			want: "#unknown-plugin"},
		{name: "use another's", what: "POST /v1/plugins/echo/use", body: `{"version":"line@000000000000"}`, code: 400,
			want: "wanted a version of this plugin"},
		{name: "use nothing", what: "POST /v1/plugins/echo/use", code: 400},

		{name: "unpin", what: "DELETE /v1/plugins/echo/pin", code: 200, want: `"version":"echo@aaaaaaaaaaaa"`,
			header: `ETag: "echo@aaaaaaaaaaaa"`},
		{name: "unpin none", what: "DELETE /v1/plugins/none/pin", code: 404, want: "#unknown-plugin"},
		{name: "history", what: "GET /v1/plugins/echo/history", code: 200, want: `"by":"command, root"`},
		{name: "history of none", what: "GET /v1/plugins/none/history", code: 404, want: "#unknown-plugin"},
		{name: "save neither", what: "DELETE /v1/plugins/echo?save=maybe", code: 400, want: "wanted true or false"},

		{name: "trace", what: "PUT /v1/plugins/echo/trace", code: 200, want: `"name":"echo"`,
			header: `ETag: "echo@aaaaaaaaaaaa"`},
		{name: "trace a connection", what: "PUT /v1/plugins/echo/trace", body: `{"connection":"echo/3"}`, code: 200},
		{name: "trace no connection", what: "PUT /v1/plugins/echo/trace", body: `{"connection":"echo/4"}`, code: 404,
			want: "connection echo/4: no such connection"},
		{name: "trace another's connection", what: "PUT /v1/plugins/echo/trace", body: `{"connection":"line/1"}`,
			code: 400, want: "wanted a connection of this plugin, such as echo/1"},
		{name: "trace what is no connection", what: "PUT /v1/plugins/echo/trace", body: `{"connection":"echo/0"}`,
			code: 400},
		{name: "trace a number", what: "PUT /v1/plugins/echo/trace", body: `{"connection":3}`, code: 400,
			want: "connection: found number, wanted a string"},
		{name: "trace none", what: "PUT /v1/plugins/none/trace", code: 404, want: "#unknown-plugin"},
		{name: "trace at the end", what: "PUT /v1/plugins/echo/trace", err: host.ErrNotRunning, code: 503},
		{name: "no trace", what: "DELETE /v1/plugins/echo/trace", code: 200},
		{name: "no trace of none", what: "DELETE /v1/plugins/none/trace", code: 404},

		{name: "unload", what: "DELETE /v1/plugins/echo", code: 200, want: `{"removed":["plugin echo"]}`},
		{name: "unload none", what: "DELETE /v1/plugins/none", code: 404},
		{name: "unload another", what: "DELETE /v1/plugins/echo", headers: []string{`If-Match: "echo@cccccccccccc"`},
			code: 412},

		{name: "config reload", what: "POST /v1/config/reload", code: 200, want: `"needs_boot":["reactor"]`},
		{name: "config with faults", what: "POST /v1/config/reload",
			err: config.Faults{{Key: "a", Found: "x"}, {Key: "b", Found: "y"}}, code: 422,
			want: `"faults":["a: found x","b: found y"]`},
		{name: "config reload with a body", what: "POST /v1/config/reload", body: `{"x":1}`, code: 400,
			want: "unknown field"},

		{name: "syntax", what: "POST /v1/plugins/echo/reload", body: "{\n  \"force\": tru }", code: 400,
			want: "body:2:15: found what is not JSON"},
		{name: "truncated", what: "POST /v1/plugins/echo/reload", body: `{"force":`, code: 400,
			want: "body:1:10: found what is not JSON: it ends too early"},
		{name: "wrong type", what: "POST /v1/plugins/echo/reload", body: `{"force":"yes"}`, code: 400,
			want: "force: found string, wanted true or false"},
		{name: "unknown field", what: "POST /v1/plugins/echo/reload", body: `{"forse":true}`, code: 400,
			want: `unknown field \"forse\"`},
		{name: "more", what: "POST /v1/plugins/echo/reload", body: `{} {}`, code: 400,
			want: "body:1:4: found more after the end"},
		{name: "null", what: "POST /v1/plugins/echo/reload", body: `null`, code: 400,
			want: "found null, wanted an object"},
		{name: "a list", what: "POST /v1/plugins/echo/reload", body: `[]`, code: 400,
			want: "found array, wanted an object"},
		{name: "no JSON type", what: "POST /v1/plugins/echo/reload", body: `{}`,
			headers: []string{"Content-Type: text/plain"}, code: 415, want: `found Content-Type \"text/plain\"`},
		{name: "JSON with a charset", what: "POST /v1/plugins/echo/reload", body: `{}`,
			headers: []string{"Content-Type: application/json; charset=utf-8"}, code: 200},
		{name: "one too many bytes", what: "POST /v1/plugins/echo/reload", body: strings.Repeat(" ", maxBody+1),
			code: 413, want: "#too-large"},
		{name: "just so many", what: "POST /v1/plugins/echo/reload", body: strings.Repeat(" ", maxBody), code: 200},
		{name: "ten megabytes", what: "POST /v1/plugins/new", body: strings.Repeat("[", 10<<20), code: 413},

		{name: "no such path", what: "GET /v1/plugin", code: 404, want: "#not-found"},
		{name: "root", what: "GET /page", code: 404, want: "#not-found"},
		{name: "deeper", what: "GET /v1/plugins/echo/reload/x", code: 404, want: "#not-found"},
		{name: "method", what: "PUT /v1/plugins/echo", code: 405, want: "#method-not-allowed",
			header: "Allow: DELETE, GET, HEAD, POST"},
		{name: "method of a list", what: "POST /v1/plugins", body: "{}", code: 405, header: "Allow: GET, HEAD"},
		{name: "get of a change", what: "GET /v1/plugins/echo/reload", code: 405, header: "Allow: POST"},
		{name: "trace", what: "TRACE /healthz", code: 405},
		{name: "options", what: "OPTIONS /v1/plugins", code: 405, header: "Allow: GET, HEAD"},
	}
	d := description(t)
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			f := newFake()
			f.err = tc.err
			r := ask(t, New(Options{Host: f}), tc.what, tc.body, tc.headers...)
			tc.check(t, r)
			d.holds(t, tc.what, r)
		})
	}
}

func (tc exchange) check(t *testing.T, r reply) {
	t.Helper()
	if r.code != tc.code || !strings.Contains(r.body, tc.want) {
		t.Errorf("found %d %s, wanted %d ...%s...", r.code, r.body, tc.code, tc.want)
	}
	if key, value, _ := strings.Cut(tc.header, ": "); r.header.Get(key) != value {
		t.Errorf("found %s: %q, wanted %q", key, r.header.Get(key), value)
	}
	if r.code < 400 {
		return
	}
	var p Problem
	if err := json.Unmarshal([]byte(r.body), &p); err != nil {
		t.Errorf("found no problem: %v in %s", err, r.body)
	}
	if p.Status != r.code || !strings.HasPrefix(p.Type, problemBase) || p.Title == "" || p.Detail == "" ||
		r.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("found the problem %+v as %s", p, r.header.Get("Content-Type"))
	}
}

func TestNotReady(t *testing.T) {
	f := newFake()
	f.ready = false
	s := New(Options{Host: f})
	r := ask(t, s, "GET /readyz", "")
	exchange{code: 503, want: "#not-ready"}.check(t, r)
	description(t).holds(t, "GET /readyz", r)
	if r := ask(t, s, "GET /healthz", ""); r.code != 200 {
		t.Errorf("found %d, wanted the process to be healthy", r.code)
	}
}

func TestLoadGivesTheSection(t *testing.T) {
	f := newFake()
	s := New(Options{Host: f})
	r := ask(t, s, "POST /v1/plugins/new",
		`{"module":"/x.wasm","isolation":"shared","limits":{"memory":"1MiB"},`+
			`"config":{"a":[1]},"listener":{"endpoint":"tcp://127.0.0.1:0"}}`)
	if r.code != 201 {
		t.Fatalf("found %d %s", r.code, r.body)
	}
	if f.loaded.Module != "/x.wasm" || f.loaded.Isolation != "shared" || f.loaded.Limits.Memory != 1<<20 ||
		!f.loaded.Watch || fmt.Sprint(f.loaded.Config) != "map[a:[1]]" {
		t.Errorf("found %+v", f.loaded)
	}
	if len(f.listens) != 1 || f.listens[0].Endpoint != "tcp://127.0.0.1:0" || f.listens[0].Plugin != "new" {
		t.Errorf("found %+v", f.listens)
	}
}

func TestForce(t *testing.T) {
	for body, want := range map[string]bool{`{"force":true}`: true, `{"force":false}`: false, `{}`: false} {
		f := newFake()
		if ask(t, New(Options{Host: f}), "POST /v1/plugins/echo/reload", body); f.forced != want {
			t.Errorf("%s: found force %v", body, f.forced)
		}
	}
}

func TestTraceGivesTheConnection(t *testing.T) {
	f := newFake()
	s := New(Options{Host: f})
	for _, tc := range []struct{ what, body, want string }{
		{"PUT /v1/plugins/echo/trace", `{"connection":"echo/3"}`, "3 true"},
		{"PUT /v1/plugins/echo/trace", `{}`, "0 true"},
		{"DELETE /v1/plugins/echo/trace", "", "0 false"},
	} {
		if ask(t, s, tc.what, tc.body); f.traced != tc.want {
			t.Errorf("%s %s: found %s, wanted %s", tc.what, tc.body, f.traced, tc.want)
		}
	}
}

// changing is a host of which another change does not end.
type changing struct{ *fake }

func (changing) ReloadPlugin(ctx context.Context, _ string, _ bool) (host.Outcome, error) {
	return host.Outcome{}, changes.Asked(ctx, time.Nanosecond, func() error { return host.ErrChanging })
}

// TestConditionWaitsForNothing: a reload on a condition is told at once that another change is
// under way, and one without has waited.
func TestConditionWaitsForNothing(t *testing.T) {
	s := New(Options{Host: changing{newFake()}})
	const what = "POST /v1/plugins/echo/reload"
	for waited, match := range map[bool][]string{true: nil, false: {`If-Match: "echo@aaaaaaaaaaaa"`}} {
		r := ask(t, s, what, "", match...)
		exchange{code: 409, want: "#changing"}.check(t, r)
		if found := strings.Contains(r.body, "waited 300ns"); found != waited {
			t.Errorf("found %s, wanted it to have waited: %t", r.body, waited)
		}
	}
}

// Two operators whose condition is the same: one makes the change, the other
// is told so, during it and after it.
func TestTwoOperators(t *testing.T) {
	f := newFake()
	f.entered, f.proceed = make(chan struct{}), make(chan struct{})
	s := New(Options{Host: f})
	const what, match = "POST /v1/plugins/echo/reload", `If-Match: "echo@aaaaaaaaaaaa"`
	first := make(chan reply)
	go func() { first <- ask(t, s, what, "", match) }()
	<-f.entered
	exchange{code: 409, want: "#changing"}.check(t, ask(t, s, what, "", match))
	f.proceed <- struct{}{}
	if r := <-first; r.code != 200 {
		t.Errorf("found %d %s, wanted 200", r.code, r.body)
	}
	exchange{code: 412, want: `"running":"echo@bbbbbbbbbbbb"`}.check(t, ask(t, s, what, "", match))
}

func TestGuard(t *testing.T) {
	const change = "POST /v1/plugins/echo/reload"
	cases := []struct {
		name, what string
		headers    []string
		code       int
	}{
		{"ours", "GET /healthz", []string{"Host: 127.0.0.1:7070"}, 200},
		{"localhost", "GET /healthz", []string{"Host: localhost:7070"}, 200},
		{"IPv6", "GET /healthz", []string{"Host: [::1]:7070"}, 200},
		{"rebound", "GET /healthz", []string{"Host: evil.example:7070"}, 403},
		{"rebound that looks local", "GET /healthz", []string{"Host: 127.0.0.1.evil.example:7070"}, 403},
		{"another port", "GET /healthz", []string{"Host: 127.0.0.1:80"}, 403},
		{"no port", "GET /healthz", []string{"Host: 127.0.0.1"}, 403},
		{"another machine", "GET /healthz", []string{"Host: 192.0.2.1:7070"}, 403},
		{"no host", "GET /healthz", []string{"Host: "}, 403},
		{"own origin", "GET /healthz", []string{"Host: 127.0.0.1:7070", "Origin: http://127.0.0.1:7070"}, 200},
		{"another origin", "GET /healthz", []string{"Host: 127.0.0.1:7070", "Origin: http://evil.example"}, 403},
		{"an origin on another port", "GET /healthz", []string{"Host: 127.0.0.1:7070", "Origin: http://127.0.0.1:8080"},
			403},
		{"a secure origin", "GET /healthz", []string{"Host: 127.0.0.1:7070", "Origin: https://127.0.0.1:7070"}, 403},
		{"a page's own GET", "GET /healthz", []string{"Host: 127.0.0.1:7070", "Sec-Fetch-Site: cross-site"}, 403},
		{"an address that is typed", "GET /healthz", []string{"Host: 127.0.0.1:7070", "Sec-Fetch-Site: none"}, 200},
		{"null origin", "GET /healthz", []string{"Host: 127.0.0.1:7070", "Origin: null"}, 403},
		{"preflight", "OPTIONS /v1/plugins/echo", []string{"Host: 127.0.0.1:7070", "Origin: http://evil.example",
			"Access-Control-Request-Method: DELETE"}, 403},
		{"change", change, []string{"Host: 127.0.0.1:7070", "Content-Type: application/json"}, 200},
		{"form", change, []string{"Host: 127.0.0.1:7070", "Content-Type: application/x-www-form-urlencoded"}, 415},
		{"no type", change, []string{"Host: 127.0.0.1:7070"}, 415},
		{"a type that hides", change, []string{"Host: 127.0.0.1:7070", "Content-Type: text/plain; application/json"},
			415},
		{"delete", "DELETE /v1/plugins/echo", []string{"Host: 127.0.0.1:7070"}, 200},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			s := New(Options{Host: newFake(), Authority: "127.0.0.1:7070"})
			if r := ask(t, s, tc.what, "", tc.headers...); r.code != tc.code {
				t.Errorf("found %d %s, wanted %d", r.code, r.body, tc.code)
			}
		})
	}
}

// TestRefusedSeldom: what a web page sends again and again is one line a second, and
// what a module has of faults some lines.
func TestRefusedSeldom(t *testing.T) {
	var log bytes.Buffer
	s := New(Options{Host: newFake(), Authority: "127.0.0.1:7070",
		Logger: hclog.New(&hclog.LoggerOptions{Output: &log})})
	for n := range 6 {
		if n == 5 {
			s.refusedAt.Store(0) // a second later
		}
		ask(t, s, "GET /healthz", "", "Host: evil.example")
	}
	if n := strings.Count(log.String(), "a request was refused"); n != 2 ||
		!strings.Contains(log.String(), "more_before=4") {
		t.Errorf("found %d lines, wanted 2 that tell of 6 requests:\n%s", n, log.String())
	}
	list := loggedFaults(&host.LoadError{Plugin: "p", Module: "m", Faults: make([]string, 100)})
	if len(list) != maxFaults+1 || list[maxFaults] != "and 36 more faults" {
		t.Errorf("found %d lines of 100 faults, the last one %q", len(list), list[len(list)-1])
	}
	if list := loggedFaults(errors.New(strings.Repeat("x", 1<<20))); len(list) != 1 || len(list[0]) != maxLogged {
		t.Errorf("found %d lines, the first of %d bytes", len(list), len(list[0]))
	}
}

// TestSave: a change is saved after it was made, and not begun where it can't be.
func TestSave(t *testing.T) {
	f := &fake{ready: true, active: "echo@aaaaaaaaaaaa"}
	s := New(Options{Host: f})
	if r := ask(t, s, "DELETE /v1/plugins/echo?save=true", ""); r.code != 200 ||
		!slices.Equal(f.saved, []string{"echo"}) {
		t.Errorf("%d, saved %q, wanted echo: %s", r.code, f.saved, r.body)
	}
	f.cantSave, f.err = errors.New("no folder"), errors.New("it was done")
	r := ask(t, s, "DELETE /v1/plugins/echo?save=true", "")
	if r.code != 422 || !strings.Contains(r.body, "nothing was done: no folder") {
		t.Errorf("found %d %s, wanted what is not done, and why", r.code, r.body)
	}
}
