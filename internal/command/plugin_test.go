package command

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host"
)

func TestPluginCommands(t *testing.T) {
	skipWithoutSignals(t)
	o := operator{t, socketAt(t)}
	p := start(t, append(anyPorts, "--set=admin.listen="+o.endpoint)...)
	at := p.ready()
	p.await("administration")
	c := dial(t, at[0])
	exchange(t, c, "hello")

	matches := func(text, pattern string) []string {
		t.Helper()
		m := regexp.MustCompile(pattern).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("found\n%s\nwanted %s", text, pattern)
		}
		return m
	}
	v1 := matches(o.fine("plugin", "list"), `(?m)^NAME .*\necho +active +(echo@\w{12}) +loop +1 +`)[1]
	matches(o.fine("conns"), `(?m)^ID .*\necho/1 +\S*127\.0\.0\.1:\d+ +\S*127\.0\.0\.1:\d+ +`+v1+
		` +\S+ +\S+ +5 +5 +0 +open$`)
	if out := o.fine("conns", "--plugin=linereceiver"); strings.Contains(out, "echo/1") {
		t.Errorf("found\n%s", out)
	}
	var conns struct{ Connections []host.ConnInfo }
	if err := json.Unmarshal([]byte(o.fine("conns", "-o", "json")), &conns); err != nil ||
		len(conns.Connections) != 1 || conns.Connections[0].In != 5 {
		t.Errorf("found %+v, %v", conns, err)
	}

	matches(o.fine("plugin", "trace", "echo/1", "--log"), `^echo/1 is traced: see the host's log\n$`)
	matches(o.fine("plugin", "list"), `(?m)^echo .* traced: echo/1$`)
	exchange(t, c, "traced")
	if e := p.await("abi"); !strings.Contains(e.text("call"), `"traced"`) {
		t.Errorf("found %v, wanted the trace of what was sent", e)
	}
	matches(o.fine("plugin", "trace", "echo", "--log"), `^echo is traced: see the host's log\n$`)
	matches(o.fine("plugin", "trace", "echo", "--off"), `^nothing of echo is traced\n$`)

	file := filepath.Join(t.TempDir(), "echo.pprof")
	matches(o.fine("plugin", "profile", "linereceiver", "--for=1ms", "-o", file),
		`^no samples: the guests of linereceiver did nothing meanwhile`)
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}

	matches(o.fine("plugin", "reload", "echo"), `^`+v1+` is unchanged\n$`)
	v2 := matches(o.fine("plugin", "reload", "echo", "--force", "--wait"),
		`^(\S+) is active, before it `+v1+`: migrated 1\n$`)[1]
	exchange(t, c, "after")
	if text := o.fine("plugin", "list"); strings.Contains(text, v1+" ") || !strings.Contains(text, v2) {
		t.Errorf("found\n%s\nwanted no copy of what was loaded again", text)
	}

	matches(o.fine("plugin", "load", "more", "builtin:echo", "--listen=tcp://127.0.0.1:0",
		"--with=isolation=connection", "--with=limits.memory=32MiB", "--wait"),
		`^added plugin more\nadded listener tcp://127\.0\.0\.1:\d+ for plugin more\n$`)
	_, text := o.get("GET", "/v1/listeners")
	exchange(t, dial(t, matches(text, `"tcp://([^"]+)","plugin":"more"`)[1]), "more")
	if _, text := o.get("GET", "/v1/config"); !strings.Contains(text, `"isolation":"connection"`) ||
		!strings.Contains(text, `"memory":"32MiB"`) {
		t.Errorf("found %s", text)
	}
	matches(o.fine("plugin", "unload", "more"), `^removed listener tcp://\S+ for plugin more\nremoved plugin more\n$`)
	p.signal(syscall.SIGTERM)
	c.Close()
}

