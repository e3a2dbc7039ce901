package guest

import "time"

// bounds: a callback under the first was over before the meter looked at the clock.
// Reading the clock twice for each callback would cost as much as half of a small one.
var bounds = [...]time.Duration{
	10 * time.Microsecond, 100 * time.Microsecond, time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond,
	time.Second,
}

// CallbackBounds are the upper bounds of Callbacks.Counts but for the last, which has
// none.
func CallbackBounds() []time.Duration { return bounds[:len(bounds):len(bounds)] }

// Callbacks is a histogram of how long callbacks took, by the meter's clock. One event
// loop writes and reads it.
type Callbacks struct {
	Counts [len(bounds) + 1]uint64 // by CallbackBounds
	Sum    time.Duration           // of those over the first bound
}

// add counts a callback that took d; 0 is one that was over before the meter
// looked.
func (c *Callbacks) add(d time.Duration) {
	if d == 0 {
		c.Counts[0]++
		return
	}
	n := 0
	for n < len(bounds) && d > bounds[n] {
		n++
	}
	c.Counts[n]++
	c.Sum += d
}
