//go:build unix

package command

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/wirehost/wirehost/internal/tooltest"
	"github.com/wirehost/wirehost/internal/wasmbin"
)

// packaged is the folder of what packages have beside the program.
const packaged = "../../cmd/wirehost/package"

// tool runs a program that must end well.
func tool(t *testing.T, path string, args ...string) {
	t.Helper()
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", path, args, err, out)
	}
}

// TestUnits: systemd understands its unit files, each line of them.
func TestUnits(t *testing.T) {
	analyze := tooltest.Find(t, "systemd-analyze", "apt install systemd")
	dir := t.TempDir()
	var files []string
	for _, name := range []string{"wirehost.service", "wirehost.socket"} {
		text, err := os.ReadFile(filepath.Join(packaged, "systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, name)
		unit := strings.ReplaceAll(string(text), "/usr/bin/wirehost", binary)
		if err := os.WriteFile(file, []byte(unit), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	out, err := exec.Command(analyze, append([]string{"verify", "--man=no"}, files...)...).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "wirehost") { // the others are of the machine's own units
			t.Errorf("found %s", line)
		}
	}
	if err != nil {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}

// dashboard is what a test reads of Grafana's.
type dashboard struct {
	Panels []struct {
		Title   string
		Targets []struct{ Expr string }
	}
	Templating struct {
		List []struct{ Definition string }
	}
	Annotations struct {
		List []struct{ Expr string }
	}
}

// expressions are those of Grafana's dashboard, by where they stand.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(packaged, "grafana/wirehost.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, p := range d.Panels {
		for n, target := range p.Targets {
			all[fmt.Sprintf("panel %s, %d", p.Title, n)] = target.Expr
		}
	}
	for n, a := range d.Annotations.List {
		all[fmt.Sprintf("annotation %d", n)] = a.Expr
	}
	if len(all) < 25 {
		t.Fatalf("found %d expressions", len(all))
	}
	return all
}

// TestAlerts: promtool takes the alerts, they come when they are to, and it reads the
// dashboard's expressions.
func TestAlerts(t *testing.T) {
	promtool := tooltest.Find(t, "promtool", "apt install prometheus")
	tool(t, promtool, "check", "rules", packaged+"/prometheus/alerts.yaml")
	tool(t, promtool, "test", "rules", packaged+"/prometheus/alerts_test.yaml")
	type rule struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var rules []rule
	grafana := strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*", "$plugin", ".*")
	for n, where := range slices.Sorted(maps.Keys(expressions(t))) {
		rules = append(rules, rule{fmt.Sprintf("expression_%d", n), grafana.Replace(expressions(t)[where])})
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	tool(t, promtool, "check", "rules", write(t, "rules.yaml", string(text)))
}

var (
	metricName = regexp.MustCompile(`\b(?:wirehost|process|go)_[a-z_]+`)
	labelNames = regexp.MustCompile(`by \(([^)]*)\)|\b([a-z]+)!?=~?"`)
)

// TestDashboardNames: each metric that the dashboard and the alerts name is one that a
// server tells, and so is each label.
func TestDashboardNames(t *testing.T) {
	told := everyMetric(t)
	labels := map[string]bool{"instance": true, "job": true} // Prometheus's own
	for _, l := range regexp.MustCompile(`[{,]([a-z]+)="`).FindAllStringSubmatch(told, -1) {
		labels[l[1]] = true
	}
	alerts, err := os.ReadFile(filepath.Join(packaged, "prometheus/alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	all := expressions(t)
	for n, rule := range strings.Split(string(alerts), "- alert: ")[1:] {
		_, rest, _ := strings.Cut(rule, "expr: ")
		expr, _, _ := strings.Cut(rest, "labels: ")
		all[fmt.Sprintf("alert %d", n)] = expr
	}
	named := map[string]bool{}
	for where, expr := range all {
		for _, name := range metricName.FindAllString(expr, -1) {
			named[name] = true
			if !strings.Contains(told, "\n"+name+"{") && !strings.Contains(told, "\n"+name+" ") {
				t.Errorf("%s: found %s, which no server tells", where, name)
			}
		}
		for _, l := range labelNames.FindAllStringSubmatch(expr, -1) {
			for name := range strings.SplitSeq(l[1]+l[2], ", ") {
				if !labels[name] {
					t.Errorf("%s: found the label %q, which no metric has", where, name)
				}
			}
		}
	}
	if len(named) < 25 {
		t.Errorf("found %d metrics named", len(named))
	}
}

// everyMetric is what a server tells to whom everything has happened that is counted.
func everyMetric(t *testing.T) string {
	t.Helper()
	skipWithoutSignals(t)
	o := operator{t, socketAt(t)}
	dir := t.TempDir()
	cert, key := testCertificate(t, dir)
	traps := guest(func(m *wasmbin.Module) { m.Code[3].Body = []byte{0x00, 0x0b} }) // dataReceived: unreachable
	file := filepath.Join(dir, "c.yaml")
	text := fmt.Sprintf(`
admin: {listen: "%s"}
state: {dir: "%s"}
access_log: {to: "file://%[2]s/access.log"}
plugins: {echo: {module: "builtin:echo"}, traps: {module: traps.wasm}}
listeners:
  - {endpoint: "tcp://127.0.0.1:0", plugin: traps}
  - {endpoint: "tls://127.0.0.1:0", plugin: echo, tls: {cert: "%s", key: "%s"}}
`, o.endpoint, dir, cert, key)
	for name, b := range map[string][]byte{file: []byte(text), filepath.Join(dir, "traps.wasm"): traps} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := startIn(t, nil, "serve", "--config="+file)
	addresses := p.ready()
	p.await("administration")
	for n, said := range []string{"guest trapped", "a TLS handshake failed"} {
		c := dial(t, strings.TrimPrefix(addresses[n], "tls://"))
		if _, err := io.WriteString(c, "no handshake\r\n"); err != nil {
			t.Fatal(err)
		}
		p.await(said)
	}
	o.fine("plugin", "reload", "echo")
	o.fine("plugin", "load", "more", "builtin:echo")
	o.fine("reload")
	o.awaitMetric(`wirehost_plugin_traps_total{cause="unreachable",plugin="traps"} 1`)
	_, told := o.get("GET", "/metrics")
	return told
}

// TestKubernetes: the example's configuration and module are taken, and its probes and ports
// are where the configuration has them.
func TestKubernetes(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(packaged, "kubernetes.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "modules"), 0o700); err != nil {
		t.Fatal(err)
	}
	put := func(name string, b []byte, err error) {
		t.Helper()
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	kinds := map[string]bool{}
	for in := yaml.NewDecoder(strings.NewReader(string(text))); ; {
		var object struct {
			Kind       string            `yaml:"kind"`
			Data       map[string]string `yaml:"data"`
			BinaryData map[string]string `yaml:"binaryData"`
		}
		if err := in.Decode(&object); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		kinds[object.Kind] = true
		for name, b := range object.Data {
			put(name, []byte(b), nil)
		}
		for name, coded := range object.BinaryData {
			b, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(coded, " ", ""))
			put("modules/"+name, b, err)
		}
	}
	if len(kinds) != 3 {
		t.Errorf("found %v, wanted ConfigMap, Deployment and Service", kinds)
	}
	o := operator{t, socketAt(t)}
	p := startIn(t, nil, "serve", "--config="+filepath.Join(dir, "wirehost.yaml"), "--set=admin.listen="+o.endpoint,
		"--set=listeners.0.endpoint=tcp://127.0.0.1:0", "--set=monitor.listen=tcp://127.0.0.1:"+tooltest.FreePort(t),
		"--set=cache.dir="+cacheDir)
	exchange(t, dial(t, p.ready()[0]), "hello")
	for _, want := range []string{"path: /readyz, port: monitor", "containerPort: 9100", "tcp://0.0.0.0:9100",
		"tcp://0.0.0.0:7007", "containerPort: 7007"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("found no %q", want)
		}
	}
}
