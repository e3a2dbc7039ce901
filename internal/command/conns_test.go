package command

import (
	"encoding/json"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/admin"
)

// builtins starts the built-in plugins, with a connection to each that has said something.
func builtins(t *testing.T) (o operator, p *process, echo, line string) {
	t.Helper()
	skipWithoutSignals(t)
	o = operator{t, socketAt(t)}
	p = start(t, append(anyPorts, "--set=admin.listen="+o.endpoint)...)
	at := p.ready()
	p.await("administration")
	exchange(t, dial(t, at[0]), "hello")
	exchange(t, dial(t, at[1]), "hello\r\n")
	return o, p, "tcp://" + at[0], "tcp://" + at[1]
}

func TestConns(t *testing.T) {
	o, _, echo, line := builtins(t)
	version := column(t, o.fine("conns", "--plugin=echo"), "VERSION")[0]
	for args, want := range map[string]string{
		"conns":                                               "echo/1 linereceiver/1",
		"conns --sort in":                                     "linereceiver/1 echo/1",
		"conns --sort in --limit 1":                           "linereceiver/1",
		"conns --plugin echo":                                 "echo/1",
		"conns --listener " + line:                            "linereceiver/1",
		"conns --peer 127.0.0.1 --state open":                 "echo/1 linereceiver/1",
		"conns --peer 10.0.0.0/8":                             "",
		"conns --idle-for 1h":                                 "",
		"conns --older-than 1ns --version " + version:         "echo/1",
		"conns --version " + version + " --state half-closed": "",
	} {
		if got := strings.Join(column(t, o.fine(strings.Fields(args)...), "ID"), " "); got != want {
			t.Errorf("%s: found %q, wanted %q", args, got, want)
		}
	}
	if got := column(t, o.fine("conns", "--plugin=echo"), "LISTENER"); len(got) != 1 || got[0] != echo {
		t.Errorf("found the listeners %q, wanted %s", got, echo)
	}
	var page host.ConnPage
	if err := json.Unmarshal([]byte(o.fine("conns", "-o=json", "--limit=1")), &page); err != nil ||
		len(page.Connections) != 1 || page.Next == "" {
		t.Errorf("found %+v, %v", page, err)
	}
	for args, want := range map[string]string{
		"conns --plugin ehco":    "wirehost: plugin ehco: not loaded\n",
		"conns --version echo@0": "wirehost: version echo@0: not loaded; loaded: " + version + "\n",
		"conns --version 0":      "wirehost: version: found \"0\", wanted NAME@HASH, such as echo@0123456789ab\n",
		"conns --peer localhost": "wirehost: peer: found \"localhost\", wanted an address or CIDR, such as " +
			"192.0.2.7 or 2001:db8::/32\n",
		"conns --sort size": "wirehost: sort: found \"size\", wanted one of age, idle, in, out, queued\n",
		"conns --state up": "wirehost: state: found \"up\", wanted one of open, closing, half-closed, " +
			"connecting, paused\n",
		"conns --listener tcp://:1":     "wirehost: listener tcp://:1: nothing listens there\n",
		"conns close echo":              "wirehost: id: found \"echo\", wanted PLUGIN/NUMBER, such as echo/1\n",
		"conns close echo/7":            "wirehost: connection echo/7: no such connection\n",
		"conns close --plugin ehco":     "wirehost: plugin ehco: not loaded\n",
		"conns close --version echo@00": "wirehost: version echo@00: not loaded; loaded: " + version + "\n",
	} {
		if r := o.run(strings.Fields(args)...); r.code != exitFailed || r.stderr != want || r.stdout != "" {
			t.Errorf("%s: found exit code %d, %q, wanted %q", args, r.code, r.stderr, want)
		}
	}
	for args, want := range map[string]string{
		"conns all":           `found the argument "all", wanted none after the command`,
		"conns clos":          `unknown command "clos", did you mean close?`,
		"conns --limit -1":    "--limit: found -1, wanted a number above 0",
		"conns --idle-for 10": `invalid argument "10" for "--idle-for" flag`,
		"conns close":         "found no ID, --plugin, --peer or other flag that says which connections",
		"conns close --abort": "found no ID, --plugin, --peer or other flag that says which connections",
	} {
		if r := o.run(strings.Fields(args)...); r.code != exitUsage || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: found exit code %d, %q, wanted %q", args, r.code, r.stderr, want)
		}
	}
}

