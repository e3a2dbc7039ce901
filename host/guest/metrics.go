package guest

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tetratelabs/wazero/api"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/host/guest/internal/compile"
)

// Metric is what guests of a name have recorded under one of their own metrics' names.
type Metric struct {
	Name   string   // as the guest gave it
	Kind   string   // of abi.MetricKinds
	Value  float64  // a counter's, a gauge's, or the sum of what a histogram has observed; finite
	Counts []uint64 // of a histogram, by MetricBounds; the last is of what is above them
}

// MetricBounds are the upper bounds of the buckets of guests' histograms: 1 and 5 of each
// decade, from 0.0001 to 1,000,000, for times in seconds and for sizes.
func MetricBounds() []float64 {
	return []float64{1e-4, 5e-4, 1e-3, 5e-3, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 50, 100, 500, 1e3, 5e3, 1e4, 5e4, 1e5, 5e5,
		1e6}
}

// metrics are an account's. They outlive versions: one stands as long as a guest is
// there that has defined it. Any goroutine.
type metrics struct {
	mu      sync.Mutex
	all     map[string]*series
	refused atomic.Uint64 // definitions and values, ever
}

// series is one metric. Any goroutine records; none waits for another.
type series struct {
	name   string
	kind   int32
	guests int             // that have defined it; under metrics.mu
	value  atomic.Uint64   // a float64's bits
	bounds []float64       // of a histogram
	counts []atomic.Uint64 // of a histogram: one more
}

// defined are a guest's metrics: an id is one more than the place in list, in all of its
// instances, whichever has defined it.
type defined struct {
	ids  map[string]int32 // under the account's metrics.mu
	list atomic.Pointer[[]*series]
}

// all are the metrics, in the order of their ids. They are not to be changed.
func (d *defined) all() []*series {
	if list := d.list.Load(); list != nil {
		return *list
	}
	return nil
}

// Metrics tells what guests have recorded, by name.
func (a *Account) Metrics() []Metric {
	a.metrics.mu.Lock()
	defer a.metrics.mu.Unlock()
	list := make([]Metric, 0, len(a.metrics.all))
	for _, s := range a.metrics.all {
		list = append(list, s.read())
	}
	slices.SortFunc(list, func(a, b Metric) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func (s *series) read() Metric {
	m := Metric{Name: s.name, Kind: abi.MetricKinds()[s.kind-abi.MetricCounter].Name,
		Value: math.Float64frombits(s.value.Load())}
	for n := range s.counts {
		m.Counts = append(m.Counts, s.counts[n].Load())
	}
	return m
}

// define gives the id of a metric, or why there is none.
func (g *Guest) define(kind int32, name []byte) (int32, abi.Status) {
	if kind < abi.MetricCounter || kind > abi.MetricHistogram || !isMetricName(name) {
		return 0, abi.EINVAL
	}
	m := &g.account.metrics
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.all[string(name)]
	switch id := g.metrics.ids[string(name)]; {
	case s != nil && s.kind != kind:
		return 0, abi.EBUSY
	case id > 0:
		return id, abi.StatusOK
	case s == nil && g.limits.Metrics > 0 && len(m.all) >= g.limits.Metrics:
		return 0, abi.E2BIG
	case s == nil:
		s = m.add(kind, string(name))
	}
	s.guests++
	return g.metrics.add(s), abi.StatusOK
}

// add makes a metric. m.mu is held.
func (m *metrics) add(kind int32, name string) *series {
	s := &series{name: name, kind: kind}
	if kind == abi.MetricHistogram {
		s.bounds = MetricBounds()
		s.counts = make([]atomic.Uint64, len(s.bounds)+1)
	}
	if m.all == nil {
		m.all = map[string]*series{}
	}
	m.all[name] = s
	return s
}

// add gives a metric its id. The account's metrics.mu is held.
func (d *defined) add(s *series) int32 {
	list := append(d.all(), s) // whoever reads the old one reads no further than its end
	d.list.Store(&list)
	if d.ids == nil {
		d.ids = map[string]int32{}
	}
	id := int32(len(list))
	d.ids[s.name] = id
	return id
}

// defineAgain gives metrics the ids that they have in an image: one each, from 1 up. false
// says that this can't be, and that the image is of no use.
func (g *Guest) defineAgain(list []compile.Metric) bool {
	for n, m := range list {
		if id, _ := g.define(m.Kind, []byte(m.Name)); id != int32(n+1) {
			return false
		}
	}
	return true
}

// Forget gives back what the guest has of its account: its metrics, of which those end that
// no other guest has defined. No instance of it may be in use. Twice is as good as once.
func (g *Guest) Forget() {
	m := &g.account.metrics
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range g.metrics.all() {
		if s.guests--; s.guests == 0 {
			delete(m.all, s.name)
		}
	}
	g.metrics.ids = nil
	g.metrics.list.Store(nil)
}

// isMetricName tells whether Prometheus takes a name, and whether it is none that a
// histogram's own series might have.
func isMetricName(name []byte) bool {
	if len(name) == 0 || len(name) > abi.MaxMetricName {
		return false
	}
	for n, c := range name {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == ':'
		if !letter && (n == 0 || c < '0' || c > '9') {
			return false
		}
	}
	for _, end := range []string{"_bucket", "_count", "_sum"} {
		if strings.HasSuffix(string(name), end) {
			return false
		}
	}
	return true
}

// record takes a value, and tells whether it did: a counter never falls, and what is not
// finite would stay for ever.
func (s *series) record(v float64) bool {
	if math.IsNaN(v) || math.IsInf(v, 0) || s.kind == abi.MetricCounter && v < 0 {
		return false
	}
	switch s.kind {
	case abi.MetricGauge:
		s.value.Store(math.Float64bits(v))
		return true
	case abi.MetricHistogram:
		n, _ := slices.BinarySearch(s.bounds, v)
		s.counts[n].Add(1)
	}
	for {
		old := s.value.Load()
		sum := min(max(math.Float64frombits(old)+v, -math.MaxFloat64), math.MaxFloat64)
		if s.value.CompareAndSwap(old, math.Float64bits(sum)) {
			return true
		}
	}
}

func metricsDefine(i *Instance, stack []uint64) {
	name := view(i, "metrics.define", uint32(stack[1]), uint32(stack[2]))
	i.guard.Check()
	id, status := i.guest.define(api.DecodeI32(stack[0]), name)
	if status == abi.StatusOK {
		stack[0] = api.EncodeI32(id)
		return
	}
	i.unmeasured = true
	i.account.metrics.refused.Add(1)
	i.account.warn(metricNote, "version", i.guest.name, "metric",
		fmt.Sprintf("%.*q", abi.MaxMetricName, name), "status", status.String(), "why", notDefined[status])
	fail(stack, status)
}

// metricNote is the line of a metric that a guest does not get.
const metricNote = "a metric of the plugin's own was refused"

// notDefined is why, by status.
var notDefined = map[abi.Status]string{ // never changed
	abi.EINVAL: "it is of no kind, or has no name that Prometheus takes",
	abi.EBUSY:  "the name stands for a metric of another kind",
	abi.E2BIG:  "over limits.metrics",
}

func metricsRecord(i *Instance, stack []uint64) {
	list := i.guest.metrics.all()
	id := uint32(stack[0])
	if id-1 >= uint32(len(list)) || !list[id-1].record(api.DecodeF64(stack[1])) {
		i.account.metrics.refused.Add(1)
		fail(stack, abi.EINVAL)
		return
	}
	stack[0] = 0
}
