package reactor_test

import (
	"errors"
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/reactor"
)

// slowRouter looks at what it gets for longer than a turn's share, of connections that say too little.
type slowRouter struct{ *hog }

func (r slowRouter) Route(h reactor.Head) (to reactor.Destination, more bool, err error) {
	if len(h.Bytes) == 0 && !h.Final {
		return to, true, nil
	}
	r.calls++
	r.sys.Advance(reactor.TurnShare)
	if h.Final {
		err = errors.New("it is nobody's")
	}
	return to, !h.Final, err
}

// TestRouteInItsShare: to choose takes a share of a turn, as protocols do, whatever it is that many
// connections bring in one turn.
func TestRouteInItsShare(t *testing.T) {
	const many = 50
	for name, bring := range map[string]func(*memnet.Peer) error{
		"bytes":   func(p *memnet.Peer) error { _, err := p.Write([]byte("x")); return err },
		"ends":    (*memnet.Peer).CloseWrite,
		"silence": nil,
	} {
		t.Run(name, func(t *testing.T) {
			h := newHog(t, reactor.Config{})
			o := reactor.ListenOptions{Loop: -1, Router: slowRouter{h}, RouteTimeout: time.Minute}
			if err := h.ln.Configure(h.hand, o); err != nil {
				t.Fatal(err)
			}
			var peers []*memnet.Peer
			for range many {
				peers = append(peers, h.connect())
			}
			h.steps()
			for _, p := range peers {
				if bring != nil && bring(p) != nil {
					t.Fatal("the peer is broken")
				}
			}
			if bring == nil {
				h.sys.Advance(time.Minute)
			}
			h.turns(many, 1)
		})
	}
}
