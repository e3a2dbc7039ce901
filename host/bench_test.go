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

func (s *sink) HandOver(reactor.Destination, []byte) error { return reactor.ErrNotSupported }

// unserved loads one plugin on a reactor whose loops do not run.
func unserved(t testing.TB, cfg config.Plugin, more ...func(*Host)) *plugin {
	t.Helper()
	h, err := New(config.Config{Plugins: map[string]config.Plugin{"guest": cfg}, Cache: config.Cache{Dir: "off"}},
		Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range more {
		f(h)
	}
	if h.reactor, err = reactor.New(reactor.Config{Loops: 1}); err != nil {
		t.Fatal(err)
	}
	if h.loader, err = h.newLoader(context.Background()); err != nil {
		t.Fatal(err)
	}
	p := newPlugin(h, "guest", h.cfg.Plugins["guest"], 0)
	if p.active, err = p.loadVersion(context.Background(), h.cfg.Plugins["guest"], config.Trust{}); err != nil {
		t.Fatal(err)
	}
	p.active.pace.hurdle.Store(0) // nothing is started off the loop
	p.slots = []*slot{newSlot(p.active, h.reactor.Loops()[0])}
	h.plugins["guest"] = p
	t.Cleanup(func() {
		if err := h.freePlugins(context.Background(), h.reactor.Close()); err != nil {
			t.Error(err)
		}
	})
	return p
}

// BenchmarkAccept is a connection's life without a byte, through the glue and no
// socket, of a guest whose instances are made on the loop.
func BenchmarkAccept(b *testing.B) {
	for _, isolation := range isolations {
		b.Run(string(isolation), func(b *testing.B) {
			p := unserved(b, config.Plugin{Module: "testdata/echo.wasm", Isolation: isolation})
			to := &sink{loop: p.loops[0]}
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
