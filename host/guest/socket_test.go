package guest

import (
	"runtime"
	"testing"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/reactor"
)

// owner owns a configured socket of a test, and counts what it is told.
type owner struct{ lost, stopped int }

func (o *owner) Started()  {}
func (o *owner) Lost(bool) { o.lost++ }
func (o *owner) Stopped()  { o.stopped++ }
func (o *owner) Dropped()  {}

// socket is a configured socket that is bound and has no instance.
func (s *stand) socket(t testing.TB) (*Socket, *owner) {
	t.Helper()
	o := &owner{}
	k := NewSocket(o)
	l := s.place.Loop
	l.CallLater(0, func() {
		l.OpenDatagram(reactor.Endpoint{Scheme: "udp", Host: "127.0.0.1"}, k, reactor.DatagramOptions{})
	})
	if s.rest(); k.d == nil {
		t.Fatal("found no socket")
	}
	return k, o
}

// TestTrapInStopProtocol: where an instance whose sockets have moved traps as it is told of
// the end of one that has not, the others are the new one's all the same.
func TestTrapInStopProtocol(t *testing.T) {
	s := standing(t, "hostile/trap_in_stop_protocol")
	for range 5 { // which comes first is chance
		old, fresh := s.instance(t), s.fresh(t)
		var sockets []*Socket
		var owners []*owner
		for range 6 {
			k, o := s.socket(t)
			k.Begin(old)
			sockets, owners = append(sockets, k), append(owners, o)
		}
		if err := Move(old, fresh, s.place); err != nil {
			t.Fatal(err)
		}
		if sockets[0].Instance() != nil || owners[0].lost != 1 || old.Dead() == nil {
			t.Errorf("the one that stays has the instance %v, and is lost %d times", sockets[0].Instance(),
				owners[0].lost)
		}
		for n, k := range sockets[1:] {
			if k.Instance() != fresh || owners[n+1].lost > 0 || fresh.sockets[k.handle] != k || fresh.Dead() != nil {
				t.Errorf("socket %d has the instance %p, wanted %p, and is lost %d times", n+1, k.Instance(), fresh,
					owners[n+1].lost)
			}
		}
		if len(fresh.sockets) != 5 {
			t.Errorf("found %d sockets, wanted 5", len(fresh.sockets))
		}
		s.rest()
	}
}

// TestTrapInStartProtocolOfOne: an instance that has trapped gets no other socket.
func TestTrapInStartProtocolOfOne(t *testing.T) {
	s := standing(t, "hostile/trap_in_start_protocol")
	i := s.instance(t)
	for range 2 {
		k, o := s.socket(t)
		if k.Begin(i); k.Instance() != nil || o.lost != 1 {
			t.Errorf("found the instance %v, and it is lost %d times", k.Instance(), o.lost)
		}
	}
	if n := s.account.conns.count(); n != 0 {
		t.Errorf("found %d handles, wanted none", n)
	}
	s.rest()
}

// TestSocketKeepsHandle: between two instances of a plugin, and not for another plugin's, nor
// behind its end.
func TestSocketKeepsHandle(t *testing.T) {
	s, other := standing(t, "datagrams"), standing(t, "datagrams")
	for range 3 { // the other's handles are not the same
		other.account.conns.take()
	}
	k, _ := s.socket(t)
	k.Begin(s.instance(t))
	handle := k.handle
	k.Leave(reactor.Replaced, true)
	if k.Begin(s.instance(t)); k.handle != handle {
		t.Errorf("found the handle %d, wanted %d", k.handle, handle)
	}
	k.Leave(reactor.Replaced, true)
	if k.Begin(other.instance(t)); !other.account.conns.taken(k.handle) || k.handle == handle ||
		s.account.conns.count() != 0 {
		t.Errorf("found the handle %d of another plugin", k.handle)
	}
	k.Leave(reactor.Replaced, true)
	if k.StopProtocol(reactor.Done, nil); other.account.conns.count() != 3 {
		t.Errorf("found %d handles, wanted 3", other.account.conns.count())
	}
}

// TestLeavingBeginsNothing: what an instance would open when its connections have moved, it
// could not have.
func TestLeavingBeginsNothing(t *testing.T) {
	s := standing(t, "hostile/opens_in_stop_protocol", func(s *Settings) {
		allow, err := NewAllowList([]string{"udp://127.0.0.1:9"}, true, nil)
		if err != nil {
			t.Fatal(err)
		}
		s.Allow = allow
	})
	old, fresh := s.instance(t), s.fresh(t)
	k, _ := s.socket(t)
	k.Begin(old)
	if err := Move(old, fresh, s.place); err != nil {
		t.Fatal(err)
	}
	if k.Instance() != fresh || len(old.sockets) != 0 || s.account.conns.count() != 1 {
		t.Errorf("found %d sockets of the old instance, wanted none; handles: %d", len(old.sockets),
			s.account.conns.count())
	}
	s.rest()
}

// TestLongEndpoint: a text that is too long is refused before anything is made of it.
func TestLongEndpoint(t *testing.T) {
	const size = 64 << 20
	s := standing(t, "echo")
	i, long := s.instance(t), make([]byte, size)
	c := &conn{in: i}
	i.guest.handTo = func(string) (reactor.Destination, error) { return reactor.Destination{}, ErrNotRunning }
	i.phase = phaseRun
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	connected, handed := i.connect(nil, long, 0), c.handOver(long, nil)
	runtime.ReadMemStats(&after)
	i.phase = phaseIdle
	if connected != int32(abi.EINVAL) || handed != abi.EPERM {
		t.Errorf("found %d and %v", connected, handed)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > size/2 {
		t.Errorf("it has taken %d bytes", took)
	}
}
