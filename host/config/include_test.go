package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// tree writes files into a new folder, and returns it.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Files that are included are laid over those before them: sections mix, lists go on,
// plugins come together.
func TestInclude(t *testing.T) {
	dir := tree(t, map[string]string{
		"[x]/main.yaml": "include: ['conf.d/*.yaml', extra/e.toml, 'none/*.yaml', conf.d/20.yaml]\n" +
			"log: {level: warn, format: json}\nplugins: {a: {module: a.wasm}}\n" +
			"listeners: [{endpoint: 'tcp://:1', plugin: a}]\ntrust: {keys: []}\n",
		"[x]/conf.d/20.yaml": "plugins: {c: {module: c.wasm}}\nlisteners: [{endpoint: 'tcp://:3', plugin: c}]\n",
		"[x]/conf.d/10.yaml": "log: {level: debug}\nplugins: {b: {module: b.wasm}}\nlisteners:\n- {endpoint: " +
			"'tcp://:2', plugin: b}\n",
		"[x]/conf.d/30.yaml":     "listeners:\nplugins: {}\n",
		"[x]/conf.d/40.yaml":     "listeners: []\n",
		"[x]/conf.d/..data.yaml": "nonsense",
		"[x]/extra/e.toml":       "include = ['../more.json']\n",
		"[x]/more.json": `{"listeners": [{"endpoint": "unix://more.sock", "plugin": "b"}], "include": ` +
			`["extra/e2.yaml"]}`,
		"[x]/extra/e2.yaml": "reactor: {loops: 3}\n",
	})
	c, err := Load(Options{File: filepath.Join(dir, "[x]/main.yaml"), Set: []string{"listeners.2.idle_timeout=5s"}})
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, "[x]", name) }
	if got, want := endpoints(c), []string{"tcp://:1", "tcp://:2", "tcp://:3",
		"unix://" + at("more.sock")}; !reflect.DeepEqual(
		got, want) {
		t.Errorf("found %v, wanted %v", got, want)
	}
	if c.Log != (Log{"debug", "json"}) || c.Reactor.Loops != 3 || len(c.Plugins) != 3 ||
		c.Plugins["b"].Module != at("conf.d/b.wasm") || c.Listeners[2].IdleTimeout == 0 {
		t.Errorf("found %+v", c)
	}
}

func TestIncludeFaults(t *testing.T) {
	const a = "plugins: {a: {module: builtin:a}}\n"
	for name, tc := range map[string]struct {
		files map[string]string
		want  string
	}{
		"a plugin in two files": {map[string]string{"m.yaml": "include: [b.yaml]\n" + a, "b.yaml": "\n" + a},
			"DIR/b.yaml:2: plugins.a: found a plugin that DIR/m.yaml:2 has too, wanted it in one file"},
		"a cycle": {map[string]string{"m.yaml": "include: [b.yaml]\n", "b.yaml": "include:\n- m.yaml\n"},
			`DIR/b.yaml:2: include.0: found "m.yaml", a cycle: DIR/m.yaml includes DIR/b.yaml includes DIR/m.yaml, ` +
				`wanted no cycle`},
		"itself": {map[string]string{"m.yaml": "include: ['*.yaml']\n"},
			`DIR/m.yaml:1: include.0: found "*.yaml", a cycle: DIR/m.yaml includes DIR/m.yaml, wanted no cycle`},
		"missing": {map[string]string{"m.yaml": "include: [b.yaml]\n"}, `DIR/m.yaml:1: include.0: found "b.yaml", ` +
			`which can't be read: open DIR/b.yaml: no such file or directory, wanted a configuration file`},
		"no list": {map[string]string{"m.yaml": "include: b.yaml\n"},
			`DIR/m.yaml:1: include: found "b.yaml", wanted a list of files such as conf.d/*.yaml`},
		"no text": {map[string]string{"m.yaml": "include: [3]\n"},
			`DIR/m.yaml:1: include.0: found the number 3, wanted a file, or a pattern such as conf.d/*.yaml`},
		"no pattern": {map[string]string{"m.yaml": "include: ['[a']\n"},
			`DIR/m.yaml:1: include.0: found "[a" (a bracket without an end), wanted a pattern such as conf.d/*.yaml`},
		"faults of the files": {map[string]string{"m.yaml": "include: [b.yaml]\nlog: {level: x}\n" + a +
			"listeners: [{endpoint: 'tcp://:1', plugin: a}]\n",
			"b.yaml": "listeners:\n- {endpoint: 'tcp://:2', plugin: b}\n"},
			"DIR/m.yaml:2: log.level: found \"x\", wanted trace, debug, info, warn or error\n" +
				"DIR/b.yaml:2: listeners.1.plugin: found \"b\", wanted the name of one under plugins (a)"},
		"too deep": {map[string]string{"m.yaml": "include: [0.yaml]\n", "0.yaml": "include: [1.yaml]",
			"1.yaml": "include: [2.yaml]", "2.yaml": "include: [3.yaml]", "3.yaml": "include: [4.yaml]",
			"4.yaml": "include: [5.yaml]", "5.yaml": "include: [6.yaml]", "6.yaml": "include: [7.yaml]",
			"7.yaml": "include: [8.yaml]", "8.yaml": "include: [9.yaml]", "9.yaml": "include: [a.yaml]",
			"a.yaml": "include: [b.yaml]", "b.yaml": "include: [c.yaml]", "c.yaml": "include: [d.yaml]",
			"d.yaml": "include: [e.yaml]", "e.yaml": "include: [f.yaml]", "f.yaml": "log: {}"},
			"DIR/e.yaml:1: include.0: found more than 1000 files, or 16 that include one another, wanted fewer"},
	} {
		dir := tree(t, tc.files)
		_, err := Load(Options{File: filepath.Join(dir, "m.yaml")})
		want := strings.ReplaceAll(tc.want, "DIR", dir)
		if err == nil || err.Error() != want {
			t.Errorf("%s: found\n%v\nwanted\n%s", name, err, want)
		}
	}
}

