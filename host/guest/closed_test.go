//go:build unix

package guest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/reactor"
)

// TestClosedOnce: whatever becomes of an instance, its owner is told once that it is
// closed, and what it took has been given back by then.
func TestClosedOnce(t *testing.T) {
	failed := func(within time.Duration, slow bool) func(*testing.T, *stand) {
		return func(t *testing.T, s *stand) {
			if i, err := s.Start(within); i != nil || err == nil || errors.Is(err, ErrSlow) != slow {
				t.Errorf("found %v, %v", i, err)
			}
		}
	}
	for _, c := range []struct {
		what, file string
		do         func(*testing.T, *stand)
	}{
		{"its start section traps", "hostile/trap_in_start_section", failed(0, false)},
		{"its start traps", "hostile/trap_in_initialize", failed(0, false)},
		{"its factory's start traps on a loop", "hostile/trap_in_start_factory", failed(time.Second, false)},
		{"it refuses to start", "hostile/refuses_start", failed(0, false)},
		{"its buffer is outside memory", "hostile/receive_buffer_outside_memory", failed(0, false)},
		{"its start does not end", "hostile/loop_in_start_factory", failed(0, false)},
		{"its start does not end on a loop", "hostile/loop_in_start_factory", failed(time.Millisecond, true)},
		{"there is no room", "echo", func(t *testing.T, s *stand) {
			s.memory.Map = noMemory
			if _, err := s.Start(0); !errors.Is(err, ErrNoRoom) {
				t.Error(err)
			}
		}},
		{"it is closed twice", "echo", func(t *testing.T, s *stand) {
			i := s.instance(t)
			i.Close()
			i.Close()
		}},
		{"it retires", "echo", func(t *testing.T, s *stand) {
			i := s.instance(t)
			s.place.BeginClosing()
			s.place.RetireIdle()
			i.retire()
			s.rest()
			i.Close()
		}},
		{"it traps, and its place is closing", "hostile/trap_in_connection_made", func(t *testing.T, s *stand) {
			i := s.instance(t)
			c, err := i.BuildProtocol(&sink{})
			if err != nil {
				t.Fatal(err)
			}
			c.ConnectionMade(&sink{})
			s.place.BeginClosing()
			c.ConnectionLost(reactor.ProtocolFailed, nil)
			i.Discard(ErrNoRoom)
			s.rest()
		}},
		{"it is discarded with a connection", "echo", func(t *testing.T, s *stand) {
			i := s.instance(t)
			c, err := i.BuildProtocol(&sink{})
			if err != nil {
				t.Fatal(err)
			}
			c.ConnectionMade(&sink{})
			i.Discard(ErrNoRoom)
			i.Discard(ErrNoRoom)
			c.ConnectionLost(reactor.OverLimit, nil)
			s.place.BeginClosing()
			s.rest()
		}},
		{"it has timers, and its loop ends", "hostile/timers_without_end", func(t *testing.T, s *stand) {
			i := s.instance(t)
			c, err := i.BuildProtocol(&sink{})
			if err != nil {
				t.Fatal(err)
			}
			c.ConnectionMade(&sink{})
			copy(c.(reactor.BufferedProtocol).ReceiveBuffer(), "x")
			c.DataReceived(c.(reactor.BufferedProtocol).ReceiveBuffer()[:1])
			c.ConnectionLost(reactor.Done, nil)
			if len(i.timers) == 0 {
				t.Error("found no timer")
			}
			s.place.StopLoop(func() bool { return false })
			s.place.StopLoop(func() bool { return true })
		}},
		{"it moves", "counter", func(t *testing.T, s *stand) {
			old, fresh := s.instance(t), s.fresh(t)
			c, err := old.BuildProtocol(&sink{})
			if err != nil {
				t.Fatal(err)
			}
			c.ConnectionMade(&sink{})
			if err := Move(old, fresh, s.place); err != nil {
				t.Fatal(err)
			}
			s.rest()
			if s.live != 1 || s.place.Len() != 1 || fresh.CountConnections() != 1 {
				t.Errorf("found %d instances, %d at the place", s.live, s.place.Len())
			}
			c.ConnectionLost(reactor.Done, nil)
		}},
		{"it can't be moved to", "hostile/trap_in_restore_state", func(t *testing.T, s *stand) {
			old, fresh := s.instance(t), s.fresh(t)
			c, err := old.BuildProtocol(&sink{})
			if err != nil {
				t.Fatal(err)
			}
			c.ConnectionMade(&sink{})
			if err := Move(old, fresh, s.place); err == nil || old.Dead() != nil {
				t.Errorf("found %v, the old one %v", err, old.Dead())
			}
			fresh.Close()
			c.ConnectionLost(reactor.Done, nil)
		}},
		{"it traps when it is to move", "hostile/trap_in_save_state", func(t *testing.T, s *stand) {
			old, fresh := s.instance(t), s.fresh(t)
			c, err := old.BuildProtocol(&sink{})
			if err != nil {
				t.Fatal(err)
			}
			c.ConnectionMade(&sink{})
			if err := Move(old, fresh, s.place); err == nil || old.Dead() == nil {
				t.Errorf("found %v, the old one %v", err, old.Dead())
			}
			fresh.Close()
			c.ConnectionLost(reactor.ProtocolFailed, nil)
			s.rest()
		}},
	} {
		for name, more := range map[string]func(*Settings){c.what: func(*Settings) {},
			c.what + ", and is paged": paging} {
			t.Run(name, func(t *testing.T) {
				s := standing(t, c.file, more, func(o *Settings) {
					o.Limits.Timers = 3
					if strings.HasPrefix(c.file, "hostile/loop") { // the others have time
						o.Limits.CallbackTime = 20 * time.Millisecond
					}
				})
				c.do(t, s)
				s.place.StopLoop(func() bool { return true })
				counts := s.account.Counts()
				if s.live != 0 || s.memory.live != 0 || counts.Timers != 0 || counts.Connections != 0 {
					t.Errorf("left are %d instances, %d memories, %d timers, %d connections", s.live, s.memory.live,
						counts.Timers, counts.Connections)
				}
			})
		}
	}
}

// TestTrash: what comes for the connections of a dead instance goes where no other loop
// puts anything.
func TestTrash(t *testing.T) {
	s, other := standing(t, "echo"), &Place{}
	i := s.instance(t)
	i.dead = errRetired
	b := i.receiveBuffer()
	if len(b) == 0 || &b[0] != &s.place.trash()[0] || &b[0] == &other.trash()[0] {
		t.Errorf("found a buffer of %d bytes that is not of its place alone", len(b))
	}
	i.dead = nil
}
