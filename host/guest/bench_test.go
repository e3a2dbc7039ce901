package guest

import (
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/internal/meter"
	"github.com/wirehost/wirehost/reactor"
)

// BenchmarkCallback is a dataReceived with one write, through the glue and no
// socket.
func BenchmarkCallback(b *testing.B) {
	for _, unmetered := range []bool{false, true} {
		b.Run(map[bool]string{false: "metered", true: "unmetered"}[unmetered], func(b *testing.B) {
			benchmarkEcho(b, standingOf(b, "../testdata/echo.wasm", unmetered).instance(b))
		})
	}
}

// benchmarkEcho sends a line of 64 bytes that comes back.
func benchmarkEcho(b *testing.B, i *Instance) {
	to := &sink{}
	p, err := i.BuildProtocol(to)
	if err != nil {
		b.Fatal(err)
	}
	c := p.(*conn)
	c.ConnectionMade(to)
	defer c.ConnectionLost(reactor.Done, nil)
	line := fmt.Sprintf("%62s\r\n", "line")
	b.ReportAllocs()
	for b.Loop() {
		c.DataReceived(append(c.ReceiveBuffer()[:0], line...))
	}
	if to.bytes < b.N*len(line) {
		b.Fatalf("%d bytes were written in %d callbacks of %d", to.bytes, b.N, len(line))
	}
}

// BenchmarkInstance makes and ends an instance.
func BenchmarkInstance(b *testing.B) { benchmarkInstance(b, standing(b, "echo")) }

func benchmarkInstance(b *testing.B, s *stand) {
	b.ReportAllocs()
	for b.Loop() {
		s.fresh(b).Close()
	}
}

var guestsDir = flag.String("guests", "", "`folder` of guests that echo lines, for BenchmarkGuests")

// BenchmarkGuests measures each guest of a folder, such as sdk/guests' tests leave with
// -keep: BenchmarkInstance, and callbacks by turns, so that they compare on a machine that
// others use too.
func BenchmarkGuests(b *testing.B) {
	files, err := filepath.Glob(filepath.Join(*guestsDir, "*.wasm"))
	if err != nil || *guestsDir == "" {
		b.Skip("found no -guests")
	}
	stands := map[string]*stand{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".wasm")
		if strings.HasSuffix(name, "echo") || strings.HasSuffix(name, "linereceiver") {
			stands[name] = standingOf(b, file, false)
		}
	}
	b.Run("callbacks", func(b *testing.B) { benchmarkByTurns(b, stands) })
	for name, s := range stands {
		b.Run(name+"/instance", func(b *testing.B) { benchmarkInstance(b, s) })
	}
}

// benchmarkByTurns reports, of a thousand callbacks of each guest a round, the processor's
// time that one takes in the lower quarter of the rounds, and the guest's memory.
func benchmarkByTurns(b *testing.B, stands map[string]*stand) {
	const batch = 1000
	clock := meter.ProcessClock()
	if clock == nil {
		b.Skip("found no clock of the processor's time")
	}
	b.ReportMetric(0, "ns/op") // of all guests together
	conns, took := map[string]*conn{}, map[string][]float64{}
	for name, s := range stands {
		to := &sink{}
		p, err := s.instance(b).BuildProtocol(to)
		if err != nil {
			b.Fatal(err)
		}
		conns[name] = p.(*conn)
		conns[name].ConnectionMade(to)
	}
	line := fmt.Sprintf("%62s\r\n", "line")
	for b.Loop() {
		for name, c := range conns {
			began := clock()
			for range batch {
				c.DataReceived(append(c.ReceiveBuffer()[:0], line...))
			}
			took[name] = append(took[name], float64(clock()-began)/batch)
		}
	}
	for name, c := range conns {
		slices.Sort(took[name])
		b.ReportMetric(took[name][len(took[name])/4], name+"-ns")
		b.ReportMetric(float64(c.in.Memory())/1024, name+"-KiB")
	}
}
