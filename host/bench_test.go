package host

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/reactor"
)

// sink is a Transport that takes every write. Its other methods are nil.
type sink struct {
	reactor.Transport
	bytes int
	loop  *reactor.Loop
	again bool // BuildAgain was called
}

func (s *sink) Write(p []byte) (int, error) { s.bytes += len(p); return 0, nil }
func (s *sink) State() reactor.State        { return 0 }
func (s *sink) Stats() reactor.ConnStats    { return reactor.ConnStats{} }
func (s *sink) WriteSequence(pieces [][]byte) (int, error) {
	for _, p := range pieces {
		s.bytes += len(p)
	}
	return 0, nil
}
func (s *sink) Abort(reactor.Reason, error) {}
func (s *sink) Loop() *reactor.Loop         { return s.loop }
func (s *sink) BuildAgain()                 { s.again = true }

// unserved loads one plugin on a reactor whose loops do not run.
func unserved(t testing.TB, cfg config.Plugin, more ...func(*Host)) *plugin {
	t.Helper()
	h := New(config.Config{Plugins: map[string]config.Plugin{"guest": cfg}, Cache: config.Cache{Dir: "off"}}, Options{})
	for _, f := range more {
		f(h)
	}
	var err error
	if h.reactor, err = reactor.New(reactor.Config{Loops: 1}); err != nil {
		t.Fatal(err)
	}
	if h.engine, err = newEngine(context.Background(), config.Cache{Dir: "off"}, nil, h.log); err != nil {
		t.Fatal(err)
	}
	p := newPlugin(h, "guest", h.cfg.Plugins["guest"], 0)
	if p.active, err = p.load(context.Background(), h.cfg.Plugins["guest"]); err != nil {
		t.Fatal(err)
	}
	p.active.pace.hurdle.Store(0) // nothing is started off the loop
	p.slots = []*slot{newSlot(p.active, h.reactor.Loops()[0])}
	h.plugins["guest"] = p
	t.Cleanup(func() {
		if err := h.end(context.Background(), h.reactor.Close()); err != nil {
			t.Error(err)
		}
	})
	return p
}

// BenchmarkCallback is a dataReceived with one write, through the glue and no
// socket.
func BenchmarkCallback(b *testing.B) {
	b.Run("metered", func(b *testing.B) { benchmarkCallback(b, false) })
	b.Run("unmetered", func(b *testing.B) { benchmarkCallback(b, true) })
}

func benchmarkCallback(b *testing.B, unmetered bool) {
	p := unserved(b, config.Plugin{Module: "testdata/echo.wasm"}, func(h *Host) { h.unmetered = unmetered })
	benchmarkEcho(b, p)
}

// benchmarkEcho sends a line of 64 bytes that comes back.
func benchmarkEcho(b *testing.B, p *plugin) {
	i := p.slots[0].now(b)
	to := &sink{}
	c := &guestConn{in: i, t: to, handle: i.ver.plugin.connHandles.take()}
	if err := c.build(); err != nil {
		b.Fatal(err)
	}
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
func BenchmarkInstance(b *testing.B) {
	benchmarkInstance(b, unserved(b, config.Plugin{Module: "testdata/echo.wasm"}))
}

// BenchmarkAccept is a connection's life without a byte, through the glue and no
// socket, of a guest whose instances are made on the loop.
func BenchmarkAccept(b *testing.B) {
	for _, isolation := range isolations {
		b.Run(string(isolation), func(b *testing.B) {
			p := unserved(b, config.Plugin{Module: "testdata/echo.wasm", Isolation: isolation})
			to := &sink{loop: p.host.reactor.Loops()[0]}
			b.ReportAllocs()
			for b.Loop() {
				c := p.accept(b, to)
				c.ConnectionMade(to)
				c.ConnectionLost(reactor.Done, nil)
				for p.host.reactor.Step() { // closes the instance
				}
			}
		})
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
			p := unserved(b, config.Plugin{Module: file})
			b.Run("callback", func(b *testing.B) {
				benchmarkEcho(b, p)
				b.ReportMetric(float64(p.slots[0].inst.mem.Size()), "memory-bytes")
			})
			b.Run("instance", func(b *testing.B) { benchmarkInstance(b, p) })
		})
	}
}

func benchmarkInstance(b *testing.B, p *plugin) {
	b.ReportAllocs()
	for b.Loop() {
		i, err := p.active.newInstance()
		if err != nil {
			b.Fatal(err)
		}
		i.close()
	}
}
