package guest

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/wirehost/wirehost/reactor"
)

// placed is an instance that was started for the stand's place, and is there.
func (s *stand) placed(t testing.TB) *Instance {
	t.Helper()
	s.live++
	i, err := s.Guest.Start(0, s.place)
	if err != nil {
		t.Fatal(err)
	}
	i.Commit(s.place)
	return i
}

// opened is an instance at the stand's place with a connection.
func (s *stand) opened(t testing.TB) (*Instance, reactor.Protocol, *sink) {
	t.Helper()
	i := s.placed(t)
	to := &sink{}
	p, err := i.BuildProtocol(to)
	if err != nil {
		t.Fatal(err)
	}
	p.ConnectionMade(to)
	return i, p, to
}

func feed(t testing.TB, p reactor.Protocol, text string) {
	t.Helper()
	b := p.(reactor.BufferedProtocol).ReceiveBuffer()
	p.DataReceived(b[:copy(b, text)])
}

// expectOrigin says that a cell's memory and globals are the origin's.
func expectOrigin(t *testing.T, s *stand, c *cell) {
	t.Helper()
	o := s.origin.Load()
	for at, b := 0, c.bytes(); at < len(b); at += granule {
		if !bytes.Equal(b[at:at+granule], o.image.at(at)) {
			t.Fatalf("at %#x a free cell's memory is not the origin's", at)
		}
	}
}

// TestPageOut: an instance that has left its cell goes on where it was, in whatever cell
// it gets, and leaves nothing behind in the one that it had.
func TestPageOut(t *testing.T) {
	for _, way := range []string{"scanned", "read", "compared"} {
		t.Run(way, func(t *testing.T) {
			tell(t, way)
			s := standing(t, "counter", paging)
			const many = 20
			var instances []*Instance
			var protocols []reactor.Protocol
			for range many {
				i, p, _ := s.opened(t)
				instances, protocols = append(instances, i), append(protocols, p)
			}
			for round := range 5 {
				for n, i := range instances {
					if i.cell != nil && !s.place.pageOut(i) {
						t.Fatalf("round %d: instance %d stays", round, n)
					}
				}
				if len(s.place.pool.free) == 0 || len(s.place.pool.busy) > 0 {
					t.Fatalf("found %d cells free and %d instances in some", len(s.place.pool.free),
						len(s.place.pool.busy))
				}
				for _, c := range s.place.pool.free {
					expectOrigin(t, s, c)
				}
				for n, p := range protocols {
					to := p.(*conn).t.(*sink)
					before := to.bytes
					feed(t, p, fmt.Sprintf("%d\n", n))
					if to.bytes == before {
						t.Fatalf("round %d: instance %d has not answered", round, n)
					}
				}
			}
			for _, p := range protocols {
				p.ConnectionLost(reactor.Done, nil)
			}
			s.rest()
			if s.live != 0 {
				t.Errorf("%d instances are left", s.live)
			}
			for _, c := range s.place.pool.free {
				expectOrigin(t, s, c)
			}
		})
	}
}

// TestManyEnd: when many connections end at once, of instances that have left their
// cells, these are not made for each: one that waits for its last call leaves again.
func TestManyEnd(t *testing.T) {
	s := standing(t, "counter", paging)
	var protocols []reactor.Protocol
	for range 2 * coldCells {
		i, p, _ := s.opened(t)
		protocols = append(protocols, p)
		if !s.place.pageOut(i) {
			t.Fatal("an instance stays")
		}
	}
	cells := func() int { return len(s.place.pool.busy) + len(s.place.pool.free) }
	for _, p := range protocols {
		feed(t, p, "x\n")
		feed(t, p, "y\n")
		p.ConnectionLost(reactor.Done, nil)
	}
	if n := cells(); n > coldCells {
		t.Errorf("%d cells were made, wanted at most %d", n, coldCells)
	}
	for s.live > 0 && s.reactor.Step() {
		if n := cells(); n > coldCells {
			t.Fatalf("%d cells were made, wanted at most %d", n, coldCells)
		}
	}
	if s.live > 0 {
		t.Errorf("%d instances are left", s.live)
	}
}

// TestManyStartOffTheLoops: an instance that was started off its loop brings a cell of
// its own, and then one that is cold leaves: many new ones have no more cells for that.
func TestManyStartOffTheLoops(t *testing.T) {
	s := standing(t, "counter", paging)
	for range 2 * coldCells {
		s.live++
		i, err := s.Guest.Start(0, nil)
		if err != nil {
			t.Fatal(err)
		}
		i.Commit(s.place)
		if n, most := s.memory.Live(), coldCells+freeCells+1; n > most {
			t.Fatalf("%d cells were made, wanted at most %d", n, most)
		}
	}
	if n := s.place.PagedOut(); n < coldCells {
		t.Errorf("%d instances have left their cells, wanted at least %d", n, coldCells)
	}
}

// TestManyGrow: cells that have grown serve no new instance, and don't pile up until the
// next sweep while connections come and go.
func TestManyGrow(t *testing.T) {
	s := standing(t, "keeps", paging)
	for range 2 * coldCells {
		i, p, _ := s.opened(t)
		feed(t, p, "g\x01\x00\x00\x00")
		p.ConnectionLost(reactor.Done, nil)
		i.callStopFactory() // in the same turn
		if n := len(s.place.pool.free); n > coldCells {
			t.Fatalf("%d cells are free, wanted at most %d", n, coldCells)
		}
	}
}

// tell has pages be told in one of the ways that systems have.
func tell(t *testing.T, way string) {
	t.Helper()
	p := pagemap()
	file, noScan := p.file, p.noScan.Load()
	t.Cleanup(func() { p.file = file; p.noScan.Store(noScan) })
	switch {
	case file == nil && way != "compared", noScan && way == "scanned":
		t.Skip("this system does not tell of pages so")
	case way == "read":
		p.noScan.Store(true)
	case way == "compared":
		p.file = nil
	}
}

func BenchmarkStartImage(b *testing.B) {
	for _, file := range []string{"../../plugins/echo/echo.wasm", "../testdata/echo.wasm"} {
		b.Run(file, func(b *testing.B) {
			s := standingOf(b, file, false, paging)
			s.opened(b)
			b.ResetTimer()
			for range b.N {
				s.live++
				i, err := s.Guest.Start(time.Second, s.place)
				if err != nil {
					b.Fatal(err)
				}
				i.Commit(s.place)
				i.dead = errRetired
				i.Close()
			}
		})
	}
}

func BenchmarkPaging(b *testing.B) {
	s := standingOf(b, "../../plugins/echo/echo.wasm", false, paging)
	i, p, _ := s.opened(b)
	feed(b, p, "hello\n")
	b.ResetTimer()
	b.ReportAllocs()
	var in, out time.Duration
	for range b.N {
		t0 := time.Now()
		if !s.place.pageOut(i) {
			b.Fatal("stays")
		}
		t1 := time.Now()
		if !i.pageIn() {
			b.Fatal("no cell")
		}
		out += t1.Sub(t0)
		in += time.Since(t1)
		feed(b, p, "hello\n")
	}
	s.place.pageOut(i)
	b.ReportMetric(float64(len(i.saved)), "bytes")
	b.ReportMetric(float64(out.Nanoseconds())/float64(b.N), "ns-out")
	b.ReportMetric(float64(in.Nanoseconds())/float64(b.N), "ns-in")
}
