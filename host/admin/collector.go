package admin

import (
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/reactor"
)

// collector reads a Host at each scrape.
type collector struct {
	h     Host
	descs map[string]*prometheus.Desc
}

// The metrics that are histograms.
const (
	callbackName = "wirehost_callback_duration_seconds"
	lagName      = "wirehost_loop_lag_seconds"
)

// metric is one of those that are read from the Host.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	labels     []string
}

const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
)

func metrics() []metric {
	loop, listener, plugin := []string{"loop"}, []string{"endpoint", "plugin"}, []string{"plugin"}
	return []metric{
		{"wirehost_ready", "1 if every listener is bound and every plugin active.", gauge, nil},
		{"wirehost_overloaded", "1 while the host sheds load.", gauge, nil},
		{"wirehost_overload_closed_total", "Idle connections that were closed to shed load.", counter, nil},
		{"wirehost_connections", "Open connections.", gauge, loop},
		{"wirehost_connections_opened_total", "Connections that were opened, both ways.", counter, loop},
		{"wirehost_connections_lost_total", "Connections that have ended, by reason.", counter,
			[]string{"loop", "reason"}},
		{"wirehost_received_bytes_total", "Bytes that sockets have received.", counter, loop},
		{"wirehost_sent_bytes_total", "Bytes that sockets have sent.", counter, loop},
		{"wirehost_queued_bytes", "Bytes that connections have to send.", gauge, loop},
		{"wirehost_loop_late_seconds", "For how long a loop has not answered; what only it can tell is of then.",
			gauge, loop},
		{"wirehost_listener_connections", "Open connections of a listener.", gauge, listener},
		{"wirehost_listener_accepted_total", "Connections that a listener has accepted.", counter, listener},
		{"wirehost_listener_refused_total", "Connections that a listener has refused, by reason.", counter,
			[]string{"endpoint", "plugin", "reason"}},
		{"wirehost_listener_held_total", "How often a listener has let clients wait, for new_per_second.", counter,
			listener},
		{"wirehost_listener_routed_total", "Connections that a listener's rules have given to a plugin.", counter,
			listener},
		{"wirehost_listener_handshake_failures_total", "TLS handshakes of a listener that have failed, by cause.",
			counter,
			[]string{"endpoint", "plugin", "cause"}},
		{"wirehost_listener_datagrams_received_total", "Datagrams that guests were told of.", counter, listener},
		{"wirehost_listener_datagrams_sent_total", "Datagrams that the system has taken.", counter, listener},
		{"wirehost_listener_datagram_batches_total", "Callbacks in which datagrams were received.", counter, listener},
		{"wirehost_listener_datagram_bytes_total", "Bytes of datagrams, by direction: in, out.", counter,
			[]string{"endpoint", "plugin", "direction"}},
		{"wirehost_listener_datagrams_dropped_total",
			"Datagrams that were dropped: overflow (of the receive buffer), " +
				"limit (datagrams_per_second), unsent.", counter, []string{"endpoint", "plugin", "reason"}},
		{"wirehost_certificate_loaded", "1 if a certificate is loaded; else handshakes that need it fail.", gauge,
			[]string{"cert"}},
		{"wirehost_certificate_not_after_seconds", "When a certificate expires, as Unix time.", gauge,
			[]string{"cert"}},
		{"wirehost_plugin_up", "1 if the plugin is active.", gauge, plugin},
		{"wirehost_plugin_connections", "Open connections of a plugin.", gauge, plugin},
		{"wirehost_plugin_instances", "Instances of a plugin.", gauge, plugin},
		{"wirehost_plugin_instances_paged_out", "Instances that are idle and written down.", gauge, plugin},
		{"wirehost_plugin_timers", "Delayed calls of a plugin.", gauge, plugin},
		{"wirehost_plugin_listeners", "Sockets that a plugin's instances listen on.", gauge, plugin},
		{"wirehost_plugin_versions", "Versions that are loaded, by state.", gauge, []string{"plugin", "state"}},
		{"wirehost_plugin_memory_bytes", "Linear memory of a plugin's instances.", gauge, plugin},
		{"wirehost_plugin_memory_growths_refused_total", "Growths of a linear memory over limits.memory.", counter,
			plugin},
		{"wirehost_plugin_traps_total", "Traps, by cause.", counter, []string{"plugin", "cause"}},
		{"wirehost_plugin_slow_callbacks_total", "Callbacks that took over 10 ms.", counter, plugin},
		{"wirehost_plugin_metrics", "Metrics of the plugin's own that it has defined.", gauge, plugin},
		{"wirehost_plugin_metrics_refused_total", "Definitions and values of its own metrics that were refused.",
			counter, plugin},
		{"wirehost_plugin_log_cut_bytes_total", "Bytes of a plugin's log that were cut: over limits.log_bytes.",
			counter, plugin},
	}
}