// TestPinCommands goes back to a version, which is pinned until that is ended, loads and
// unloads for good, and asks for the history.
func TestPinCommands(t *testing.T) {
	skipWithoutSignals(t)
	o := operator{t, socketAt(t)}
	p := start(t, append(anyPorts, "--set=admin.listen="+o.endpoint, "--set=state.dir="+t.TempDir())...)
	p.ready()
	p.await("administration")
	module := filepath.Join(t.TempDir(), "m.wasm")
	wasm, err := os.ReadFile("../../host/testdata/echo.wasm")
	if err != nil {
		t.Fatal(err)
	}
	version := func(n byte) { // a custom section, of a name alone, makes another one
		if err := os.WriteFile(module, append(slices.Clone(wasm), 0, 2, 1, n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	matches := func(text, pattern string) []string {
		t.Helper()
		m := regexp.MustCompile(pattern).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("found\n%s\nwanted %s", text, pattern)
		}
		return m
	}
	version('a')
	matches(o.fine("plugin", "load", "m", module, "--with=watch=false", "--save"),
		`^added plugin m\nsaved in the state`)
	v1 := matches(o.fine("plugin", "list"), `(?m)^m +active +(m@\w{12}) `)[1]
	version('b')
	v2 := matches(o.fine("plugin", "reload", "m"), `^(m@\w{12}) is active`)[1]
	matches(o.fine("plugin", "use", v1), `^`+v1+` is active, before it `+v2+`: migrated 0.*; pinned until `)
	matches(o.fine("plugin", "reload", "m"), `^`+v1+` is unchanged: it is pinned`)
	matches(o.fine("plugin", "list"), `(?m)^m +active +`+v1+` .* pinned since \d`)
	var out host.Outcome
	if err := json.Unmarshal([]byte(o.fine("plugin", "unpin", "m", "-o=json")), &out); err != nil ||
		out.Version != v2 ||
		out.Previous != v1 {
		t.Errorf("found %+v, %v", out, err)
	}
	matches(o.fine("plugin", "history", "m"), `(?s)^TIME +OUTCOME +VERSION +PREVIOUS +BY +NOTE\n`+
		`\S+ +active +`+v2+` +`+v1+` .*\n\S+ +active +`+v1+` .* pinned.*\n\S+ +active +`+v2+` .*\n\S+ +loaded +`+v1+` `)
	matches(o.fine("plugin", "unload", "m", "--save"), `removed plugin m\nsaved in the state`)
	p.signal(syscall.SIGTERM)
}

// unload --wait returns when the last connection has ended.
func TestUnloadWaits(t *testing.T) {
	skipWithoutSignals(t)
	o := operator{t, socketAt(t)}
	p := start(t, append(anyPorts, "--set=admin.listen="+o.endpoint)...)
	at := p.ready()
	p.await("administration")
	c := dial(t, at[0])
	exchange(t, c, "hello")
	done := make(chan result, 1)
	go func() { done <- o.run("plugin", "unload", "echo", "--wait") }()
	p.await("configuration is active")
	exchange(t, c, "meanwhile")
	select {
	case r := <-done:
		t.Fatalf("found exit code %d, %q before the connection has ended", r.code, r.stderr)
	default:
	}
	c.Close()
	if r := <-done; r.code != exitFine || !strings.Contains(r.stdout, "removed plugin echo\n") {
		t.Errorf("found exit code %d, %q, %q", r.code, r.stdout, r.stderr)
	}
}

func TestPluginFaults(t *testing.T) {
	skipWithoutSignals(t)
	o := operator{t, socketAt(t)}
	good := write(t, "served.wasm", string(versioned(1)))
	bad := write(t, "bad.wasm", string(guest(without("dataReceived"))))
	conf := write(t, "c.yaml", "plugins: {served: {module: "+good+", watch: false}}\nlisteners: []\n")
	p := start(t, "serve", "--config="+conf, "--set=admin.listen="+o.endpoint)
	p.await("administration")
	active := strings.Fields(strings.Split(o.fine("plugin", "list"), "\n")[1])[2]
	replace(t, good, guest(without("dataReceived")))
	running := "wirehost: " + active + " is still running\n"
	nowhere := filepath.Join(filepath.Dir(good), "none", "cpu.pprof")
	cases := []struct {
		args []string
		code int
		want string
	}{
		{[]string{"plugin", "reload", "served"}, exitFailed, "wirehost: plugin served: module " + good +
			": export dataReceived: found none, wanted (i32, i32, i32)\n" + running},
		{[]string{"plugin", "use", "served@000000000000"}, exitFailed,
			"wirehost: version served@000000000000: not loaded; loaded: " + active + "\n" + running},
		{[]string{"plugin", "reload", "none"}, exitFailed, "wirehost: plugin none: not loaded\n"},
		{[]string{"plugin", "unload", "none", "--wait"}, exitFailed, "wirehost: plugin none: not loaded\n"},
		{[]string{"plugin", "reload", "../config"}, exitFailed, "wirehost: plugin ../config: not loaded\n"},
		{[]string{"plugin", "reload", "a\x1b[2J"}, exitFailed, "wirehost: plugin a\\x1b[2J: not loaded\n"},
		{[]string{"plugin", "profile", "none"}, exitFailed, "wirehost: plugin none: not loaded\n"},
		{[]string{"plugin", "profile", "served", "--for=2h"}, exitFailed,
			"wirehost: for: found \"2h0m0s\", wanted a time such as 10s, above 0 and at most 1h\n"},
		// A file that can't be written is told before the host is asked for anything.
		{[]string{"plugin", "profile", "served", "--for=2h", "-o", nowhere}, exitFailed,
			"wirehost: open " + nowhere + ": no such file or directory\n"},
		{[]string{"plugin", "profile", "served", "--for=2h", "-o", filepath.Dir(good)}, exitFailed,
			"wirehost: open " + filepath.Dir(good) + ": is a directory\n"},
		{[]string{"plugin", "profile"}, exitUsage, "wirehost: found no NAME; see 'wirehost plugin profile --help'\n"},
		{[]string{"plugin", "trace", "none"}, exitFailed, "wirehost: plugin none: not loaded\n"},
		{[]string{"plugin", "trace", "served/7"}, exitFailed, "wirehost: connection served/7: no such connection\n"},
		{[]string{"plugin", "trace", "served/x"}, exitFailed,
			"wirehost: connection: found \"served/x\", wanted a connection of this plugin, such as served/1\n"},
		{[]string{"plugin", "trace"}, exitUsage, "wirehost: found no NAME or ID; see 'wirehost plugin trace --help'\n"},
		{[]string{"plugin", "load", "served", good}, exitFailed, "wirehost: plugin served: loaded already\n" + running},
		{[]string{"plugin", "load", "added", bad}, exitFailed, "wirehost: plugin added: module " + bad +
			": export dataReceived: found none, wanted (i32, i32, i32)\n"},
		{[]string{"plugin", "load", "added", "builtin:echo", "--with=limitz.memory=1MiB"}, exitFailed,
			`wirehost: limitz: found an unknown key, wanted one of module, pull, sha256, assets, isolation, reload, ` +
				`watch, config, drain, move_time, keep_versions, canary, image, page_out, go_jumps, limits, allow, ` +
				`listener; did you mean "limits"?` + "\n"},
		{[]string{"plugin", "load", "added", "builtin:echo", "--with=limits"}, exitUsage,
			"wirehost: --with: found \"limits\", wanted KEY=VALUE, such as limits.memory=16MiB; see 'wirehost plugin " +
				"load --help'\n"},
		{[]string{"plugin", "load", "added"}, exitUsage,
			"wirehost: found no MODULE; see 'wirehost plugin load --help'\n"},
		{[]string{"plugin", "use", "served"}, exitUsage, "wirehost: found \"served\", wanted NAME@VERSION, as " +
			"'wirehost plugin list' has it; see 'wirehost plugin use --help'\n"},
		{[]string{"plugin", "reload", "."}, exitUsage,
			"wirehost: found the name \".\", wanted a plugin's; see 'wirehost plugin reload --help'\n"},
		{[]string{"plugin", "load", "..", good}, exitUsage,
			"wirehost: found the name \"..\", wanted a plugin's; see 'wirehost plugin load --help'\n"},
		{[]string{"plugin", "unload", ""}, exitUsage,
			"wirehost: found the name \"\", wanted a plugin's; see 'wirehost plugin unload --help'\n"},
		{[]string{"plugin", "use", "@x"}, exitUsage,
			"wirehost: found the name \"\", wanted a plugin's; see 'wirehost plugin use --help'\n"},
		{[]string{"plugin", "trace", "/m", "--off"}, exitUsage,
			"wirehost: found the name \"\", wanted a plugin's; see 'wirehost plugin trace --help'\n"},
		{[]string{"plugin", "reload"}, exitUsage, "wirehost: found no NAME; see 'wirehost plugin reload --help'\n"},
		{[]string{"plugin", "reload", "served", "--what"}, exitUsage,
			"wirehost: unknown flag: --what; see 'wirehost plugin reload --help'\n"},
		{[]string{"conns", "-o", "xml"}, exitUsage, "wirehost: invalid argument \"xml\" for \"-o, --output\" flag: " +
			"found \"xml\", wanted text or json; see 'wirehost conns --help'\n"},
	}
	for _, tc := range cases {
		if r := o.run(tc.args...); r.code != tc.code || r.stderr != tc.want || r.stdout != "" {
			t.Errorf("%q: found exit code %d, %q%s, wanted %d, %q", tc.args, r.code, r.stdout, r.stderr, tc.code,
				tc.want)
		}
	}
}

func TestNoHost(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "s")
	file := write(t, "file", "")
	conf := write(t, "c.yaml", "admin: {listen: \"unix://"+gone+"\"}\nplugins: {e: {module: \"builtin:echo\"}}\n")
	const hint = "): start one with 'wirehost serve', or name its endpoint with --admin\n"
	cases := []struct {
		name string
		args []string
		env  []string
		code int
		want string
	}{
		{"none", []string{"--admin=unix://" + gone}, nil, exitFailed, "wirehost: no host answers at unix://" + gone +
			" (connect: no such file or directory" + hint},
		{"no socket", []string{"--admin=unix://" + file}, nil, exitFailed, "wirehost: no host answers at unix://" +
			file + " (connect: connection refused" + hint},
		{"TCP", []string{"--admin=tcp://127.0.0.1:1"}, nil, exitFailed,
			"wirehost: no host answers at tcp://127.0.0.1:1 (connect: connection refused" + hint},
		{"the variable", nil, []string{"WIREHOST_ADMIN__LISTEN=unix:///var"}, exitFailed,
			"wirehost: no host answers at unix:///var (connect: connection refused" + hint},
		{"the configured one", []string{"--config=" + conf}, nil, exitFailed, "wirehost: no host answers at unix://" +
			gone + " (connect: no such file or directory" + hint},
		{"the default", nil, []string{"XDG_RUNTIME_DIR=/nowhere"}, exitFailed,
			"wirehost: no host answers at unix:///nowhere/wirehost/admin.sock (connect: no such file or directory" +
				hint},
		{"off", nil, []string{"WIREHOST_ADMIN__LISTEN=off"}, exitFailed,
			"wirehost: admin.listen is off: a host so configured can't be asked\n"},
		{"no endpoint", []string{"--admin=here"}, nil, exitUsage, "wirehost: --admin: found \"here\", wanted " +
			"unix://PATH, tcp://HOST:PORT or https://HOST:PORT; see 'wirehost plugin list --help'\n"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			var out, errs strings.Builder
			code := Run(append([]string{"plugin", "list"}, tc.args...), tc.env, &out, &errs)
			if code != tc.code || errs.String() != tc.want || out.Len() > 0 {
				t.Errorf("found exit code %d, %q, wanted %d, %q", code, errs.String(), tc.code, tc.want)
			}
		})
	}
}

