package guest

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero/api"

	"github.com/wirehost/wirehost/abi"
)

// defineMetric and record are host calls.
func (i *Instance) defineMetric(kind int32, name string) int32 {
	i.mem.Write(0, []byte(name))
	stack := []uint64{api.EncodeI32(kind), 0, uint64(len(name))}
	hostCalls()["metrics.define"](i, stack)
	return api.DecodeI32(stack[0])
}

func (i *Instance) record(id int32, v float64) int32 {
	stack := []uint64{api.EncodeI32(id), api.EncodeF64(v)}
	hostCalls()["metrics.record"](i, stack)
	return api.DecodeI32(stack[0])
}

func found(a *Account) string {
	var list []string
	for _, m := range a.Metrics() {
		text := fmt.Sprintf("%s %s %v", m.Kind, m.Name, m.Value)
		for n, c := range m.Counts {
			if c > 0 {
				text += fmt.Sprintf(" [%d]=%d", n, c)
			}
		}
		list = append(list, text)
	}
	return strings.Join(list, ", ")
}

func TestMetricStatuses(t *testing.T) {
	i := standing(t, "echo", func(s *Settings) { s.Limits.Metrics = 5 }).instance(t)
	for _, c := range []struct {
		kind int32
		name string
		want int32
	}{
		{1, "a_total", 1}, {2, "b", 2}, {3, "c", 3}, {1, "a_total", 1}, {2, "a_total", -5}, {3, "b", -5},
		{0, "d", -2}, {4, "d", -2}, {-1, "d", -2}, {1, "", -2}, {1, "1d", -2}, {1, "d-e", -2}, {1, "d e", -2},
		{1, "d\n", -2}, {1, "d{x=\"1\"}", -2}, {1, "é", -2}, {1, "d_bucket", -2}, {2, "d_count", -2}, {1, "d_sum", -2},
		{1, strings.Repeat("d", abi.MaxMetricName+1), -2}, {1, strings.Repeat("d", abi.MaxMetricName), 4},
		{1, "_:9", 5}, {1, "more", -3}, {1, "a_total", 1},
	} {
		if got := i.defineMetric(c.kind, c.name); got != c.want {
			t.Errorf("define(%d, %q): found %d, wanted %d", c.kind, c.name, got, c.want)
		}
	}
	before := i.account.Counts().MetricsRefused
	for _, c := range []struct {
		id   int32
		v    float64
		want int32
	}{
		{0, 1, -2}, {6, 1, -2}, {-1, 1, -2}, {math.MinInt32, 1, -2},
		{1, 2, 0}, {1, 0.5, 0}, {1, -1, -2}, {1, math.NaN(), -2}, {1, math.Inf(1), -2},
		{2, 7, 0}, {2, -3, 0}, {2, math.NaN(), -2}, {2, math.Inf(-1), -2},
		{3, 0.0001, 0}, {3, 3, 0}, {3, -5, 0}, {3, 1e6, 0}, {3, 2e6, 0}, {3, math.NaN(), -2},
		{4, math.MaxFloat64, 0}, {4, math.MaxFloat64, 0}, // JSON and Prometheus have no more
	} {
		if got := i.record(c.id, c.v); got != c.want {
			t.Errorf("record(%d, %v): found %d, wanted %d", c.id, c.v, got, c.want)
		}
	}
	if n := i.account.Counts().MetricsRefused - before; n != 10 {
		t.Errorf("found %d values refused, wanted 10", n)
	}
	want := "counter _:9 0, counter a_total 2.5, gauge b -3, histogram c 2.9999980001e+06 [0]=2 [9]=1 [20]=1 [21]=1, " +
		"counter " + strings.Repeat("d", abi.MaxMetricName) + " 1.7976931348623157e+308"
	if got := found(i.account); got != want {
		t.Errorf("found\n%s, wanted\n%s", got, want)
	}
}

// TestRecordIsCheap: a value takes no memory, whatever the kind.
func TestRecordIsCheap(t *testing.T) {
	i := standing(t, "echo").instance(t)
	for kind := int32(1); kind <= 3; kind++ {
		i.defineMetric(kind, fmt.Sprintf("m%d", kind))
	}
	list, stack := i.guest.metrics.all(), make([]uint64, 2)
	for id := range list {
		if n := testing.AllocsPerRun(100, func() {
			stack[0], stack[1] = uint64(id+1), api.EncodeF64(3)
			metricsRecord(i, stack)
		}); n > 0 {
			t.Errorf("%s: found %v allocations a value", list[id].name, n)
		}
	}
}

// TestMetricsOfVersions: versions have ids of their own for what they share; a metric goes
// on where name and kind are the same, and ends with the last version that has it.
func TestMetricsOfVersions(t *testing.T) {
	s := standing(t, "echo", func(s *Settings) { s.Limits.Metrics = 3 })
	old := s.instance(t)
	old.defineMetric(1, "kept_total")
	old.defineMetric(1, "kind")
	old.defineMetric(1, "gone_total")
	old.record(1, 4)
	next := standing(t, "echo", func(n *Settings) { n.Account, n.Limits.Metrics = old.account, 3 })
	i := next.instance(t)
	for _, c := range []struct {
		kind int32
		name string
		want int32
	}{{2, "kind", -5}, {2, "new", -3}, {1, "kept_total", 1}} {
		if got := i.defineMetric(c.kind, c.name); got != c.want {
			t.Errorf("define(%d, %q): found %d, wanted %d", c.kind, c.name, got, c.want)
		}
	}
	if got := i.record(2, 1); got != int32(abi.EINVAL) {
		t.Errorf("an id of another version: found %d, wanted -2", got)
	}
	i.record(1, 1)
	old.record(1, 1)
	s.Forget()
	s.Forget()
	if got, want := found(i.account), "counter kept_total 6"; got != want {
		t.Errorf("found %s, wanted %s", got, want)
	}
	if got := i.defineMetric(2, "kind"); got != 2 {
		t.Errorf("a name that no version has any more: found %d, wanted 2", got)
	}
}