// column has a table's cells below a head.
func column(t *testing.T, table, head string) (cells []string) {
	t.Helper()
	rows := strings.Split(strings.TrimSuffix(table, "\n"), "\n")
	for n, name := range strings.Fields(rows[0]) {
		if name == head {
			for _, row := range rows[1:] {
				cells = append(cells, strings.Fields(row)[n])
			}
			return cells
		}
	}
	t.Fatalf("found no column %s in\n%s", head, table)
	return nil
}

func TestConnsClose(t *testing.T) {
	o, p, echo, _ := builtins(t)
	address := strings.TrimPrefix(echo, "tcp://")
	var ends []io.Reader
	for range 3 { // echo/2, 3 and 4
		c := dial(t, address)
		exchange(t, c, "hello")
		ends = append(ends, c)
	}
	over := func(n int) {
		t.Helper()
		if b, err := io.ReadAll(ends[n]); len(b) > 0 || err != nil {
			t.Errorf("found %q, %v, wanted the end", b, err)
		}
	}
	if out := o.fine("conns", "close", "echo/2"); out != "closed 1 connection\n" {
		t.Errorf("found %q", out)
	}
	over(0)
	if e := p.await("connections were closed"); e.text("by") != "command" || e.text("which") != "ids=echo/2" {
		t.Errorf("found %v", e)
	}
	o.fine("conns", "close", "echo/3", "--abort")
	if _, err := io.ReadAll(ends[1]); err == nil || !strings.Contains(err.Error(), "reset") {
		t.Errorf("found %v, wanted a reset", err)
	}
	o.fine("plugin", "unload", "echo") // its connections stay visible, and can be ended
	if list := o.fine("plugin", "list"); !strings.Contains(list, "unloading") {
		t.Errorf("found\n%s", list)
	}
	if got := strings.Join(column(t, o.fine("conns", "--plugin=echo"), "ID"), " "); got != "echo/1 echo/4" {
		t.Errorf("found %q", got)
	}
	if out := o.fine("conns", "close", "--plugin=echo", "-o=json"); out != "{\n  \"closed\": 2\n}\n" {
		t.Errorf("found %q", out)
	}
	over(2)
}

