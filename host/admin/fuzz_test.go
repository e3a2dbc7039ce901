package admin

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// FuzzBodies: whatever a body is, each route that takes one answers as
// openapi.json says, and tells what is wrong with it on lines that can be
// printed.
func FuzzBodies(f *testing.F) {
	for _, body := range []string{
		``, `{}`, `null`, `[]`, `{"force":true}`, `{"force":1}`, `{"version":"echo@000000000000"}`, `{"version":null}`,
		"{\"a\x00\":1}", `{"force":true}{`,
		`{"module":"builtin:echo","config":{"a":[1,2.5,null,"\ud800"]},` +
			`"listener":{"endpoint":"tcp://127.0.0.1:0","tls":{"alpn":["h2"]}}}`,
		`{"module":"/x","limits":{"memory":"1MiB","callback_time":"1s"},` +
			`"allow":{"connect":["tcp://*:1"]},"canary":{"for":"3s"}}`,
		strings.Repeat(`{"config":`, 100), `{"module":1e999}`, "\xff\xfe{}", `{"module":"/x","listener":null}`,
	} {
		f.Add([]byte(body))
	}
	d := description(f)
	s := New(Options{Host: newFake()})
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, what := range []string{
			"POST /v1/plugins/new", "POST /v1/plugins/echo/reload", "POST /v1/plugins/echo/use",
			"POST /v1/config/reload",
		} {
			r := ask(t, s, what, string(body))
			d.holds(t, what, r)
			if r.code < 400 {
				continue
			}
			var p Problem
			if err := json.Unmarshal([]byte(r.body), &p); err != nil || p.Detail == "" ||
				r.code >= http.StatusInternalServerError {
				t.Errorf("%s: found %d %s, %v", what, r.code, r.body, err)
			}
			for _, line := range append(p.Faults, p.Detail) {
				if strings.ContainsAny(line, "\n\r\x1b\x00") {
					t.Errorf("%s: found %q", what, line)
				}
			}
		}
	})
}