func newCollector(h Host) *collector {
	c := &collector{h: h, descs: map[string]*prometheus.Desc{}}
	c.descs[callbackName] = prometheus.NewDesc(callbackName, "How long callbacks of a plugin take.", []string{"plugin"},
		nil)
	c.descs[lagName] = prometheus.NewDesc(lagName,
		"How long a loop's turns take: for so long a ready connection may have waited.", []string{"loop"}, nil)
	for _, m := range metrics() {
		c.descs[m.name] = prometheus.NewDesc(m.name, m.help, m.labels, nil)
	}
	return c
}

// Describe names nothing: guests define metrics as they run.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// sample is one value.
type sample struct {
	name   string
	value  float64
	labels []string
}

// Collect reads the Host. What is not running has no values.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	kinds := map[string]prometheus.ValueType{}
	for _, m := range metrics() {
		kinds[m.name] = m.kind
	}
	overloaded, closed := c.h.Overload()
	list := []sample{
		{"wirehost_ready", up(c.h.Ready()), nil},
		{"wirehost_overloaded", up(overloaded), nil},
		{"wirehost_overload_closed_total", float64(closed), nil},
	}
	if loops, err := c.h.LoopInfos(); err == nil {
		for n, l := range loops {
			list = append(list, loopSamples(strconv.Itoa(n), l)...)
			to <- c.histogram(lagName, strconv.Itoa(n), l.Turns[:], host.TurnBounds(), l.TurnTime.Seconds())
		}
	}
	for _, l := range c.h.ListenerInfos() {
		labels := []string{l.Endpoint, l.Plugin}
		if l.Datagrams != nil {
			list = append(list, datagramSamples(l.Datagrams, labels)...)
			continue
		}
		list = append(list,
			sample{"wirehost_listener_connections", float64(l.Connections), labels},
			sample{"wirehost_listener_accepted_total", float64(l.Accepted), labels},
			sample{"wirehost_listener_held_total", float64(l.Held), labels})
		for reason, n := range l.RefusedBy {
			list = append(list, sample{"wirehost_listener_refused_total", float64(n),
				[]string{l.Endpoint, l.Plugin, reason}})
		}
		for plugin, n := range l.Routed {
			list = append(list, sample{"wirehost_listener_routed_total", float64(n), []string{l.Endpoint, plugin}})
		}
		for cause, n := range l.Handshakes {
			list = append(list, sample{"wirehost_listener_handshake_failures_total", float64(n),
				[]string{l.Endpoint, l.Plugin, cause}})
		}
	}
	list = append(list, certificateSamples(c.h.Certificates())...)
	if plugins, err := c.h.Plugins(); err == nil {
		collectGuests(plugins, to)
		for _, p := range plugins {
			if p.State == host.StateUnloading { // another may have its name
				continue
			}
			list = append(list, sample{"wirehost_plugin_up", up(p.State == "active"), []string{p.Name}})
			list = append(list, pluginSamples(p)...)
			to <- c.histogram(callbackName, p.Name, p.Callbacks.Counts[:], host.CallbackBounds(), p.Callbacks.Sum)
		}
	}
	for _, s := range list {
		to <- prometheus.MustNewConstMetric(c.descs[s.name], kinds[s.name], s.value, s.labels...)
	}
}

// histogram is one of those: counts are by bounds, and the last above them.
func (c *collector) histogram(name, label string, counts []uint64, bounds []float64, sum float64) prometheus.Metric {
	return histogram(c.descs[name], label, counts, bounds, sum)
}

