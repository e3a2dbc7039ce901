package host

import (
	"context"
	"errors"
	"testing"

	"github.com/wirehost/wirehost/host/config"
)

// TestAskedOfOthersFirst: in buildProtocol the new connection is known,
// whichever was asked for before.
func TestAskedOfOthersFirst(t *testing.T) {
	cfg := configuration(hostile("asks_of_others_first"))
	cfg.Reactor.Loops = 1
	s := serve(t, cfg)
	for range 3 {
		c := dial(t, s.addrs[0])
		send(t, c, "x")
		expect(t, c, "x")
	}
}

// TestStoppedOnce: stopProducing comes once, and connectionLost last.
func TestStoppedOnce(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			p := hostile("registers_when_stopped")
			p.Isolation = isolation
			cfg := configuration(p)
			cfg.Reactor.Loops = 1
			s := serve(t, cfg)
			other, c := dial(t, s.addrs[0]), dial(t, s.addrs[0])
			send(t, c, "a")
			expectReset(t, c)
			send(t, other, "x")
			expect(t, other, "x")
			if traps := s.logs.all("guest trapped; its instance is discarded"); len(traps) > 0 {
				t.Error(traps)
			}
		})
	}
}

// TestUnendedLine: what a guest has written when it stops is logged, with the
// line's end or without.
func TestUnendedLine(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			cfg := configuration(config.Plugin{Module: "testdata/unended_line.wasm", Isolation: isolation})
			cfg.Reactor.Loops = 1
			s := serve(t, cfg)
			dial(t, s.addrs[0])
			s.await(t, 1)
			s.logs.forget()
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			lines := s.logs.all("guest")
			if len(lines) == 0 || lines[len(lines)-1]["text"] != "good-bye" {
				t.Errorf("found %v, wanted good-bye", lines)
			}
		})
	}
}
