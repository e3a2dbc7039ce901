package guest

import (
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

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

// BenchmarkGuests is BenchmarkCallback and BenchmarkInstance for each guest of a
// folder, such as sdk/guests' tests leave with -keep.
func BenchmarkGuests(b *testing.B) {
	files, err := filepath.Glob(filepath.Join(*guestsDir, "*.wasm"))
	if err != nil || *guestsDir == "" {
		b.Skip("found no -guests")
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".wasm")
		if !strings.HasSuffix(name, "echo") && !strings.HasSuffix(name, "linereceiver") {
			continue
		}
		b.Run(name, func(b *testing.B) {
			s := standingOf(b, file, false)
			b.Run("callback", func(b *testing.B) {
				i := s.instance(b)
				benchmarkEcho(b, i)
				b.ReportMetric(float64(i.Memory()), "memory-bytes")
			})
			b.Run("instance", func(b *testing.B) { benchmarkInstance(b, s) })
		})
	}
}
