package host

import (
	"context"
	"flag"
	"math"
	"runtime/debug"
	"testing"

	"github.com/wirehost/wirehost/reactor"
)

// settled is the resident memory when nothing can be given back any more.
func settled() uint64 {
	debug.FreeOSMemory()
	return resident(math.MaxUint64)
}

// flat holds two readings of resident memory against each other: within 5 %, and
// what the runtime itself moves about.
func flat(t *testing.T, early, late uint64) {
	t.Helper()
	t.Logf("resident: %d KiB, then %d KiB", early>>10, late>>10)
	if late > early+early/20+2<<20 {
		t.Errorf("resident memory grew from %d KiB to %d KiB", early>>10, late>>10)
	}
}

// TestTrapsLeaveNothing: ten thousand traps, one after the other.
func TestTrapsLeaveNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector's own memory is not flat")
	}
	p := unserved(t, hostile("unreachable"))
	trap := func() {
		i := p.slots[0].now(t)
		c, err := i.BuildProtocol(&sink{})
		if err != nil {
			t.Fatal(err)
		}
		c.DataReceived(c.(reactor.BufferedProtocol).ReceiveBuffer()[:1])
		c.ConnectionLost(8, i.Dead())
		for p.host.reactor.Step() { // closes the instance
		}
	}
	for range 2000 {
		trap()
	}
	early := settled()
	for range 8000 {
		trap()
	}
	flat(t, early, settled())
	counts := p.account.Counts()
	if n := counts.Traps["unreachable"]; n != 10000 {
		t.Errorf("%d traps were counted", n)
	}
	if p.instances.Load() != 0 || counts.Connections != 0 {
		t.Errorf("%d instances and %d handles are left", p.instances.Load(), counts.Connections)
	}
}

var leakReloads = flag.Int("leak-reloads", 500, "reloads of TestReloadsLeaveNothing, in each isolation")

// TestReloadsLeaveNothing: many reloads with connections.
func TestReloadsLeaveNothing(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("it reloads many times; and the race detector's own memory is not flat")
	}
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			cfg := configuration(numbered("testdata/counter.wasm", isolation, 0))
			s := serve(t, cfg)
			var conns []*counting
			for range 10 {
				conns = append(conns, &counting{Conn: dial(t, s.addrs[0])})
			}
			early := uint64(0)
			for n := 1; n <= *leakReloads; n++ {
				cfg.Plugins["guest"] = numbered("testdata/counter.wasm", isolation, n%2)
				if err := last(s.Reload(context.Background(), cfg)); err != nil {
					t.Fatal(err)
				}
				if n%100 == 0 {
					for _, c := range conns {
						if err := c.roundTrip(10); err != nil {
							t.Fatal(err)
						}
					}
				}
				if n == 100 {
					s.logs.forget()
					early = settled()
				}
			}
			s.logs.forget()
			late := settled()
			t.Logf("resident: %d KiB after 100, %d KiB after %d", early>>10, late>>10, *leakReloads)
			if late > early+early/10+2<<20 {
				t.Errorf("resident memory grew from %d KiB to %d KiB", early>>10, late>>10)
			}
		})
	}
}
