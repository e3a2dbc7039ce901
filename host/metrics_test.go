package host

import (
	"context"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// recorded is what the plugin's own counters and gauges have.
func (v *virtual) recorded(t *testing.T) map[string]float64 {
	t.Helper()
	info, err := v.Plugin("guest")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, m := range info.Metrics {
		values[m.Name] = m.Value
	}
	return values
}

// TestMetricsGoOn: all instances of a plugin record into the same metrics, and a reload,
// of another module too, does not begin them anew.
func TestMetricsGoOn(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			v := serveVirtual(t, configuration(config.Plugin{Module: "testdata/metrics.wasm", Isolation: isolation,
				Drain: time.Second}))
			say := func(text string) {
				c := v.dial(t)
				settle(v.Host, v.sys)
				send(t, c, text)
				settle(v.Host, v.sys)
				c.Close()
				settle(v.Host, v.sys)
			}
			say("four")
			say("sixsix")
			want := func(bytes, last float64) {
				t.Helper()
				got := v.recorded(t)
				if got["bytes_total"] != bytes || got["last_size"] != last || got["starts_total"] < 1 {
					t.Errorf("found %v, wanted %v bytes, and %v the last time", got, bytes, last)
				}
			}
			want(10, 6)
			if _, err := v.ReloadPlugin(context.Background(), "guest", true); err != nil {
				t.Fatal(err)
			}
			settle(v.Host, v.sys)
			want(10, 6)
			say("x")
			want(11, 1)
		})
	}
}

// TestMetricFlood: what is over limits.metrics is refused, counted, and told once a second at
// most, whoever asks how often.
func TestMetricFlood(t *testing.T) {
	p := config.Plugin{Module: "testdata/metrics.wasm"}
	p.Limits.Metrics = 2
	v := serveVirtual(t, configuration(p))
	settle(v.Host, v.sys)
	if got := v.recorded(t); len(got) != 2 {
		t.Errorf("found the metrics %v, wanted two", got)
	}
	if info, err := v.Plugin("guest"); err != nil || info.Unrecorded < 2 {
		t.Errorf("found %d refused (%v), wanted 2", info.Unrecorded, err)
	}
	const message = "a metric of the plugin's own was refused"
	if lines := v.logs.all(message); len(lines) == 0 || lines[0]["status"] != "-3 E2BIG (over a limit)" ||
		lines[0]["why"] != "over limits.metrics" {
		t.Errorf("found the lines %v", lines)
	}
}
