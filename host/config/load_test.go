package config

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// write makes a file in a new folder and returns its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestDefaults(t *testing.T) {
	got, err := Load(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := Defaults(); !reflect.DeepEqual(got, want) {
		t.Errorf("found  %+v\nwanted %+v", got, want)
	}
	if e := got.Plugins["echo"]; e.Isolation != "loop" || e.Reload != "migrate" || !e.Watch ||
		e.Limits.Memory != 64<<20 {
		t.Errorf("found %+v", e)
	}
	if got.Listeners[1].Endpoint != "tcp://127.0.0.1:7008" || got.Listeners[1].Plugin != "linereceiver" {
		t.Errorf("found %+v", got.Listeners[1])
	}
}

// The same configuration in each format.
var formats = map[string]string{
	"c.yaml": `
log: {level: debug}
reactor:
  drain_timeout: 5s
  write_buffer: {high: 128KiB, max: 1048576}
plugins:
  my-echo_2:
    module: echo.wasm
    watch: false
    config: {delimiter: "\n", "a.b": [1, {c: null}], big: 18446744073709551615, day: "2020-01-01"}
    limits: {memory: 1GiB, callback_time: 20ms, timers: 7}
    allow: {connect: ["tcp://db.example:5432", "tcp://127.0.0.1:*", "tls://*.example.com:*"], ca: /etc/ca.pem}
listeners:
  - endpoint: tls://[::1]:0
    plugin: my-echo_2
    tls: {cert: tls/cert.pem, key: tls/key.pem}
    proxy_protocol: true
    proxy_from: [10.0.0.0/8]
`,
	"c.toml": `
log.level = "debug"
[reactor]
drain_timeout = "5s"
write_buffer = {high = "128KiB", max = 1048576}
[plugins.my-echo_2]
module = "echo.wasm"
watch = false
limits = {memory = "1GiB", callback_time = "20ms", timers = 7}
allow = {connect = ["tcp://db.example:5432", "tcp://127.0.0.1:*", "tls://*.example.com:*"], ca = "/etc/ca.pem"}
[plugins.my-echo_2.config]
delimiter = "\n"
day = 2020-01-01
[[listeners]]
endpoint = "tls://[::1]:0"
plugin = "my-echo_2"
proxy_protocol = true
proxy_from = ["10.0.0.0/8"]
[listeners.tls]
cert = "tls/cert.pem"
key = "tls/key.pem"
`,
	"c.json": `{
	"log": {"level": "debug"},
	"reactor": {"drain_timeout": "5s", "write_buffer": {"high": "128KiB", "max": 1048576}},
	"plugins": {"my-echo_2": {"module": "echo.wasm", "watch": false,
		"config": {"delimiter": "\n", "a.b": [1, {"c": null}], "big": 18446744073709551615, "day": "2020-01-01"},
		"limits": {"memory": "1GiB", "callback_time": "20ms", "timers": 7},
		"allow": {"connect": ["tcp://db.example:5432", "tcp://127.0.0.1:*", "tls://*.example.com:*"],
			"ca": "/etc/ca.pem"}}},
	"listeners": [{"endpoint": "tls://[::1]:0", "plugin": "my-echo_2", "proxy_protocol": true,
		"proxy_from": ["10.0.0.0/8"],
		"tls": {"cert": "tls/cert.pem", "key": "tls/key.pem"}}]
}`,
}

