package config

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// Every relative path begins at the configuration file's folder, wherever it is said.
func TestRelativePaths(t *testing.T) {
	const text = `
admin: {listen: "unix://run/admin.sock"}
cache: {dir: cache}
plugins: {a: {module: a.wasm, allow: {connect: ["unix://db.sock", "tcp://h:1"], ca: ca.pem}}}
listeners:
- {endpoint: "unix://a.sock", plugin: a, tls: {cert: c.pem, key: k.pem, client_ca: cc.pem}}
- {endpoint: "unix://@abstract", plugin: a}
- {endpoint: "tcp://:1", plugin: a}
`
	file := write(t, "c.yaml", text)
	dir := filepath.Dir(file)
	c, err := Load(Options{File: file, Set: []string{"listeners.2.tls.cert=flag.pem", "listeners.2.tls.key=/k"},
		Env: []string{"WIREHOST_LISTENERS__2__ENDPOINT=unix://env.sock"}})
	if err != nil {
		t.Fatal(err)
	}
	p := c.Plugins["a"]
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, pair := range [][2]string{
		{c.Admin.Listen, "unix://" + at("run/admin.sock")}, {c.Cache.Dir, at("cache")}, {p.Module, at("a.wasm")},
		{p.Allow.Connect[0], "unix://" + at("db.sock")}, {p.Allow.Connect[1], "tcp://h:1"}, {p.Allow.CA, at("ca.pem")},
		{c.Listeners[0].Endpoint, "unix://" + at("a.sock")}, {c.Listeners[0].TLS.Cert, at("c.pem")},
		{c.Listeners[0].TLS.Key, at("k.pem")}, {c.Listeners[0].TLS.ClientCA, at("cc.pem")},
		{c.Listeners[1].Endpoint, "unix://@abstract"}, {c.Listeners[2].Endpoint, "unix://" + at("env.sock")},
		{c.Listeners[2].TLS.Cert, at("flag.pem")}, {c.Listeners[2].TLS.Key, "/k"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("found %s, wanted %s", pair[0], pair[1])
		}
	}
	if got := folderOf("/dev/fd/63"); got != "" { // a pipe of the shell's
		t.Errorf("found %q, wanted the working directory", got)
	}
}

// Text for a setting that wants text is the value, whatever YAML would make of it.
func TestTextStays(t *testing.T) {
	texts := []string{"first line\nsecond line\n", "-----BEGIN X-----\nMIIB\n-----END X-----\n",
		"Welcome\n  hours: 9 to 5\n", "a # b", "# c", "note: closed", "[draft] a: b", "{x}", `"quoted"`, "'q'", "*a",
		"&a",
		"!t", "%x", "@y", "- item", "", " spaces ", "01234", "1e3", "true", "null", "~", "a\tb", "\n", "---\n- x\n",
		"1: 2"}
	const file = "plugins: {a: {module: x, config: {banner: none, list: [old]}}}\n"
	for _, text := range texts {
		for _, key := range []string{"banner", "list.0"} {
			want := text
			o := Options{File: write(t, "c.yaml", file), Set: []string{"plugins.a.config." + key + "=" + text}}
			for range 2 {
				c, err := Load(o)
				if err != nil {
					t.Fatalf("%q: %v", text, err)
				}
				m, _ := c.Plugins["a"].Config.(map[string]any)
				got := m["banner"]
				if key == "list.0" {
					list, _ := m["list"].([]any)
					got = list[0]
				}
				if got != any(want) {
					t.Errorf("%s: found %#v, wanted %#v", key, got, want)
				}
				variable := "WIREHOST_PLUGINS__A__CONFIG__" + strings.ReplaceAll(strings.ToUpper(key), ".", "__")
				o = Options{File: o.File, Env: []string{variable + "=" + text}}
			}
		}
		c, err := Load(Options{Set: []string{"plugins.echo.allow.ca=/" + text}})
		if got := c.Plugins["echo"].Allow.CA; err != nil || got != "/"+text {
			t.Errorf("found %q, %v, wanted /%q", got, err, text)
		}
	}
}

// Where no text stands, a plugin's own configuration is YAML, but for what YAML would
// change or refuse.
func TestGuestsText(t *testing.T) {
	for text, want := range map[string]any{
		"5": int64(5), `"5"`: "5", "true": true, "": nil, "null": nil, "[1]": []any{int64(1)},
		"a: b":  map[string]any{"a": "b"},
		"a # b": "a # b", "a\nb\n": "a\nb\n", "x: y: z": "x: y: z", "# c": "# c", "2020-01-01": "2020-01-01",
		"5 # five": int64(5),
	} {
		c, err := Load(Options{Set: []string{"plugins.echo.config.x=" + text}})
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if got := c.Plugins["echo"].Config; !reflect.DeepEqual(got, map[string]any{"x": want}) {
			t.Errorf("%q: found %#v, wanted %#v", text, got, want)
		}
	}
	if _, err := Load(Options{Set: []string{"plugins.echo.config.x={a: 1"}}); err == nil {
		t.Error("found no fault of a mapping without an end")
	}
}

