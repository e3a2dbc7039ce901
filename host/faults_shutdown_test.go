package host

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// TestShutdownEndsChange: a change that waits, here for its canary, does not hold
// up the end, and what ran before serves until then.
func TestShutdownEndsChange(t *testing.T) {
	for _, by := range []string{"reload", "config"} {
		t.Run(by, func(t *testing.T) {
			p := numbered("testdata/counter.wasm", config.IsolationLoop, 0)
			p.Canary = config.Canary{Connections: 1, For: time.Hour}
			cfg := configuration(p)
			s := serve(t, cfg)
			old := &counting{Conn: dial(t, s.addrs[0])}
			if err := old.roundTrip(3); err != nil {
				t.Fatal(err)
			}
			changed := make(chan error)
			go func() {
				if by == "reload" {
					_, err := s.ReloadPlugin(context.Background(), "guest", true)
					changed <- err
					return
				}
				p.Config = map[string]any{"n": 1}
				cfg.Plugins = map[string]config.Plugin{"guest": p}
				changed <- last(s.Reload(context.Background(), cfg))
			}()
			s.logs.await(t, "canary", 1)
			tried := &counting{Conn: dial(t, s.addrs[0])}
			if err := tried.roundTrip(3); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error)
			go func() { ended <- s.Shutdown(context.Background()) }()
			if err := <-changed; !errors.Is(err, ErrNotRunning) {
				t.Errorf("got %v, wanted ErrNotRunning", err)
			}
			for _, c := range []*counting{old, tried} {
				if err := c.roundTrip(3); err != nil {
					t.Error(err)
				}
				c.Close()
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if _, err := s.ReloadPlugin(context.Background(), "guest", true); !errors.Is(err, ErrNotRunning) &&
				!errors.Is(err, ErrUnknown) {
				t.Errorf("got %v, wanted ErrNotRunning", err)
			}
		})
	}
}

// TestChangesDuringShutdown: whatever is asked for while the host ends is either
// done or told that it is too late.
func TestChangesDuringShutdown(t *testing.T) {
	ctx := context.Background()
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			cfg := configuration(numbered("testdata/counter.wasm", isolation, 0))
			s := serve(t, cfg)
			var conns []*counting
			for range 4 {
				c := &counting{Conn: dial(t, s.addrs[0])}
				if err := c.roundTrip(1); err != nil {
					t.Fatal(err)
				}
				conns = append(conns, c)
			}
			first := s.plugins["guest"].current().name
			var wg sync.WaitGroup
			began := make(chan struct{}, 100)
			for _, ask := range []func(n int) error{
				func(int) error { _, err := s.ReloadPlugin(ctx, "guest", true); return err },
				func(int) error { _, err := s.UsePlugin(ctx, first); return err },
				func(n int) error {
					cfg := configuration(numbered("testdata/counter.wasm", isolation, n))
					return last(s.Reload(ctx, cfg))
				},
				func(int) error { _, err := s.Plugins(); return err },
				func(int) error { _, err := s.Plugin("guest"); return err },
				func(int) error { _, err := s.Connections(ctx, ConnQuery{}); return err },
				func(int) error { return s.Trace("guest", 0, false) },
				func(int) error { return s.Renew("guest") },
			} {
				wg.Go(func() {
					for n := 0; ; n++ {
						switch err := ask(n); {
						case errors.Is(err, ErrNotRunning):
							return
						case err != nil && !errors.Is(err, ErrChanging) && !errors.Is(err, ErrUnknown):
							t.Error(err)
							return
						case errors.Is(err, ErrUnknown) && s.gone():
							return
						case s.gone():
							return
						}
						if n == 1 {
							began <- struct{}{}
						}
					}
				})
			}
			for range 8 {
				<-began
			}
			ended := make(chan error)
			go func() { ended <- s.Shutdown(ctx) }()
			s.logs.await(t, "shutting down", 1)
			if s.Ready() {
				t.Error("ready while it ends")
			}
			for _, c := range conns {
				if err := c.roundTrip(100); err != nil {
					t.Error(err)
				}
				c.Close()
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
			wg.Wait()
		})
	}
}

// gone tells whether the host has ended.
func (s *server) gone() bool { return len(s.loaded()) == 0 }