func histogram(d *prometheus.Desc, label string, counts []uint64, bounds []float64, sum float64) prometheus.Metric {
	var count uint64
	buckets := map[float64]uint64{}
	for n, in := range counts {
		count += in
		if n < len(bounds) { // the last is +Inf
			buckets[bounds[n]] = count
		}
	}
	return prometheus.MustNewConstHistogram(d, count, sum, buckets, label)
}

func loopSamples(loop string, l host.LoopInfo) []sample {
	labels := []string{loop}
	list := []sample{
		{"wirehost_connections", float64(l.Connections), labels},
		{"wirehost_connections_opened_total", float64(l.Opened), labels},
		{"wirehost_received_bytes_total", float64(l.BytesIn), labels},
		{"wirehost_sent_bytes_total", float64(l.BytesOut), labels},
		{"wirehost_queued_bytes", float64(l.Queued), labels},
		{"wirehost_loop_late_seconds", l.Late.Seconds(), labels},
	}
	for reason, n := range l.LostBy {
		list = append(list, sample{"wirehost_connections_lost_total", float64(n),
			[]string{loop, reactor.Reason(reason).String()}})
	}
	return list
}

func pluginSamples(p host.PluginInfo) []sample {
	labels := []string{p.Name}
	list := []sample{
		{"wirehost_plugin_connections", float64(p.Connections), labels},
		{"wirehost_plugin_instances", float64(p.Instances), labels},
		{"wirehost_plugin_instances_paged_out", float64(p.PagedOut), labels},
		{"wirehost_plugin_timers", float64(p.Timers), labels},
		{"wirehost_plugin_listeners", float64(p.Listeners), labels},
		{"wirehost_plugin_memory_bytes", float64(p.Memory), labels},
		{"wirehost_plugin_memory_growths_refused_total", float64(p.Growths), labels},
		{"wirehost_plugin_slow_callbacks_total", float64(p.Callbacks.Slow), labels},
		{"wirehost_plugin_log_cut_bytes_total", float64(p.Cut), labels},
		{"wirehost_plugin_metrics_refused_total", float64(p.Unrecorded), labels},
		{"wirehost_plugin_metrics", float64(len(p.Metrics)), labels},
	}
	versions := map[host.State]int{host.StateLoading: 0, host.StateValidated: 0, host.StateActive: 0,
		host.StateDraining: 0, host.StateStandby: 0}
	for _, v := range p.Versions {
		versions[v.State]++
	}
	for state, n := range versions {
		list = append(list, sample{"wirehost_plugin_versions", float64(n), []string{p.Name, string(state)}})
	}
	for cause, n := range p.Traps {
		list = append(list, sample{"wirehost_plugin_traps_total", float64(n), []string{p.Name, cause}})
	}
	return list
}

// certificateSamples are by file: one that two keys go with is one.
func certificateSamples(certificates []host.CertificateInfo) []sample {
	var list []sample
	seen := map[string]bool{}
	for _, in := range certificates {
		if seen[in.Cert] {
			continue
		}
		seen[in.Cert] = true
		labels := []string{in.Cert}
		list = append(list, sample{"wirehost_certificate_loaded", up(in.Loaded), labels})
		if in.NotAfter != nil {
			list = append(list, sample{"wirehost_certificate_not_after_seconds", float64(in.NotAfter.Unix()), labels})
		}
	}
	return list
}

// datagramSamples are those of a listener for datagrams.
func datagramSamples(d *host.DatagramInfo, labels []string) []sample {
	with := func(label string) []string { return append(slices.Clone(labels), label) }
	return []sample{
		{"wirehost_listener_datagrams_received_total", float64(d.Received), labels},
		{"wirehost_listener_datagrams_sent_total", float64(d.Sent), labels},
		{"wirehost_listener_datagram_batches_total", float64(d.Batches), labels},
		{"wirehost_listener_datagram_bytes_total", float64(d.BytesIn), with("in")},
		{"wirehost_listener_datagram_bytes_total", float64(d.BytesOut), with("out")},
		{"wirehost_listener_datagrams_dropped_total", float64(d.Overflowed), with("overflow")},
		{"wirehost_listener_datagrams_dropped_total", float64(d.Limited), with("limit")},
		{"wirehost_listener_datagrams_dropped_total", float64(d.Unsent), with("unsent")},
	}
}
