package operate

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
)

// TestValidate: what a start would refuse, or live without, is found before it, and nothing
// is left behind.
func TestValidate(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, at("short"), "secret")
	write(t, at("token"), "0123456789abcdef0123\n")
	write(t, at("bad.pem"), "nothing")
	cert, key := renew(t)
	write(t, at("c.pem"), string(cert))
	write(t, at("k.pem"), string(key))
	tcp := config.Admin{Listen: "tcp://127.0.0.1:0", TokenFile: at("token")}
	tcp.TLS.Cert, tcp.TLS.Key = at("c.pem"), at("k.pem")
	for name, c := range map[string]struct {
		change func(*config.Config)
		want   string // "" = it is sound
	}{
		"sound": {func(c *config.Config) {
			c.Admin = tcp
			c.AccessLog.To, c.State.Dir = "file://"+at("access"), at("some/state")
		}, ""},
		"token": {func(c *config.Config) { c.Admin = tcp; c.Admin.TokenFile = at("short") },
			"admin.token_file: " + at("short") + ": found 6 characters"},
		"no token": {func(c *config.Config) { c.Admin = tcp; c.Admin.TokenFile = at("none") },
			"admin.token_file: stat " + at("none")},
		"certificate": {func(c *config.Config) { c.Admin = tcp; c.Admin.TLS.Cert = at("bad.pem") },
			"admin.tls: cert " + at("bad.pem") + ", key " + at("k.pem") + ": found no certificate"},
		"client_ca": {func(c *config.Config) { c.Admin = tcp; c.Admin.TLS.ClientCA = at("bad.pem") },
			"admin.tls: client_ca: found no certificate in " + at("bad.pem")},
		"owner": {func(c *config.Config) { c.Listeners[0].Owner = "nobody-of-this-name" },
			"listeners.0: listener unix://" + at("s") + ": owner: user: unknown user nobody-of-this-name"},
		"group": {func(c *config.Config) { c.Listeners[0].Group = "no-such-group" },
			"listeners.0: listener unix://" + at("s") + ": group: unknown group no-such-group"},
		"access log": {func(c *config.Config) { c.AccessLog.To = "file://" + at("none/access") },
			"access_log.to: open " + at("none/access") + ": no such file"},
		"state": {func(c *config.Config) { c.State.Dir = at("token") },
			"state.dir: found " + at("token") + ", wanted a folder that can be written to: not a directory"},
		"state below a file": {func(c *config.Config) { c.State.Dir = at("token/below") },
			"state.dir: found " + at("token/below") + ", wanted a folder that can be written to: not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config.Config{
				Admin: config.Admin{Listen: "off"}, Cache: config.Cache{Dir: "off"}, State: config.State{Dir: "off"},
				Plugins:   map[string]config.Plugin{"p": {Module: "builtin:echo"}},
				Listeners: []config.Listener{{Endpoint: "unix://" + at("s"), Plugin: "p"}},
			}
			c.change(&cfg)
			before := names(t, dir)
			err := Validate(context.Background(), cfg, host.Options{Builtin: builtin})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("found %v, wanted %q", err, c.want)
			}
			if after := names(t, dir); after != before {
				t.Errorf("found the files %s, wanted %s", after, before)
			}
		})
	}
}

func names(t *testing.T, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	do(t, err)
	var found []string
	for _, e := range list {
		found = append(found, e.Name())
	}
	return strings.Join(found, " ")
}

// TestDryRunRefusals: what lies there for the next process is looked at, as that would find
// it: with what administrators have changed.
func TestDryRunRefusals(t *testing.T) {
	ctx := context.Background()
	k, first, _ := rolledBack(t)
	program, err := os.Executable()
	do(t, err)
	k.o.Program = []string{program}
	refuses := func(what string, want ...string) {
		t.Helper()
		out, err := k.Upgrade(ctx, true)
		do(t, err)
		text := strings.Join(out.Refusals, "\n")
		if len(want) == 0 && text != "" {
			t.Errorf("%s: found %q, wanted no refusal", what, text)
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: found %q, wanted %q", what, text, w)
			}
		}
		if !strings.HasPrefix(out.Lines()[0], "nothing was done") {
			t.Errorf("found %q", out.Lines())
		}
	}
	refuses("as it runs")
	k.expect(t, "after that", first)
	module := filepath.Join(k.dir, "p.wasm")
	save(t, module, []byte("no module"))
	refuses("a module that is none", "plugin p: module "+module+": ")
	do(t, os.Remove(module))
	refuses("no module", "plugin p: module "+module+": stat "+module)
	_, err = k.UnloadPlugin(ctx, "p")
	do(t, err)
	refuses("no module of a plugin that was unloaded")
	text, err := os.ReadFile(k.file)
	do(t, err)
	write(t, k.file, "plugin: {}\n")
	refuses("a configuration that does not load", k.file+":1: plugin: found an unknown key")
	write(t, k.file, string(text)+"access_log: {to: \"file://none/access\"}\n")
	refuses("an access log that can't be opened", "access_log.to: open "+k.dir+"/none/access")
	taken, err := net.Listen("tcp", "127.0.0.1:0") // as this process's monitor has it
	do(t, err)
	defer taken.Close()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	do(t, err)
	write(t, k.file, string(text)+"monitor: {listen: \"tcp://0.0.0.0:"+port+"\"}\n")
	refuses("another address of a port that is listened on", "monitor.listen: found tcp://0.0.0.0:"+port+
		", which is listened on already", "choose another port")
	write(t, k.file, string(text)+"monitor: {listen: \"tcp://127.0.0.1:0\"}\n")
	refuses("another port")
	write(t, k.file, string(text))
	k.o.Program = []string{filepath.Join(k.dir, "none")}
	refuses("no executable", "no such file")
}
