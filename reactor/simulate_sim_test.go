package reactor_test

import (
	"bytes"
	"flag"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/simulator"
)

var (
	simSeed  = flag.Uint64("seed", 0, "TestSimulate: run this seed alone, and trace it")
	simSeeds = flag.Int("seeds", defaultSeeds, "TestSimulate: how many seeds")
	simFirst = flag.Uint64("first", 1, "TestSimulate: the first of them")
	simProcs = flag.Int("procs", runtime.GOMAXPROCS(0), "TestSimulate: goroutines")
)

// TestSimulate runs the real event loops over a simulated system with faults at
// every call. A seed that fails runs again with -seed.
func TestSimulate(t *testing.T) {
	if *simSeed != 0 {
		var trace bytes.Buffer
		err := simulator.Simulate(*simSeed, simulator.Options{Trace: &trace})
		t.Log("\n" + trace.String())
		if err != nil {
			t.Error(err)
		}
		return
	}
	start := time.Now()
	var next, failed atomic.Int64
	var all sync.WaitGroup
	for range *simProcs {
		all.Go(func() {
			for failed.Load() < 5 {
				k := next.Add(1)
				if k > int64(*simSeeds) {
					return
				}
				seed := *simFirst + uint64(k) - 1
				if err := simulator.Simulate(seed, simulator.Options{}); err != nil {
					failed.Add(1)
					t.Errorf("seed %d: %v\nrun it again, with a trace: go test ./reactor -run 'TestSimulate$' -v "+
						"-seed %d",
						seed, err, seed)
				}
				if k%100_000 == 0 {
					t.Logf("%d seeds in %v", k, time.Since(start))
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d seeds in %v", *simSeeds, time.Since(start))
}

// TestSimulateDatagrams is TestSimulate for datagram sockets.
func TestSimulateDatagrams(t *testing.T) {
	if *simSeed != 0 {
		if err := simulator.SimulateDatagrams(*simSeed); err != nil {
			t.Error(err)
		}
		return
	}
	failed := 0
	for seed := *simFirst; seed < *simFirst+uint64(*simSeeds) && failed < 5; seed++ {
		if err := simulator.SimulateDatagrams(seed); err != nil {
			failed++
			t.Errorf("seed %d: %v\nrun it again: go test ./reactor -run SimulateDatagrams -seed %d", seed, err, seed)
		}
	}
}

// TestSimulateTLS is TestSimulate for TLS behind its handshake.
func TestSimulateTLS(t *testing.T) {
	first, seeds := *simFirst, *simSeeds/10 // each takes ten times as long
	if *simSeed != 0 {
		first, seeds = *simSeed, 1
	}
	failed := 0
	for seed := first; seed < first+uint64(seeds) && failed < 5; seed++ {
		if err := simulator.SimulateTLS(seed); err != nil {
			failed++
			t.Errorf("seed %d: %v\nrun it again: go test ./reactor -run SimulateTLS -seed %d", seed, err, seed)
		}
	}
}

// TestSimulateLinks is TestSimulate for connections inside the process.
func TestSimulateLinks(t *testing.T) {
	seeds := []uint64{8029} // it alone knows of a panic behind buildProtocol, of an owner that was late
	for seed := *simFirst; seed < *simFirst+uint64(*simSeeds); seed++ {
		seeds = append(seeds, seed)
	}
	if *simSeed != 0 {
		seeds = []uint64{*simSeed}
	}
	failed := 0
	for _, seed := range seeds {
		if err := simulator.SimulateLinks(seed); err != nil {
			t.Errorf("seed %d: %v\nrun it again: go test ./reactor -run SimulateLinks -seed %d", seed, err, seed)
			if failed++; failed == 5 {
				return
			}
		}
	}
}
