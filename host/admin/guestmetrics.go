package admin

import (
	"regexp"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/guest"
)

// collectGuests gives what plugins have recorded under names of their own: NAME is
// exported as PLUGIN_NAME, with a label that has the plugin's name as it is. So two
// plugins may come to one name, and stand in one family. There all metrics are of one
// kind: the first plugin's, of plugins as they are ordered. Others are left out.
func collectGuests(plugins []host.PluginInfo, to chan<- prometheus.Metric) {
	kinds := map[string]string{} // by exported name
	for _, p := range plugins {
		if p.State == host.StateUnloading { // another may have its name
			continue
		}
		prefix := metricPrefix(p.Name)
		for _, m := range p.Metrics {
			name := prefix + m.Name
			if kind, ok := kinds[name]; ok && kind != m.Kind {
				continue
			}
			kinds[name] = m.Kind
			to <- guestMetric(name, p.Name, m)
		}
	}
}

// guestHelp is the same of all: a family has one.
const guestHelp = "A metric of the plugin's own."

func guestMetric(name, plugin string, m guest.Metric) prometheus.Metric {
	desc := prometheus.NewDesc(name, guestHelp, []string{"plugin"}, nil)
	switch m.Kind {
	case "counter":
		return prometheus.MustNewConstMetric(desc, prometheus.CounterValue, m.Value, plugin)
	case "gauge":
		return prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, m.Value, plugin)
	}
	return histogram(desc, plugin, m.Counts, guest.MetricBounds(), m.Value)
}

var (
	unfit    = regexp.MustCompile(`[^a-zA-Z0-9_]`)                                   // never changed
	reserved = regexp.MustCompile(`^([0-9]|(wirehost|go|process|promhttp|plugin)_)`) // never changed
)

// metricPrefix is a plugin's name, made fit for Prometheus, with an underscore. Where that
// is how the server's own metrics begin, or no name can, plugin_ stands before it.
func metricPrefix(plugin string) string {
	prefix := unfit.ReplaceAllLiteralString(plugin, "_") + "_"
	if reserved.MatchString(prefix) {
		return "plugin_" + prefix
	}
	return prefix
}
