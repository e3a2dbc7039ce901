package admin

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/guest"
)

func TestMetricPrefix(t *testing.T) {
	for plugin, want := range map[string]string{
		"echo": "echo_", "chat-room": "chat_room_", "a.b": "a_b_", "9p": "plugin_9p_", "gopher": "gopher_",
		"wirehost": "plugin_wirehost_", "wirehost-plugin": "plugin_wirehost_plugin_", "go": "plugin_go_",
		"process": "plugin_process_", "promhttp": "plugin_promhttp_", "plugin": "plugin_plugin_",
	} {
		if got := metricPrefix(plugin); got != want {
			t.Errorf("%s: found %s, wanted %s", plugin, got, want)
		}
	}
}

// asCollector has a set of plugins collected.
type asCollector []host.PluginInfo

func (asCollector) Describe(chan<- *prometheus.Desc)      {}
func (c asCollector) Collect(to chan<- prometheus.Metric) { collectGuests(c, to) }

// TestGuestMetrics: whatever names plugins choose, theirs don't meet the server's, and a
// scrape has no fault.
func TestGuestMetrics(t *testing.T) {
	counter := func(name string, v float64) guest.Metric { return guest.Metric{Name: name, Kind: "counter", Value: v} }
	gauge := func(name string, v float64) guest.Metric { return guest.Metric{Name: name, Kind: "gauge", Value: v} }
	counts := make([]uint64, len(guest.MetricBounds())+1)
	counts[0], counts[8], counts[21] = 1, 2, 3
	plugins := []host.PluginInfo{
		{Name: "a", Metrics: []guest.Metric{counter("b_c", 1)}},
		{Name: "a-b", Metrics: []guest.Metric{counter("c", 2), gauge("d", 3)}},
		{Name: "a.b", Metrics: []guest.Metric{gauge("c", 4), counter("d", 5), gauge("e", 6)}},
		{Name: "go", Metrics: []guest.Metric{gauge("goroutines", 7)}},
		{Name: "old", State: host.StateUnloading, Metrics: []guest.Metric{gauge("x", 8)}},
		{Name: "wirehost", Metrics: []guest.Metric{gauge("ready", 9), {Name: "h", Kind: "histogram", Value: 10,
			Counts: counts}}},
	}
	all := prometheus.NewPedanticRegistry()
	all.MustRegister(asCollector(plugins), newCollector(newFake()))
	families, err := prometheus.Gatherers{all, NewMetrics(nil).registry}.Gather()
	if err != nil {
		t.Fatal(err)
	}
	own := map[string]bool{}
	for _, f := range families {
		own[f.GetName()] = f.GetHelp() == guestHelp
	}
	if own["wirehost_ready"] || own["go_goroutines"] || !own["plugin_wirehost_ready"] || !own["plugin_go_goroutines"] {
		t.Errorf("found the families %v", own)
	}
	head := func(name, kind string) string {
		return "# HELP " + name + " " + guestHelp + "\n# TYPE " + name + " " + kind
	}
	want := strings.Join([]string{
		head("a_b_c", "counter"), `a_b_c{plugin="a"} 1`, `a_b_c{plugin="a-b"} 2`,
		head("a_b_d", "gauge"), `a_b_d{plugin="a-b"} 3`,
		head("a_b_e", "gauge"), `a_b_e{plugin="a.b"} 6`, "",
	}, "\n")
	three := prometheus.NewRegistry()
	three.MustRegister(asCollector(plugins[:3]))
	r := httptest.NewRecorder()
	promhttp.HandlerFor(three, promhttp.HandlerOpts{}).ServeHTTP(r, httptest.NewRequest("GET", "/", nil))
	if got := r.Body.String(); got != want {
		t.Errorf("found\n%s, wanted\n%s", got, want)
	}
	for _, f := range families {
		if f.GetName() != "plugin_wirehost_h" {
			continue
		}
		h := f.GetMetric()[0].GetHistogram()
		if h.GetSampleCount() != 6 || h.GetSampleSum() != 10 || len(h.GetBucket()) != 21 ||
			h.GetBucket()[8].GetCumulativeCount() != 3 || h.GetBucket()[8].GetUpperBound() != 1 {
			t.Errorf("found the histogram %v", h)
		}
	}
}