// What is given for one setting of a plugin is read in the same way.
func TestParseSetting(t *testing.T) {
	for _, tc := range []struct {
		key, text string
		want      any
	}{
		{"config.banner", "a\nb # c\n", "a\nb # c\n"}, {"config.n", "01234", int64(1234)}, {"config.n", `"7"`, "7"},
		{"config.l", "[1, {a: b}]", []any{int64(1), map[string]any{"a": "b"}}}, {"allow.ca", "#x", "#x"},
		{"limits.memory", "16MiB", "16MiB"}, {"listener.tls.cert", "/c", "/c"}, {"watch", "false", false},
	} {
		if got, err := ParseSetting("--with", tc.key, tc.text); err != nil || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: found %#v, %v, wanted %#v", tc.key, got, err, tc.want)
		}
	}
	_, err := ParseSetting("--with", "config.x", "{a")
	if want := `--with: config.x: found "{a" (`; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("found %v, wanted %s", err, want)
	}
}

// Numbers are YAML 1.2's, and none is rounded.
func TestNumbers(t *testing.T) {
	for text, want := range map[string]string{
		"01234": "1234", "0o17": "15", "0x1F": "31", "+5": "5", "-08": "-8", "1e3": "1000", ".5": "0.5", "1.": "1",
		"1_000": `"1_000"`, "0b11": `"0b11"`, "-0x1F": `"-0x1F"`, "1:30": `"1:30"`, "0o8": `"0o8"`,
		"9223372036854775807": "9223372036854775807", "-9223372036854775808": "-9223372036854775808",
		"18446744073709551615": "18446744073709551615", "!!str 01": `"01"`, "!!int \"7\"": "7",
		"18446744073709551616": "", "-9223372036854775809": "", "0xFFFFFFFFFFFFFFFFF": "", "1e999": "", "!!int x": "",
	} {
		c, err := Load(Options{File: write(t, "c.yaml", "plugins: {a: {module: x, config: "+text+"}}\n")})
		if err != nil {
			if want != "" {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		got, _ := json.Marshal(c.Plugins["a"].Config)
		if string(got) != want {
			t.Errorf("%s: found %s, wanted %q", text, got, want)
		}
	}
	for text, ok := range map[string]bool{"18446744073709551615": true, "18446744073709551616": false, "1e3": true} {
		file := write(t, "c.json", `{"plugins":{"a":{"module":"x","config":`+text+`}}}`)
		if _, err := Load(Options{File: file}); (err == nil) != ok {
			t.Errorf("JSON: %s: %v", text, err)
		}
	}
}

// Keys that begin with x- are the user's own, at every level.
func TestOwnKeys(t *testing.T) {
	const text = `
x-common: &common {limits: {timers: 3}, x-why: measured}
log: {level: debug, x-note: 1}
plugins:
  x-template: &template {isolation: shared}
  a: {<<: [*common, *template], module: x, config: {x-guest: 1}}
listeners: [{endpoint: "tcp://:1", plugin: a, x-port: [1, {2: 3}], tls: {x-y: z}}]
`
	c, err := Load(Options{File: write(t, "c.yaml", text)})
	if err != nil {
		t.Fatal(err)
	}
	a := c.Plugins["a"]
	if len(c.Plugins) != 1 || a.Limits.Timers != 3 || a.Isolation != IsolationShared ||
		!reflect.DeepEqual(a.Config, map[string]any{"x-guest": int64(1)}) {
		t.Errorf("found %+v", c.Plugins)
	}
}

// Variables that Kubernetes makes for Services do not stop a start; those that are
// meant for a setting, and name none, do.
func TestServiceVariables(t *testing.T) {
	for variable, ok := range map[string]bool{
		"WIREHOST_SERVICE_HOST=10.0.0.1": true, "WIREHOST_SERVICE_PORT=1": true, "WIREHOST_SERVICE_PORT_ECHO=1": true,
		"WIREHOST_PORT=tcp://10.0.0.1:7": true, "WIREHOST_PORT_7_TCP=tcp://10.0.0.1:7": true,
		"WIREHOST_PORT_7_TCP_ADDR=10.0.0.1": true, "WIREHOST_METRICS_SERVICE_HOST=10.0.0.2": true,
		"WIREHOST_METRICS_PORT=udp://[::1]:9": true, "WIREHOST_METRICS_PORT_9_UDP_PROTO=udp": true,
		"WIREHOST_ADMIN_SERVICE_HOST=10.0.0.3": true, "WIREHOST__X_SERVICE_PORT=1": true,
		"WIREHOST_LOG__LEVEL_PORT=tcp://x:1": false, "WIREHOST_METRICS_PORT=9": false, "WIREHOST_SERVICES=1": false,
		"WIREHOST_LOG_LEVEL=info": false, "WIREHOST_ADMIN__SERVICE_HOST=x": false,
		"WIREHOST_PLUGINS__ECHO__CONFIG__SERVICE_HOST=x": true,
	} {
		c, err := Load(Options{Env: []string{variable}})
		if (err == nil) != ok {
			t.Errorf("%s: %v", variable, err)
		}
		if strings.Contains(variable, "CONFIG") && !reflect.DeepEqual(c.Plugins["echo"].Config,
			map[string]any{"service_host": "x"}) {
			t.Errorf("found %v, wanted the setting", c.Plugins["echo"].Config)
		}
	}
}
