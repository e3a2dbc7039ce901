package guest

import (
	"errors"
	"testing"
	"time"

	"github.com/wirehost/wirehost/reactor"
)

// TestRestoreIsHeld: where restoreBuffer has taken the rest of the time for which a
// loop may be held, restoreState is not called.
func TestRestoreIsHeld(t *testing.T) {
	s := standing(t, "hostile/declines_state")
	i := s.fresh(t)
	defer i.Close()
	if err := i.restoreState(1, 0, []byte("state"), nil); err != nil {
		t.Error(err)
	}
	err := i.restoreState(1, 0, []byte("state"), &hold{clocks: &s.clocks, limit: 1})
	if held := (*errHeld)(nil); !errors.As(err, &held) {
		t.Errorf("got %v", err)
	}
}

// TestHeldBytesAreOwed: what restoreState has written is counted with what the commit
// will take for it.
func TestHeldBytesAreOwed(t *testing.T) {
	s := standing(t, "writes_when_restored")
	old, fresh := s.instance(t), s.fresh(t)
	defer fresh.Close()
	c, err := old.BuildProtocol(&sink{})
	if err != nil {
		t.Fatal(err)
	}
	c.ConnectionMade(&sink{})
	k := hold{clocks: &s.clocks, limit: time.Hour, began: s.clocks.Spent()}
	err = moveStates(old, fresh, &k)
	fresh.dropMoved()
	if err != nil || k.owed != 2000*heldByte {
		t.Errorf("%v, %v owed for 2000 bytes", err, k.owed)
	}
	if k.over() {
		t.Error("it is over at once")
	}
	k.began = s.clocks.Spent()
	if k.limit = k.owed; !k.over() {
		t.Error("it is not over")
	}
	c.ConnectionLost(reactor.Done, nil)
}

// TestInstancesEndInTheirShare: to free instances is a part of what their owner does,
// and waits where that has used up its share.
func TestInstancesEndInTheirShare(t *testing.T) {
	s := standing(t, "hostile/slow_everywhere")
	s.rest()
	i, to := s.instance(t), &sink{}
	if _, err := i.BuildProtocol(to); err != nil {
		t.Fatal(err)
	}
	waits := false
	s.place.Loop.CallLater(0, func() {
		s.place.Share.Spent(reactor.TurnShare)
		i.trapped(exDataReceived, 1, errors.New("for the test"))
		s.place.Loop.CallLater(0, func() { waits = !i.closed })
	})
	s.rest()
	if !waits {
		t.Error("an instance of an owner that is late is freed at once")
	}
	if !to.aborted || !i.closed {
		t.Errorf("its connection is aborted: %v, and it is closed: %v", to.aborted, i.closed)
	}
}
