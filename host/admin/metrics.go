package admin

import (
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/wirehost/wirehost/host"
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
	}
	m.registry.MustRegister(m.changes, m.moved, m.loads, m.configs,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if logLost != nil {
		m.registry.MustRegister(prometheus.NewCounterFunc(
			prometheus.CounterOpts{Name: "wirehost_log_lost_lines_total",
				Help: "Lines of the log that were lost: nobody read them."},
			func() float64 { return float64(logLost()) }))
	}
	return m
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
