package admin

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/internal/build"
)

// scrapeTime is how long a scrape may wait for the loops: what Prometheus itself
// waits by default.
const scrapeTime = 10 * time.Second

// Metrics count changes, whoever triggers them; all else is read from the Host
// at each scrape. Its methods may be called from any goroutine.
type Metrics struct {
	registry *prometheus.Registry
	changes  *prometheus.CounterVec // plugin, trigger, result
	moved    *prometheus.CounterVec // plugin, result
	loads    *prometheus.CounterVec // change, result
	configs  *prometheus.CounterVec // trigger, result
	lasts    *prometheus.GaugeVec   // plugin: whether the last change went well
	lastsAt  *prometheus.GaugeVec   // plugin: when it was
	build    build.Info
	started  time.Time

	mu   sync.Mutex
	last reloadStatus // of the configuration
}

// reloadStatus is how the configuration was read last.
type reloadStatus struct {
	At   time.Time `json:"at"`
	Well bool      `json:"successful"`
	why  string    // not: for administrators alone
}

// NewMetrics makes counts of nothing yet. logLost tells how many lines of the log
// have been lost, ever, because nobody read them; any goroutine calls it. nil =
// there is no such metric.
func NewMetrics(logLost func() uint64) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		changes: counter("wirehost_plugin_changes_total",
			"Reloads and uses of plugins, by trigger (admin, file, signal) "+
				"and result (active, unchanged, refused, busy).",
			"plugin", "trigger", "result"),
		moved: counter("wirehost_plugin_moved_connections_total",
			"Connections of replaced versions, by result (migrated, kept, dropped).",
			"plugin", "result"),
		loads: counter("wirehost_plugin_loads_total",
			"Plugins loaded and unloaded at run time, by change (load, unload) and result (done, refused, busy).",
			"change", "result"),
		configs: counter("wirehost_config_reloads_total",
			"Reloads of the configuration, by trigger (admin, signal) and result (done, refused, busy).",
			"trigger", "result"),
		lasts: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "wirehost_plugin_last_change_successful",
			Help: "1 if the plugin's last reload or use went well, 0 if it was refused."}, []string{"plugin"}),
		lastsAt: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "wirehost_plugin_last_change_timestamp_seconds",
			Help: "When the plugin's last reload or use was over."}, []string{"plugin"}),
		build: build.Read(), started: time.Now(),
	}
	m.last = reloadStatus{At: m.started, Well: true} // a start that fails has no metrics
	m.registry.MustRegister(m.changes, m.moved, m.loads, m.configs, m.lasts, m.lastsAt,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.gauge("wirehost_build_info", "1, and what the program was built from.", prometheus.Labels{
		"version": m.build.Version, "commit": m.build.Commit, "go": m.build.Go, "abi": strconv.Itoa(m.build.ABI),
	}, func() float64 { return 1 })
	m.gauge("wirehost_config_last_reload_successful", "1 if the configuration was taken when it was read last.", nil,
		func() float64 { return up(m.lastReload().Well) })
	m.gauge("wirehost_config_last_reload_timestamp_seconds", "When the configuration was read last.", nil,
		func() float64 { return float64(m.lastReload().At.UnixMilli()) / 1e3 })
	if logLost != nil {
		m.Counter("wirehost_log_lost_lines_total", "Lines of the log that were lost: nobody read them.", logLost)
	}
	return m
}

// Counter adds a metric that counts what is not administration's own: value tells how many
// there have been, ever; any goroutine calls it. Once for each name.
func (m *Metrics) Counter(name, help string, value func() uint64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
		func() float64 { return float64(value()) }))
}

func (m *Metrics) gauge(name, help string, labels prometheus.Labels, value func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels},
		value))
}

func up(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func (m *Metrics) lastReload() reloadStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last
}

// Changed counts a reload or use of a plugin. A plugin that is not loaded is
// not counted: anybody can ask for any name.
func (m *Metrics) Changed(trigger, plugin string, out host.Outcome, err error) {
	result := "active"
	switch {
	case errors.Is(err, host.ErrUnknown), errors.Is(err, host.ErrNotRunning):
		return
	case err != nil:
		result = failure(err)
	case out.Unchanged:
		result = "unchanged"
	}
	m.changes.WithLabelValues(plugin, trigger, result).Inc()
	if result != "busy" {
		m.lasts.WithLabelValues(plugin).Set(up(err == nil))
		m.lastsAt.WithLabelValues(plugin).SetToCurrentTime()
	}
	m.outcome(plugin, out)
}

func (m *Metrics) outcome(plugin string, out host.Outcome) {
	kept := 0
	for _, n := range out.Kept {
		kept += n
	}
	for result, n := range map[string]int{"migrated": out.Migrated, "kept": kept, "dropped": out.Dropped} {
		m.moved.WithLabelValues(plugin, result).Add(float64(n))
	}
}

// loaded counts a load at run time.
func (m *Metrics) loaded(err error) { m.loads.WithLabelValues("load", done(err)).Inc() }

// unloaded counts an unload.
func (m *Metrics) unloaded(err error) { m.loads.WithLabelValues("unload", done(err)).Inc() }

// Configured counts a reload of the configuration, and what it did to plugins.
func (m *Metrics) Configured(trigger string, change host.Change, err error) {
	m.configs.WithLabelValues(trigger, done(err)).Inc()
	if done(err) != "busy" {
		why := change.Failed
		if err != nil {
			why = faults(err)
		}
		m.mu.Lock()
		m.last = reloadStatus{time.Now(), len(why) == 0, strings.Join(why, "; ")}
		m.mu.Unlock()
	}
	for _, out := range change.Plugins {
		if !out.Unchanged {
			m.Changed(trigger, out.Plugin, out, nil)
		}
	}
}

func done(err error) string {
	if err != nil {
		return failure(err)
	}
	return "done"
}

func failure(err error) string {
	if errors.Is(err, host.ErrChanging) {
		return "busy"
	}
	return "refused"
}

// serve answers scrapes, with what h tells too.
func (m *Metrics) serve(h Host) http.Handler {
	live := prometheus.NewRegistry()
	live.MustRegister(newCollector(h))
	return promhttp.HandlerFor(prometheus.Gatherers{m.registry, live}, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4, Timeout: scrapeTime,
	})
}
