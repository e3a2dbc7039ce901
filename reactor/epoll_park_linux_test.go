package reactor

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestPark: what parks is told of events, as long as they are there, of a Wake before and
// meanwhile, and of the end of its time; and Wait goes on beside it.
func TestPark(t *testing.T) {
	s, err := newLinuxSys()
	if err != nil {
		t.Fatal(err)
	}
	poller, err := s.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	p, ok := poller.(*epoll)
	if !ok {
		t.Fatalf("found a %T", poller)
	}
	ready := make([]Ready, 4)
	wait := func(what string, by func([]Ready, time.Duration) (int, error), limit time.Duration, want int) {
		t.Helper()
		if n, err := by(ready, limit); n != want || err != nil {
			t.Errorf("%s: found %d ready, %v; wanted %d", what, n, err, want)
		} else if n > 0 && (ready[0].Token != 7 || ready[0].Events&ReadEvent == 0) {
			t.Errorf("%s: found %+v", what, ready[0])
		}
	}
	wake := func() {
		if err := p.Wake(); err != nil {
			t.Error(err)
		}
	}
	wait("nothing", p.park, time.Millisecond, 0)
	wake()
	wait("woken before", p.park, -1, 0)
	go wake()
	wait("woken meanwhile", p.park, -1, 0)
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	if err := p.Add(FD(pipe[0]), 7, ReadEvent); err != nil {
		t.Fatal(err)
	}
	go func() {
		if _, err := unix.Write(pipe[1], []byte("x")); err != nil {
			t.Error(err)
		}
	}()
	wait("written to meanwhile", p.park, -1, 1)
	wait("not read yet", p.park, time.Hour, 1)
	wait("not read yet, Wait", p.Wait, -1, 1)
	wait("not read yet, again", p.park, -1, 1)
	if _, err := unix.Read(pipe[0], make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	wait("read", p.park, time.Millisecond, 0)
	for _, fd := range pipe {
		if err := unix.Close(fd); err != nil {
			t.Error(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
