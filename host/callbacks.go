package host

import "time"

// CallbackBounds are the upper bounds, in seconds, of CallbackStats.Counts but
// for the last, which has none.
func CallbackBounds() []float64 {
	list := make([]float64, len(callbackBounds))
	for n, b := range callbackBounds {
		list[n] = b.Seconds()
	}
	return list
}

// callbackBounds: a callback under the first was over before the meter looked
// at the clock. Reading the clock twice for each callback would cost as much as
// half of a small one.
var callbackBounds = [...]time.Duration{
	10 * time.Microsecond, 100 * time.Microsecond, time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond, time.Second,
}

// CallbackStats is a histogram of how long callbacks took, by the meter's clock.
type CallbackStats struct {
	Counts [len(callbackBounds) + 1]uint64 `json:"counts"`      // by CallbackBounds
	Sum    float64                         `json:"sum_seconds"` // of those over the first bound
	Slow   uint64                          `json:"slow"`        // over 10 ms
}

// callbacks are a plugin's counters on one loop, which alone writes them.
type callbacks struct {
	counts [len(callbackBounds) + 1]uint64
	sum    time.Duration
}

// add counts a callback that took d; 0 is one that was over before the meter
// looked.
func (c *callbacks) add(d time.Duration) {
	if d == 0 {
		c.counts[0]++
		return
	}
	n := 0
	for n < len(callbackBounds) && d > callbackBounds[n] {
		n++
	}
	c.counts[n]++
	c.sum += d
}

func (s *CallbackStats) add(c *callbacks) {
	for n, count := range c.counts {
		s.Counts[n] += count
		if n > 0 && callbackBounds[n-1] >= 10*time.Millisecond {
			s.Slow += count
		}
	}
	s.Sum += c.sum.Seconds()
}