// What answers need not be a wirehost.
func TestOtherServer(t *testing.T) {
	skipWithoutSignals(t)
	p := start(t, anyPorts...)
	r := command(t, "plugin", "list", "--admin=tcp://"+p.ready()[0]) // echo
	if r.code != exitFailed || len(r.lines()) != 1 || strings.Contains(r.stderr, "goroutine") {
		t.Errorf("found exit code %d, %q", r.code, r.stderr)
	}
}

func TestOutcomeText(t *testing.T) {
	cases := map[string]host.Outcome{
		"p@2 is unchanged":                         {Version: "p@2", Unchanged: true},
		"p@2 is active, before it p@1: migrated 0": {Version: "p@2", Previous: "p@1", Policy: "migrate"},
		"p@2 is active, before it p@1: migrated 398, kept 2: restoreState refused (7)": {Version: "p@2",
			Previous: "p@1", Migrated: 398, Kept: map[string]int{"restoreState refused (7)": 2}},
		"p@2 is active, before it p@1: kept 3: draining (drain, because the isolation changes)": {Version: "p@2",
			Previous: "p@1", Policy: "drain", Why: "the isolation changes", Kept: map[string]int{"draining": 3}},
		"p@2 is active, before it p@1: migrated 1, kept 1: a, kept 2: b, dropped 4": {Version: "p@2", Previous: "p@1",
			Migrated: 1, Dropped: 4, Kept: map[string]int{"b": 2, "a": 1}},
	}
	for want, o := range cases {
		if got := outcomeText(o); got != want {
			t.Errorf("found %q, wanted %q", got, want)
		}
	}
}