// What a variable or a file gives is text, or the number that is wanted; never YAML.
func TestExpand(t *testing.T) {
	text := `
log: {level: "${LEVEL}"}
reactor:
  loops: ${LOOPS}
  drain_timeout: ${N}s
  write_buffer: {max: "${SIZE}"}
plugins:
  a:
    module: ${DIR}/a.wasm
    watch: ${YES}
    config:
      plain: $HOME $$ $${LEVEL} ${N}
      number: ${N}
      yaml: ${YAML}
      file: ${file:secret.txt}
      both: "<${file:sub/two.txt}|${N}>"
      empty: "${EMPTY}"
      x-mine: ${N}
      list: ["${N}", 5]
listeners: [{endpoint: "tcp://:${PORT}", plugin: a, max_connections: "${N}"}]
x-own: ${UNSET}
`
	dir := tree(t, map[string]string{"c.yaml": text, "secret.txt": "s3cret\n", "sub/two.txt": "1\n2\n"})
	c, err := Load(Options{File: filepath.Join(dir, "c.yaml"), Env: []string{"LEVEL=x", "LEVEL=debug", "LOOPS=2", "N=7",
		"SIZE=1MiB", "DIR=/d", "YES=false", "YAML=[1, {a: b}] # c", "EMPTY=", "PORT=99"},
		Set: []string{"plugins.a.config.set=${N}"}})
	if err != nil {
		t.Fatal(err)
	}
	a := c.Plugins["a"]
	if c.Log.Level != "debug" || c.Reactor.Loops != 2 || c.Reactor.DrainTimeout.Seconds() != 7 || a.Watch ||
		c.Reactor.WriteBuffer.Max != 1<<20 || a.Module != "/d/a.wasm" || c.Listeners[0].Endpoint != "tcp://:99" ||
		c.Listeners[0].MaxConnections != 7 {
		t.Errorf("found %+v", c)
	}
	want := map[string]any{"plain": "$HOME $$ ${LEVEL} 7", "number": "7", "yaml": "[1, {a: b}] # c", "file": "s3cret",
		"both": "<1\n2|7>", "empty": "", "list": []any{"7", int64(5)}, "x-mine": "7", "set": "${N}"}
	if !reflect.DeepEqual(a.Config, want) {
		t.Errorf("found  %#v\nwanted %#v", a.Config, want)
	}
}

// A fault names the value and its place, and shows nothing of a file's text.
func TestExpandFaults(t *testing.T) {
	text := `plugins:
  a:
    module: builtin:a
    isolation: ${file:secret}
    config:
      list: [x, "${UNSET}"]
      bad: "${no name}"
      open: "${open"
      none: ${file:none}
      odd: ${file:odd}
    limits: {timers: "${file:secret}", memory: "${WORD}"}
listeners: [{endpoint: "${UNSET}", plugin: "${file:secret}"}]
`
	dir := tree(t, map[string]string{"c.yaml": text, "secret": "s3cret\n", "odd": "\xff"})
	_, err := Load(Options{File: filepath.Join(dir, "c.yaml"), Env: []string{"WORD=word"}})
	const unset = "found ${UNSET}, which is not set, wanted a variable of the environment, or $${ for a plain ${"
	want := strings.NewReplacer("UNSET", unset, "UNREAD", "found ${file:…}, which can't be read: open "+dir+
		"/none: no such file or directory, wanted a file's text", "REST", "$${ for a plain ${", "DIR", dir).Replace(
		`DIR/c.yaml:4: plugins.a.isolation: found what ${file:secret} gives, wanted connection, loop or shared
DIR/c.yaml:6: plugins.a.config.list.1: UNSET
DIR/c.yaml:7: plugins.a.config.bad: found "${no name}", wanted ${VARIABLE}, ${file:PATH}, or REST
DIR/c.yaml:8: plugins.a.config.open: found "${", wanted ${VARIABLE}, ${file:PATH}, or REST
DIR/c.yaml:9: plugins.a.config.none: UNREAD
DIR/c.yaml:10: plugins.a.config.odd: found ${file:DIR/odd}, which is not UTF-8, wanted a file's text
DIR/c.yaml:11: plugins.a.limits.memory: found "word", wanted a size such as 512, 64KiB, 16MiB or 1GiB
DIR/c.yaml:11: plugins.a.limits.timers: found what ${file:secret} gives, wanted a whole number
DIR/c.yaml:12: listeners.0.endpoint: UNSET
DIR/c.yaml:12: listeners.0.plugin: found what ${file:secret} gives, wanted the name of one under plugins (a)`)
	var faults Faults
	if !errors.As(err, &faults) {
		t.Fatalf("found %v, wanted faults", err)
	}
	for _, f := range strings.Split(want, "\n") {
		if !strings.Contains(err.Error(), f) {
			t.Errorf("found no %s", f)
		}
	}
	if n := strings.Count(want, "\n") + 1; len(faults) != n || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("found\n%v\nwanted %d faults, and no secret", err, n)
	}
}