func TestStatusCommands(t *testing.T) {
	skipWithoutSignals(t)
	conf := write(t, "c.yaml", "plugins:\n  e: {module: \"builtin:echo\", config: {password: hush}}\n"+
		"listeners:\n- {endpoint: \"tcp://127.0.0.1:0\", plugin: e}\n")
	o := operator{t, socketAt(t)}
	p := start(t, "serve", "--config="+conf, "--set=admin.listen="+o.endpoint)
	at := p.ready()
	p.await("administration")
	for _, want := range []string{"configuration  " + conf + "\n", "state          ready\n", "plugins        1\n"} {
		if out := o.fine("status"); !strings.Contains(out, want) {
			t.Errorf("found no %q in\n%s", want, out)
		}
	}
	if out := o.fine("status"); strings.Contains(out, "last reload") || strings.Contains(out, "certificates") {
		t.Errorf("found\n%s", out)
	}
	if out := o.fine("listeners"); !strings.Contains(out, "tcp://"+at[0]+"  e       0      0         0\n") {
		t.Errorf("found\n%s", out)
	}
	out := o.fine("config")
	for _, want := range []string{
		"plugins.e.module  builtin:echo  " + conf + ":2\n", "admin.listen  " + o.endpoint + "  --set\n",
		"cache.dir  " + cacheDir + "  WIREHOST_CACHE__DIR\n", "plugins.e.config.password  (hidden)  " + conf + ":2\n",
		"plugins.e.drain  10m0s  default\n", "listeners.0.plugin  e  " + conf + ":4\n",
	} {
		if !strings.Contains(squeezed(out), want) {
			t.Errorf("found no %q in\n%s", want, out)
		}
	}
	o.fine("plugin", "load", "late", "builtin:echo")
	if out := o.fine("config", "plugins.late.module"); !strings.Contains(squeezed(out), "builtin:echo  run time\n") {
		t.Errorf("found\n%s", out)
	}
	if out := o.fine("config", "--changed", "reactor"); out != "SETTING  VALUE  FROM\n" {
		t.Errorf("found\n%s", out)
	}
	if r := o.run("config", "reactr"); r.code != exitFailed || !strings.Contains(r.stderr, "found no setting reactr") {
		t.Errorf("found %+v", r)
	}
	o.fine("plugin", "unload", "late")
	if out := o.fine("reload"); out != "nothing has changed\n" {
		t.Errorf("found %q", out)
	}
	replace(t, conf, []byte("plugins: {e: {module: \"builtin:echo\"}, f: {module: \"builtin:echo\"}}\nlisteners: []\n"))
	if out := o.fine("reload"); !strings.Contains(out, "added plugin f\nremoved listener tcp://"+at[0]+
		" for plugin e\n") {
		t.Errorf("found %q", out)
	}
	replace(t, conf, []byte("plugins: {e: {module: \"builtin:echo\"}, g: {module: \"builtin:echo\"}}\nlisteners: []\n"+
		"access_log: {to: \"file://none/access\"}\n"))
	missing := "access_log.to: open " + filepath.Join(filepath.Dir(conf), "none", "access") +
		": no such file or directory"
	if r := o.run("reload"); r.code != exitFailed ||
		!strings.Contains(r.stdout, "added plugin g\nremoved plugin f\nnot taken over: "+missing+"\n") ||
		r.stderr != "wirehost: one thing was not taken over; what was there before stays\n" {
		t.Errorf("found %+v", r)
	}
	failed := regexp.MustCompile(`\nlast reload    failed at [-\d: ]{19}: (.*)\n`)
	if m := failed.FindStringSubmatch(o.fine("status")); m == nil || m[1] != missing {
		t.Errorf("found %q, wanted %q", m, missing)
	}
	replace(t, conf, []byte("plugins: {e: {modul: x}}\nlog: {level: loud}\n"))
	if r := o.run("reload"); r.code != exitFailed || r.stdout != "" ||
		!strings.HasPrefix(r.stderr, "wirehost: "+conf+":1: plugins.e.modul: found an unknown key") ||
		!strings.Contains(r.stderr, "\nwirehost: "+conf+":2: log.level: ") {
		t.Errorf("found %+v", r)
	}
}

// TestStatusOfCertificates: those that are not as their files are told of.
func TestStatusOfCertificates(t *testing.T) {
	var b strings.Builder
	if err := printStatus(&b, "unix:///a", admin.Status{Certificates: []host.CertificateInfo{
		{Cert: "/a.pem", Loaded: true, Err: "bad key"}, {Cert: "/b.pem", Err: "no file"}}}); err != nil {
		t.Fatal(err)
	}
	const want = "\ncertificates   /a.pem: bad key\ncertificates   /b.pem: no file; handshakes that need it fail\n"
	if !strings.Contains(b.String(), want) {
		t.Errorf("found\n%s", b.String())
	}
}

// squeezed is a table with two blanks between its cells.
func squeezed(table string) string {
	for strings.Contains(table, "   ") {
		table = strings.ReplaceAll(table, "   ", "  ")
	}
	return table
}

