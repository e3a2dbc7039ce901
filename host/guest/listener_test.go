package guest

import (
	"errors"
	"os"
	"testing"

	"github.com/tetratelabs/wazero/api"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/reactor"
)

// mayListen is a guest that may listen on loopback.
func mayListen(t testing.TB) *stand {
	t.Helper()
	list, err := NewListenList([]string{"tcp://127.0.0.1:*"}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := standing(t, "listens", func(o *Settings) { o.Listens = list })
	s.listen = func(_ *os.File, ep reactor.Endpoint, f reactor.Factory, o reactor.ListenOptions) (*reactor.Listener,
		error) {
		return s.reactor.Listen(ep, f, o)
	}
	return s
}

// listens has an instance listen, as from a callback.
func listens(i *Instance) abi.Status {
	i.phase = phaseRun
	_, status := listen(i, []byte("tcp://127.0.0.1:0"))
	i.phase = phaseIdle
	return status
}

// TestDrainEndsListening: when the time of a replaced version is over, nothing keeps its
// instances, and they begin nothing more.
func TestDrainEndsListening(t *testing.T) {
	s := mayListen(t)
	i, to := s.instance(t), &sink{}
	c, err := i.BuildProtocol(to)
	if err != nil {
		t.Fatal(err)
	}
	if status := listens(i); status != abi.StatusOK {
		t.Fatalf("found %v", status)
	}
	s.place.BeginClosing()
	if status := listens(i); status != abi.StatusOK || len(i.listeners) != 2 {
		t.Errorf("found %v, and %d listeners, wanted 2 while it drains", status, len(i.listeners))
	}
	s.place.Abort(reactor.Replaced)
	if i.Listens() || !to.aborted {
		t.Error("it listens, or its connection is not aborted")
	}
	if status := listens(i); status != abi.ENOTNOW {
		t.Errorf("found %v, wanted %v", status, abi.ENOTNOW)
	}
	c.ConnectionLost(reactor.Replaced, nil)
	if s.rest(); !i.closed {
		t.Error("it goes on")
	}
}

// TestStoppedListenersCount: a listener counts until its socket is closed, so that a callback
// that listens and stops again and again has no more sockets than it may.
func TestStoppedListenersCount(t *testing.T) {
	s := mayListen(t)
	s.limits.Listeners = 2
	i := s.instance(t)
	for range 3 {
		for n := range 4 {
			status := listens(i)
			if want := map[bool]abi.Status{true: abi.StatusOK, false: abi.E2BIG}[n < 2]; status != want {
				t.Errorf("listen %d of one callback: found %v, wanted %v", n, status, want)
			}
			i.phase = phaseRun
			for handle := range i.listeners {
				reactorStopListening(i, []uint64{api.EncodeI32(handle)})
			}
			i.phase = phaseIdle
		}
		s.rest()
	}
}

// elsewhere is a Transport on another loop.
type elsewhere struct {
	sink
	loop *reactor.Loop
}

func (e *elsewhere) Loop() *reactor.Loop { return e.loop }

// TestListenerHasMoved: what was accepted for the loop where a listener was before does not
// touch the instance that has it now.
func TestListenerHasMoved(t *testing.T) {
	s, other := mayListen(t), standing(t, "echo")
	i := s.instance(t)
	if status := listens(i); status != abi.StatusOK {
		t.Fatalf("found %v", status)
	}
	for _, l := range i.listeners {
		if _, err := l.BuildProtocol(&elsewhere{loop: other.place.Loop}); !errors.Is(err, errNobody) {
			t.Errorf("found %v", err)
		}
		if l.share(other.place.Loop) != nil || l.share(s.place.Loop) != s.place.Share {
			t.Error("its time is another loop's")
		}
		p, err := l.BuildProtocol(&elsewhere{loop: s.place.Loop})
		if err != nil {
			t.Fatal(err)
		}
		p.ConnectionLost(reactor.Done, nil)
	}
}
