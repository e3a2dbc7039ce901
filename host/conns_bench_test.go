package host

import (
	"slices"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// BenchmarkConnections lists 100,000 connections, in memory: all of them, one page of 20, the
// 20 that have had the most bytes, and those that are closing, of which there is none. It
// reports for how long the loop is held by a piece, and how many pieces there are. The
// network in memory takes longer than all this to find what is ready, so it does not count.
func BenchmarkConnections(b *testing.B) {
	const n = 100_000
	cfg := configuration(config.Plugin{Module: "testdata/echo.wasm"})
	cfg.Reactor.MaxMemory = 8 << 30 // the peers are in this process too
	v := serveVirtual(b, cfg)
	for made := range n {
		if _, err := v.sys.Dial("tcp", v.Listeners()[0].String()[len("tcp://"):]); err != nil {
			b.Fatal(err)
		}
		if made%100 == 99 { // the listener's queue is short
			settle(v.Host, v.sys)
		}
	}
	v.await(b, n)
	l := v.reactor.Loops()[0]
	for _, tc := range []struct {
		name string
		q    ConnQuery
	}{{"all", ConnQuery{}}, {"limit", ConnQuery{Limit: 20}}, {"sort", ConnQuery{Sort: "in", Limit: 20}},
		{"none", ConnQuery{ConnFilter: ConnFilter{State: "closing"}, Limit: 20}}} {
		b.Run(tc.name, func(b *testing.B) {
			var held []time.Duration
			for b.Loop() {
				s, err := v.newScan(tc.q.ConnFilter)
				if err != nil {
					b.Fatal(err)
				}
				list := &connList{scan: s, q: tc.q}
				w := &walk{h: v.Host, most: connsAtOnce}
				p := &piece{}
				for p.next >= 0 && !p.enough {
					p = &piece{answer: make(chan struct{})}
					err := onLoop(l, func() {
						began := time.Now()
						p.look(l, w, list.take)
						held = append(held, time.Since(began))
					})
					if err != nil {
						b.Fatal(err)
					}
					w.at.slot = p.next
				}
			}
			slices.Sort(held)
			b.ReportMetric(float64(held[len(held)/2].Microseconds()), "median-µs/piece")
			b.ReportMetric(float64(len(held))/float64(b.N), "pieces/op")
		})
	}
}
