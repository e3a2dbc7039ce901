package guest

import (
	"errors"
	"testing"
)

// TestSocketNoRoomToComeBack: where an instance can't be paged in for a datagram it ends, and
// its socket waits for another.
func TestSocketNoRoomToComeBack(t *testing.T) {
	s := standing(t, "datagrams", paging)
	i := s.instance(t)
	k, o := s.socket(t)
	k.Begin(i)
	if !s.place.pageOut(i) {
		t.Fatal("it stays")
	}
	s.place.closeCell(s.place.pool.take(100))
	s.memory.Map = noMemory
	b := k.ReceiveBuffer()
	k.DatagramsReceived(b, 1)
	if len(b) < 1024 || !errors.Is(i.Dead(), ErrNoRoom) || k.Instance() != nil || o.lost != 1 {
		t.Errorf("found %d bytes, %v, the instance %v; it is lost %d times", len(b), i.Dead(), k.Instance(), o.lost)
	}
	s.rest()
}