// How many instances a version may have goes by its isolation, wherever that is said,
// unless it is said.
func TestInstancesByIsolation(t *testing.T) {
	const none, some, given = 0, 1024, 7
	for _, tc := range []struct {
		text string
		set  []string
		want int
	}{
		{"{}", nil, some},
		{"{isolation: loop}", nil, some},
		{"{isolation: shared}", nil, some},
		{"{isolation: connection}", nil, none},
		{"{isolation: connection, limits: {timers: 1}}", nil, none},
		{"{isolation: connection, limits: {instances: 7}}", nil, given},
		{"{isolation: connection, limits: {instances: 0}}", nil, none},
		{"{isolation: loop, limits: {instances: 0}}", nil, none},
		{"{limits: {instances: 7}}", []string{"plugins.a.isolation=connection"}, given},
		{"{isolation: connection}", []string{"plugins.a.isolation=loop"}, some},
		{"{isolation: shared}", []string{"plugins.a.isolation=connection"}, none},
		{"{isolation: connection}", []string{"plugins.a.limits.instances=7"}, given},
	} {
		file := write(t, "c.yaml", "plugins: {a: "+tc.text+"}\n")
		c, err := Load(Options{File: file, Set: append(tc.set, "plugins.a.module=builtin:a")})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.WithDefaults().Plugins["a"].Limits.Instances; got != tc.want {
			t.Errorf("%s, %v: found %d, wanted %d", tc.text, tc.set, got, tc.want)
		}
	}
	p, _, err := ParsePlugin("body", "a", []byte(`{"module":"/x","isolation":"connection"}`))
	if err != nil || p.Limits.Instances != none {
		t.Errorf("found %d, %v, wanted %d", p.Limits.Instances, err, none)
	}
}

func TestFormats(t *testing.T) {
	for name, text := range formats {
		t.Run(name, func(t *testing.T) {
			file := write(t, name, text)
			dir := filepath.Dir(file)
			got, err := Load(Options{File: file})
			if err != nil {
				t.Fatal(err)
			}
			config, err := json.Marshal(got.Plugins["my-echo_2"].Config)
			if err != nil {
				t.Fatal(err)
			}
			wanted := `{"a.b":[1,{"c":null}],"big":18446744073709551615,"day":"2020-01-01","delimiter":"\n"}`
			if name == "c.toml" { // it has no null, and no number as big
				wanted = `{"day":"2020-01-01","delimiter":"\n"}`
			}
			if string(config) != wanted {
				t.Errorf("config: found %s, wanted %s", config, wanted)
			}
			want := base()
			want.Log.Level = "debug"
			want.Reactor.DrainTimeout = 5 * time.Second
			want.Reactor.WriteBuffer = WriteBuffer{High: 128 << 10, Low: 32 << 10, Max: 1 << 20}
			p := DefaultPlugin()
			p.Module, p.Watch, p.Config = filepath.Join(dir, "echo.wasm"), false, got.Plugins["my-echo_2"].Config
			p.Limits.Memory, p.Limits.CallbackTime, p.Limits.Timers = 1<<30, 20*time.Millisecond, 7
			p.Allow = Allow{Connect: []string{"tcp://db.example:5432", "tcp://127.0.0.1:*", "tls://*.example.com:*"},
				CA: "/etc/ca.pem", TLS: defaultTLS()}
			want.Plugins = map[string]Plugin{"my-echo_2": p}
			l := defaultListener()
			l.Endpoint, l.Plugin, l.ProxyProtocol, l.ProxyFrom = "tls://[::1]:0", "my-echo_2", true,
				[]string{"10.0.0.0/8"}
			l.TLS.Cert, l.TLS.Key = filepath.Join(dir, "tls/cert.pem"), filepath.Join(dir, "tls/key.pem")
			want.Listeners = []Listener{l}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("found  %+v\nwanted %+v", got, want)
			}
		})
	}
}

