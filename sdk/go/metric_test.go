package wirehost_test

import (
	"errors"
	"fmt"
	"math"
	"testing"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

// measuring defines metrics when it starts.
type measuring struct {
	wirehost.FactoryFunc
	start func(*wirehost.Reactor) error
}

func (f measuring) StartFactory(r *wirehost.Reactor) error { return f.start(r) }

func TestMetric(t *testing.T) {
	s, err := sdktest.Start(measuring{start: func(r *wirehost.Reactor) error {
		var all [3]wirehost.Metric
		for n := range all {
			var err error
			if all[n], err = r.Metric(wirehost.Counter+wirehost.MetricKind(n), fmt.Sprintf("m%d", n)); err != nil {
				return err
			}
			for _, v := range []float64{3, 2} {
				if err := all[n].Record(v); err != nil {
					return err
				}
			}
			if err := all[n].Record(math.NaN()); !errors.Is(err, wirehost.ErrInvalid) {
				t.Errorf("m%d, NaN: found %v", n, err)
			}
		}
		if err := all[0].Record(-1); !errors.Is(err, wirehost.ErrInvalid) {
			t.Errorf("a counter that falls: found %v", err)
		}
		if err := (wirehost.Metric{}).Record(1); !errors.Is(err, wirehost.ErrInvalid) {
			t.Errorf("the zero Metric: found %v", err)
		}
		if again, err := r.Metric(wirehost.Counter, "m0"); again != all[0] || err != nil {
			t.Errorf("defined again: found %v, %v", again, err)
		}
		_, err := r.Metric(wirehost.Gauge, "m0")
		if !errors.Is(err, wirehost.ErrBusy) {
			t.Errorf("another kind: found %v", err)
		}
		if _, err = r.Metric(wirehost.Gauge, "no name"); !errors.Is(err, wirehost.ErrInvalid) {
			t.Errorf("no name: found %v", err)
		}
		return nil
	}}, sdktest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{"m0": 5, "m1": 2, "m2": 5} {
		if got, ok := s.Metric(name); got != want || !ok {
			t.Errorf("%s: found %v, %t, wanted %v", name, got, ok, want)
		}
	}
	if _, ok := s.Metric("other"); ok {
		t.Error("found a metric that nobody has defined")
	}
}
