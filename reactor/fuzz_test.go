package reactor_test

import (
	"testing"

	"github.com/wirehost/wirehost/internal/simulator"
)

// FuzzSchedule has the fuzzer choose all that TestSimulate draws from a seed:
// the faults, what the protocols and the peers do, and in what order.
func FuzzSchedule(f *testing.F) {
	f.Add([]byte{})
	for seed := range 8 { // long enough for a schedule, and not too much alike
		data := make([]byte, 1500)
		x := uint32(seed)*2654435761 + 12345
		for i := range data {
			x = x*1664525 + 1013904223
			data[i] = byte(x >> 24)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := simulator.SimulateBytes(data, simulator.Options{}); err != nil {
			t.Error(err)
		}
	})
}