func TestOrder(t *testing.T) {
	const file = "log: {level: warn, format: json}\n" +
		"plugins: {a: {module: a.wasm, config: {x: [1, 2], y: 1}}}\n" +
		"listeners: [{endpoint: tcp://:1, plugin: a, idle_timeout: 1s}, {endpoint: tcp://:2, plugin: a}]\n"
	cases := []struct {
		name     string
		file     string
		env, set []string
		flags    []string
		see      func(Config) any
		want     any
	}{
		{name: "file over defaults", file: file, see: level, want: "warn"},
		{name: "environment over file", file: file, env: []string{"WIREHOST_LOG__LEVEL=error"}, see: level,
			want: "error"},
		{name: "flags over environment", file: file, env: []string{"WIREHOST_LOG__LEVEL=error"},
			flags: []string{"--set", "log.level=trace"}, see: level, want: "trace"},
		{name: "a flag's shortcut", env: []string{"WIREHOST_LOG__LEVEL=error"}, flags: []string{"--log-level=debug"},
			see: level, want: "debug"},
		{name: "the last flag wins", set: []string{"log.level=error", "log.level=debug"}, see: level, want: "debug"},
		{name: "the rest of a section stays", file: file, set: []string{"log.level=trace"}, see: func(c Config) any {
			return c.Log.Format
		}, want: "json"},
		{name: "a section as YAML", file: file, env: []string{"WIREHOST_LOG={level: trace}"}, see: func(c Config) any {
			return c.Log
		}, want: Log{"trace", "json"}},
		{name: "the rest of an item stays", file: file, set: []string{"listeners.0.endpoint=tcp://:9"},
			see: func(c Config) any {
				return []any{c.Listeners[0].Endpoint, c.Listeners[0].IdleTimeout, c.Listeners[1].Endpoint}
			}, want: []any{"tcp://:9", time.Second, "tcp://:2"}},
		{name: "a list as YAML replaces", file: file,
			env: []string{"WIREHOST_LISTENERS=[{endpoint: unix:///x, plugin: a}]"}, see: endpoints,
			want: []string{"unix:///x"}},
		{name: "items added", file: file, env: []string{
			"WIREHOST_LISTENERS__3={endpoint: tcp://:4, plugin: a}", "WIREHOST_LISTENERS__2__PLUGIN=a",
			"WIREHOST_LISTENERS__2__ENDPOINT=tcp://:3",
		}, see: endpoints, want: []string{"tcp://:1", "tcp://:2", "tcp://:3", "tcp://:4"}},
		{name: "a list begun", set: []string{"plugins.echo.allow.connect.0=tcp://a:1",
			"plugins.echo.allow.connect.1=tcp://b:1"}, see: func(
			c Config) any {
			return c.Plugins["echo"].Allow.Connect
		}, want: []string{"tcp://a:1", "tcp://b:1"}},
		{name: "indices in order of numbers",
			env: []string{"WIREHOST_LISTENERS__10__ENDPOINT=tcp://:10", "WIREHOST_LISTENERS__10__PLUGIN=echo",
				"WIREHOST_LISTENERS__9={plugin: echo, endpoint: tcp://:9}",
				"WIREHOST_LISTENERS=[" + strings.Repeat("{plugin: echo, endpoint: tcp://:0},", 9) +
					"]"}, see: func(c Config) any { return len(c.Listeners) }, want: 11},
		{name: "a guest's list", file: file, set: []string{"plugins.a.config.x.1=5"}, see: guest("a"),
			want: map[string]any{"x": []any{int64(1), int64(5)}, "y": int64(1)}},
		{name: "a guest's map with digits", file: file, set: []string{"plugins.a.config.z.0=5"}, see: guest("a"),
			want: map[string]any{"x": []any{int64(1), int64(2)}, "y": int64(1), "z": map[string]any{"0": int64(5)}}},
		{name: "a guest's list in place of a list", file: file, set: []string{"plugins.a.config.x=[7]"},
			see: guest("a"), want: map[string]any{"x": []any{int64(7)}, "y": int64(1)}},
		{name: "a guest's map in place of a list", file: file, set: []string{"plugins.a.config.x={b: 1}"},
			see: guest("a"), want: map[string]any{"x": map[string]any{"b": int64(1)}, "y": int64(1)}},
		{name: "a section as nothing replaces nothing", file: file, set: []string{"plugins.a=~", "listeners.1="},
			see: func(c Config) any {
				return []any{filepath.IsAbs(c.Plugins["a"].Module), c.Listeners[1].Endpoint}
			}, want: []any{true, "tcp://:2"}},
		{name: "a guest's config as text", file: file, set: []string{"plugins.a.config=hello"}, see: guest("a"),
			want: "hello"},
		{name: "a guest's config as nothing", file: file, set: []string{"plugins.a.config=null"}, see: guest("a"),
			want: nil},
		{name: "a guest's config as a list", set: []string{"plugins.echo.config=[1]"}, see: guest("echo"),
			want: []any{int64(1)}},
		{name: "built-in listener changed", env: []string{"WIREHOST_LISTENERS__0__ENDPOINT=tcp://127.0.0.1:0"},
			see: endpoints, want: []string{"tcp://127.0.0.1:0", "tcp://127.0.0.1:7008"}},
		{name: "file with neither keeps what is built in", file: "log: {level: warn}", see: endpoints,
			want: []string{"tcp://127.0.0.1:7007", "tcp://127.0.0.1:7008"}},
		{name: "file with plugins replaces both", file: "plugins: {a: {module: a}}", see: func(c Config) any {
			return []any{len(c.Plugins), len(c.Listeners)}
		}, want: []any{1, 0}},
		{name: "plugins with nothing under it", file: "plugins:\n", see: func(c Config) any {
			return []any{len(c.Plugins), len(c.Listeners)}
		}, want: []any{0, 0}},
		{name: "empty file", file: "# nothing\n", see: endpoints,
			want: []string{"tcp://127.0.0.1:7007", "tcp://127.0.0.1:7008"}},
		{name: "off is a word", set: []string{"admin.listen=off"}, see: func(c Config) any {
			return c.Admin.Listen
		}, want: "off"},
		{name: "an empty variable", env: []string{"WIREHOST_ADMIN__LISTEN="}, set: nil, see: func(c Config) any {
			return c.Admin.Listen
		}, want: ""},
		{name: "others' variables", env: []string{"HOME=/x", "WIREHOST_PORT=tcp://10.0.0.1:7007",
			"WIREHOST_SERVICE_HOST=10.0.0.1", "WIREHOST_PORT_7007_TCP_PROTO=tcp",
			"WIREHOST_REQUIRE_TOOLCHAINS=1"}, see: level, want: "info"},
		{name: "paths in the environment without a file", env: []string{"WIREHOST_PLUGINS__ECHO__MODULE=x/y.wasm"},
			see: func(c Config) any { return c.Plugins["echo"].Module }, want: "x/y.wasm"},
		{name: "anchors", file: "plugins:\n  a: &a {module: builtin:x, limits: {timers: 3}}\n  b: {<<: *a, module: " +
			"builtin:y}\n",
			see:  func(c Config) any { return []any{c.Plugins["b"].Module, c.Plugins["b"].Limits.Timers} },
			want: []any{"builtin:y", 3}},
		{name: "digest in capitals",
			set: []string{`plugins.echo.sha256=ABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCD`},
			see: func(c Config) any { return c.Plugins["echo"].SHA256[:6] }, want: "abcdef"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			o := Options{Env: tc.env, Set: tc.set}
			if tc.file != "" {
				o.File = write(t, "c.yaml", tc.file)
			}
			if tc.flags != nil {
				o.Flags = pflag.NewFlagSet("", pflag.ContinueOnError)
				AddFlags(o.Flags)
				if err := o.Flags.Parse(tc.flags); err != nil {
					t.Fatal(err)
				}
			}
			c, err := Load(o)
			if err != nil {
				t.Fatal(err)
			}
			if got := tc.see(c); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("found %#v, wanted %#v", got, tc.want)
			}
		})
	}
}

func level(c Config) any { return c.Log.Level }

func guest(name string) func(Config) any {
	return func(c Config) any { return c.Plugins[name].Config }
}

func endpoints(c Config) any {
	var list []string
	for _, l := range c.Listeners {
		list = append(list, l.Endpoint)
	}
	return list
}

func TestMissingFile(t *testing.T) {
	_, err := Load(Options{File: "nowhere/wirehost.yaml"})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("found %v, wanted a missing file", err)
	}
	if want := "configuration: open nowhere/wirehost.yaml: no such file or directory"; err.Error() != want {
		t.Errorf("found %q, wanted %q", err, want)
	}
}
