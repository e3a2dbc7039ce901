package admin

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/host/config"
)

func TestSecretsAreHidden(t *testing.T) {
	f := newFake()
	p := config.DefaultPlugin()
	p.Module = "/x.wasm"
	p.Config = map[string]any{
		"password": "SECRET", "dbPassword": "SECRET", "api_key": "SECRET", "apiKey": "SECRET", "APIKEY": "SECRET",
		"key":   "SECRET",
		"token": map[string]any{"a": "SECRET"}, "clientSecret": []any{"SECRET"}, "Authorization-Token": "SECRET",
		"pass-phrase": "SECRET",
		"list":        []any{map[string]any{"secret": 7.5, "monkey": "banana"}},
		"url":         "postgres://user:SECRET@db.example/x",
		"plain":       "http://user@host/a:b@c",
		"number":      int64(3), "nothing": nil,
	}
	f.cfg.Plugins = map[string]config.Plugin{"p": p}
	f.cfg.Listeners = []config.Listener{{Endpoint: "tls://:1", Plugin: "p",
		TLS: config.TLS{Cert: "/c.pem", Key: "/k.pem"}}}
	r := ask(t, New(Options{Host: f}), "GET /v1/config", "")
	if strings.Contains(r.body, "SECRET") || strings.Contains(r.body, "7.5") {
		t.Errorf("found a secret in %s", r.body)
	}
	for _, want := range []string{
		`"key":"/k.pem"`, `"monkey":"banana"`, `"url":"postgres://user:(hidden)@db.example/x"`,
		`"plain":"http://user@host/a:b@c"`, `"number":3`, `"nothing":null`, `"memory":"64MiB"`,
		`"callback_time":"100ms"`, `"proxy_from":[]`,
	} {
		if !strings.Contains(r.body, want) {
			t.Errorf("found no %s in %s", want, r.body)
		}
	}
	if m := p.Config.(map[string]any); m["password"] != "SECRET" {
		t.Error("the host's own configuration was changed")
	}
}

// What is shown of a configuration without secrets is one that can be loaded.
func TestConfigReadsBack(t *testing.T) {
	text, err := json.Marshal(visibleConfig(config.Defaults()))
	if err != nil {
		t.Fatal(err)
	}
	var sections struct {
		Plugins map[string]json.RawMessage
	}
	if err := json.Unmarshal(text, &sections); err != nil {
		t.Fatal(err)
	}
	if _, _, err := config.ParsePlugin("shown", "echo", sections.Plugins["echo"]); err != nil {
		t.Error(err)
	}
}
