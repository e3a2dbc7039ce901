package host

import (
	"context"
	"testing"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/reactor"
)

// sink is a Transport that takes every write. Its other methods are nil.
type sink struct {
	reactor.Transport
	bytes int
}

func (s *sink) Write(p []byte) (int, error) { s.bytes += len(p); return 0, nil }
func (s *sink) State() reactor.State        { return 0 }
func (s *sink) Abort(reactor.Reason, error) {}

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
	h.engine = newEngine(context.Background(), "off", h.log)
	p := newPlugin(h, "guest", h.cfg.Plugins["guest"], 0)
	if p.active, err = p.load(context.Background(), h.cfg.Plugins["guest"]); err != nil {
		t.Fatal(err)
	}
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
	i, err := p.slots[0].instance()
	if err != nil {
		b.Fatal(err)
	}
	to := &sink{}
	c := &guestConn{in: i, t: to, handle: 7, stage: stageOpen}
	i.conns[7] = c
	defer c.end()
	data := c.ReceiveBuffer()[:64]
	b.ReportAllocs()
	for b.Loop() {
		c.ReceiveBuffer()
		c.DataReceived(data)
	}
	if to.bytes < b.N*64 {
		b.Fatalf("%d bytes were written in %d callbacks of 64", to.bytes, b.N)
	}
}

// BenchmarkInstance makes and ends an instance.
func BenchmarkInstance(b *testing.B) {
	p := unserved(b, config.Plugin{Module: "testdata/echo.wasm"})
	b.ReportAllocs()
	for b.Loop() {
		i, err := p.active.newInstance()
		if err != nil {
			b.Fatal(err)
		}
		i.close()
	}
}
