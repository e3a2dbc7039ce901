package config

import (
	"errors"
	"reflect"
	"testing"
)

func TestParsePlugin(t *testing.T) {
	p, list, err := ParsePlugin("body", "a",
		[]byte(
			`{"module":"builtin:echo","limits":{"memory":"1MiB"},"config":{"k":[1,2.5,"x"]},`+
				`"listener":{"endpoint":"tcp://127.0.0.1:0"}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultPlugin()
	want.Module, want.Limits.Memory, want.Config = "builtin:echo", 1<<20, map[string]any{"k": []any{int64(1), 2.5, "x"}}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("found %+v, wanted %+v", p, want)
	}
	ls := defaultListener()
	ls.Endpoint, ls.Plugin = "tcp://127.0.0.1:0", "a"
	if !reflect.DeepEqual(list, []Listener{ls}) {
		t.Errorf("found %+v, wanted %+v", list, ls)
	}
	if _, list, err := ParsePlugin("body", "a", []byte(`{"module":"/x.wasm"}`)); err != nil || list != nil {
		t.Errorf("found %v, %v, wanted no listener", list, err)
	}
}

func TestParsePluginFaults(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"a", `{}`, `module: found no module, wanted builtin:NAME, the path of a .wasm file, https://… or ` +
			`oci://HOST/NAME:TAG`},
		{"a", `{"modul":"/x"}`,
			`body:1: modul: found an unknown key, wanted one of module, pull, sha256, assets, isolation, reload, ` +
				`watch, ` +
				`config, drain, move_time, keep_versions, canary, image, page_out, go_jumps, limits, ` +
				`allow, listener; did you mean "module"?`},
		{"a", `{"module":"/x","lisener":{}}`,
			`body:1: lisener: found an unknown key, wanted one of module, pull, sha256, assets, isolation, reload, ` +
				`watch, ` +
				`config, drain, move_time, keep_versions, canary, image, page_out, go_jumps, limits, ` +
				`allow, listener; did you mean "listener"?`},
		{"a", "{\"module\":\n\"x.wasm\"}", `body:1: module: found "x.wasm", wanted an absolute path`},
		{"a", `{"module":"/x","allow":{"ca":"ca.pem"}}`, `body:1: allow.ca: found "ca.pem", wanted an absolute path`},
		{"a", `{"module":"/x","allow":{"listen":["tls://:1"]}}`,
			`body:1: allow.listen.0: found "tls://:1" without a certificate, wanted allow.tls with cert and key`},
		{"a", `{"module":"/x","listener":{"endpoint":"tls://:1","tls":{"cert":"c","key":"/k"}}}`,
			`body:1: listener.tls.cert: found "c", wanted an absolute path`},
		{"a", `{"module":"/x","listener":{"endpoint":"tcp://:1","plugin":"b"}}`,
			`body:1: listener.plugin: found "b", wanted "a", or nothing`},
		{"a", `{"module":"/x","listener":null}`,
			`body:1: listener.endpoint: found no endpoint, wanted one such as tcp://127.0.0.1:7007`},
		{"a", `{"module":"/x","listener":[]}`, `body:1: listener: found a list, wanted a mapping`},
		{"a", `{"module":"/x","limits":{"memory":1}}`, `body:1: limits.memory: found 1, wanted 64KiB to 4GiB`},
		{"a", `{"module":"/x","module":"/y"}`,
			`body:1: module: found the key a second time (line 1 has it too), wanted it once`},
		{"A.b", `{"module":"/x"}`, `body: found the name "A.b", wanted 1 to 64 of the letters a to z, digits, _ and -`},
		{"a", `[]`, `body:1: found a list, wanted an object with a plugin's keys`},
		{"a", ``, `body:1: found what is not JSON: it ends too early`},
		{"a", "{\n{}", `body:2: found what is not JSON: invalid character '{'`},
		{"a", `{"module":"/x"} x`,
			`body:1: found what is not JSON: invalid character 'x' looking for beginning of value`},
	}
	for _, tc := range cases {
		_, _, err := ParsePlugin("body", tc.name, []byte(tc.text))
		var faults Faults
		if !errors.As(err, &faults) || err.Error() != tc.want {
			t.Errorf("%s:\nfound  %v\nwanted %s", tc.text, err, tc.want)
		}
	}
}