func TestJSONErrors(t *testing.T) {
	o, _, _, _ := builtins(t)
	for args, want := range map[string]failure{
		"conns --plugin none -o json": {Error: "plugin none: not loaded", Kind: "unknown-plugin", Status: 404},
		"conns close echo/99 -o=json": {Error: "connection echo/99: no such connection", Kind: "unknown-connection",
			Status: 404},
		"conns close -o=json": {Error: "found no ID, --plugin, --peer or other flag that says which connections, " +
			"wanted " +
			"one: all are closed by ending the host", Hint: "see 'wirehost conns close --help'"},
		"conns --nonsense -ojson": {Error: "unknown flag: --nonsense", Hint: "see 'wirehost conns --help'"},
	} {
		r := o.run(strings.Fields(args)...)
		var got failure
		if err := json.Unmarshal([]byte(r.stderr), &got); err != nil || got.Error != want.Error ||
			got.Hint != want.Hint ||
			got.Kind != want.Kind || got.Status != want.Status || r.code == exitFine || r.stdout != "" {
			t.Errorf("%s: found %d, %q, %v, wanted %+v", args, r.code, r.stderr, err, want)
		}
	}
	nobody := command(t, "conns", "--output", "json", "--admin=unix:///nowhere/admin.sock")
	var got failure
	if err := json.Unmarshal([]byte(nobody.stderr), &got); err != nil || nobody.code != exitFailed ||
		!strings.Contains(got.Error, "no host answers at unix:///nowhere/admin.sock") {
		t.Errorf("found %+v, %v", nobody, err)
	}
}

// What a running host has completes a word; where none answers, nothing does.
func TestCompletionOfNames(t *testing.T) {
	o, _, echo, _ := builtins(t)
	for args, want := range map[string]string{
		"plugin reload|":           "echo\nlinereceiver\n:4\n",
		"plugin use|ec":            "echo@",
		"plugin unload|li":         "linereceiver\n:4\n",
		"plugin trace|echo":        "echo\necho/1\n:4\n",
		"conns --plugin|e":         "echo\n:4\n",
		"conns --listener|" + echo: echo + "\n:4\n",
		"conns --sort|":            "age\nidle\nin\nout\nqueued\n:4\n",
		"conns close|l":            "linereceiver/1\n:4\n",
		"conns close echo/1|":      "linereceiver/1\n:4\n",
	} {
		before, begun, _ := strings.Cut(args, "|")
		words := strings.Fields(before)
		words = append(append([]string{"__complete", words[0], "--admin=" + o.endpoint}, words[1:]...), begun)
		if r := command(t, words...); !strings.HasPrefix(r.stdout, want) {
			t.Errorf("%s: found %q, wanted %q", args, r.stdout, want)
		}
	}
	if r := command(t, "__complete", "plugin", "reload", "--admin=unix:///nowhere", ""); r.stdout != ":4\n" {
		t.Errorf("found %q, %q", r.stdout, r.stderr)
	}
}

// Where nothing says which host is asked, it is said where it may be another's.
func TestGuessedHost(t *testing.T) {
	skipWithoutSignals(t)
	dir := filepath.Dir(strings.TrimPrefix(socketAt(t), "unix://"))
	env := []string{"XDG_RUNTIME_DIR=" + dir, "WIREHOST_CACHE__DIR=" + cacheDir}
	mine := write(t, "mine.yaml", "plugins: {mine: {module: \"builtin:echo\"}}\nlisteners: []\n")
	other := write(t, "other.yaml", "plugins: {}\nlisteners: []\n")
	startIn(t, env, "serve", "--config="+mine).await("administration")
	ask := func(args ...string) result {
		var out, errs strings.Builder
		return result{Run(args, env, &out, &errs), out.String(), errs.String()}
	}
	for _, args := range [][]string{{"plugin", "list"}, {"plugin", "list", "--config", mine}} {
		if r := ask(args...); r.code != exitFine || r.stderr != "" || !strings.Contains(r.stdout, "mine") {
			t.Errorf("%v: found %+v", args, r)
		}
	}
	r := ask("plugin", "list", "--config", other)
	want := "wirehost: asking the host at unix://" + filepath.Join(dir, "wirehost", "admin.sock") + ", which runs " +
		mine +
		" and not " + other + "; --admin names another\n"
	if r.code != exitFine || r.stderr != want {
		t.Errorf("found %+v, wanted %q", r, want)
	}
}
