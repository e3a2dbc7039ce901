package admin

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/wirehost/wirehost/host"
)

func scrape(t *testing.T, s *Server) string {
	t.Helper()
	r := ask(t, s, "GET /metrics", "")
	if r.code != 200 {
		t.Fatalf("found %d %s", r.code, r.body)
	}
	return r.body
}

func TestMetrics(t *testing.T) {
	m := NewMetrics(func() uint64 { return 9 })
	s := New(Options{Host: newFake(), Metrics: m})
	for range 2 {
		ask(t, s, "POST /v1/plugins/echo/reload", "")
	}
	ask(t, s, "POST /v1/plugins/none/reload", "")
	ask(t, s, "POST /v1/plugins/new", `{"module":"builtin:echo"}`)
	ask(t, s, "POST /v1/plugins/echo", `{"module":"builtin:echo"}`)
	ask(t, s, "DELETE /v1/plugins/echo", "")
	ask(t, s, "POST /v1/config/reload", "")
	m.Changed("file", "echo", host.Outcome{}, errors.New("bad"))
	m.Changed("file", "echo", host.Outcome{}, fmt.Errorf("x: %w", host.ErrChanging))
	m.Changed("file", "echo", host.Outcome{Unchanged: true}, nil)
	m.Configured("signal",
		host.Change{Plugins: []host.Outcome{{Plugin: "echo", Migrated: 1, Dropped: 3},
			{Plugin: "line", Unchanged: true}}}, nil)
	text := scrape(t, s)
	for _, want := range []string{
		`wirehost_ready 1`,
		`wirehost_log_lost_lines_total 9`,
		`wirehost_overloaded 1`,
		`wirehost_overload_closed_total 8`,
		`wirehost_connections{loop="0"} 3`,
		`wirehost_connections_opened_total{loop="0"} 7`,
		`wirehost_connections_lost_total{loop="0",reason="timed out"} 4`,
		`wirehost_connections_lost_total{loop="0",reason="connection done"} 0`,
		`wirehost_received_bytes_total{loop="0"} 10`,
		`wirehost_sent_bytes_total{loop="0"} 11`,
		`wirehost_queued_bytes{loop="0"} 12`,
		`wirehost_loop_lag_seconds_bucket{loop="0",le="0.005"} 5`,
		`wirehost_loop_lag_seconds_bucket{loop="0",le="0.01"} 6`,
		`wirehost_loop_lag_seconds_sum{loop="0"} 0.009`,
		`wirehost_listener_connections{endpoint="tcp://127.0.0.1:7",plugin="echo"} 3`,
		`wirehost_listener_accepted_total{endpoint="tcp://127.0.0.1:7",plugin="echo"} 7`,
		`wirehost_listener_refused_total{endpoint="tcp://127.0.0.1:7",plugin="echo",reason="max_connections"} 1`,
		`wirehost_listener_held_total{endpoint="tcp://127.0.0.1:7",plugin="echo"} 4`,
		`wirehost_listener_handshake_failures_total{cause="version",endpoint="tcp://127.0.0.1:7",plugin="echo"} 2`,
		`wirehost_certificate_loaded{cert="/c.pem"} 1`,
		`wirehost_certificate_loaded{cert="/gone.pem"} 0`,
		`wirehost_certificate_not_after_seconds{cert="/c.pem"} 1.9e+09`,
		`wirehost_plugin_up{plugin="echo"} 1`,
		`wirehost_plugin_connections{plugin="echo"} 3`,
		`wirehost_plugin_instances{plugin="echo"} 2`,
		`wirehost_plugin_instances_paged_out{plugin="echo"} 1`,
		`wirehost_plugin_timers{plugin="echo"} 1`,
		`wirehost_plugin_versions{plugin="echo",state="active"} 1`,
		`wirehost_plugin_versions{plugin="echo",state="draining"} 0`,
		`wirehost_plugin_versions{plugin="echo",state="standby"} 1`,
		`wirehost_plugin_memory_bytes{plugin="echo"} 131072`,
		`wirehost_plugin_memory_growths_refused_total{plugin="echo"} 5`,
		`wirehost_plugin_traps_total{cause="unreachable",plugin="echo"} 4`,
		`wirehost_plugin_slow_callbacks_total{plugin="echo"} 2`,
		`wirehost_plugin_log_cut_bytes_total{plugin="echo"} 6`,
		`wirehost_plugin_metrics{plugin="echo"} 1`,
		`wirehost_plugin_metrics_refused_total{plugin="echo"} 7`,
		`echo_lines_total{plugin="echo"} 8`,
		`wirehost_callback_duration_seconds_bucket{plugin="echo",le="1e-05"} 100`,
		`wirehost_callback_duration_seconds_bucket{plugin="echo",le="0.001"} 111`,
		`wirehost_callback_duration_seconds_bucket{plugin="echo",le="+Inf"} 113`,
		`wirehost_callback_duration_seconds_count{plugin="echo"} 113`,
		`wirehost_callback_duration_seconds_sum{plugin="echo"} 2.5`,
		`wirehost_plugin_changes_total{plugin="echo",result="active",trigger="admin"} 2`,
		`wirehost_plugin_changes_total{plugin="echo",result="refused",trigger="file"} 1`,
		`wirehost_plugin_changes_total{plugin="echo",result="busy",trigger="file"} 1`,
		`wirehost_plugin_changes_total{plugin="echo",result="unchanged",trigger="file"} 1`,
		`wirehost_plugin_changes_total{plugin="echo",result="active",trigger="signal"} 1`,
		`wirehost_plugin_moved_connections_total{plugin="echo",result="migrated"} 797`,
		`wirehost_plugin_moved_connections_total{plugin="echo",result="kept"} 4`,
		`wirehost_plugin_moved_connections_total{plugin="echo",result="dropped"} 3`,
		`wirehost_plugin_loads_total{change="load",result="done"} 1`,
		`wirehost_plugin_loads_total{change="load",result="refused"} 1`,
		`wirehost_plugin_loads_total{change="unload",result="done"} 1`,
		`wirehost_config_reloads_total{result="done",trigger="admin"} 1`,
		`wirehost_config_reloads_total{result="done",trigger="signal"} 1`,
		`go_goroutines `,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("found no %s", want)
		}
	}
	if strings.Contains(text, `"none"`) {
		t.Error("found a label of a plugin that is not loaded")
	}
	if t.Failed() {
		t.Log(text)
	}
}

// Names and units are as Prometheus's linter wants them, and no metric is read
// that is not described.
func TestMetricNames(t *testing.T) {
	m := NewMetrics(func() uint64 { return 0 })
	m.Changed("file", "echo", host.Outcome{}, nil)
	m.Configured("signal", host.Change{}, nil)
	m.loaded(nil)
	live := prometheus.NewPedanticRegistry()
	live.MustRegister(newCollector(newFake()))
	for _, g := range []prometheus.Gatherer{live, m.registry} {
		families, err := g.Gather()
		if err != nil {
			t.Error(err)
		}
		problems, err := promlint.NewWithMetricFamilies(families).Lint()
		if err != nil {
			t.Error(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// A host that has ended still says that it is not ready.
func TestMetricsAtTheEnd(t *testing.T) {
	f := newFake()
	f.err, f.ready = host.ErrNotRunning, false
	text := scrape(t, New(Options{Host: f}))
	if !strings.Contains(text, "\nwirehost_ready 0\n") || strings.Contains(text, "wirehost_plugin_up") {
		t.Errorf("found\n%s", text)
	}
}