// The columns go on below a version's line, which has fewer cells, and no line
// ends in blanks.
func TestPrintPlugins(t *testing.T) {
	var b strings.Builder
	err := printPlugins(&b, []host.PluginInfo{
		{Name: "a", State: "active", Active: "a@1", Isolation: "loop", Module: "m.wasm", Failure: "bad", Trace: "a/1",
			Versions: []host.VersionInfo{{Name: "a@1", State: host.StateActive},
				{Name: "a@222222", State: host.StateStandby, Connections: 1},
				{Name: "a@3", State: host.StateLoading, Since: time.Now().Add(-12 * time.Second)}}},
		{Name: "b", State: "active", Active: "b@1", Isolation: "connection", Memory: 1 << 20, Module: "b.wasm"},
	})
	want := `NAME  STATE    VERSION   ISOLATION   CONNS  INSTANCES  MEMORY    TRAPS  MODULE  NOTE
a     active   a@1       loop        0      0          0 B       0      m.wasm  the last change failed: bad; traced: a/1
      standby  a@222222              1      0
      loading  a@3                   0      0                                   compiling, 12 s
b     active   b@1       connection  0      0          1024 KiB  0      b.wasm
`
	if err != nil || b.String() != want {
		t.Errorf("found\n%s%v\nwanted\n%s", b.String(), err, want)
	}
}

func TestSectionOf(t *testing.T) {
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	section, err := sectionOf("x.wasm", "tcp://:1",
		[]string{"config.a.b=[1, x]", "config.c=", "listener.idle_timeout=3s", "watch=false"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(section)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"config":{"a":{"b":[1,"x"]},"c":null},"listener":{"endpoint":"tcp://:1","idle_timeout":"3s"},"module":"` +
		wd + `/x.wasm","watch":false}`
	if string(text) != want {
		t.Errorf("found %s, wanted %s", text, want)
	}
	for _, bad := range []string{"", "=1", "a", "a..b=1", ".=1", "a=[", "a=.nan", "a=.nan"} {
		var usage *usageError
		if _, err := sectionOf("x", "", []string{bad}); !errors.As(err, &usage) {
			t.Errorf("%q: found %v, wanted wrong usage", bad, err)
		}
	}
}
