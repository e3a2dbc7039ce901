package reactor

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// parking is a poller with a pipe, whose token is 7.
type parking struct {
	*epoll
	t    *testing.T
	pipe [2]int
}

func newParking(t *testing.T) *parking {
	t.Helper()
	s, err := newLinuxSys()
	if err != nil {
		t.Fatal(err)
	}
	poller, err := s.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	p := &parking{epoll: poller.(*epoll), t: t}
	if err := unix.Pipe2(p.pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	if err := p.Add(FD(p.pipe[0]), 7, ReadEvent); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(unix.Close(p.pipe[0]), unix.Close(p.pipe[1]), p.Close()); err != nil {
			t.Error(err)
		}
	})
	return p
}

func (p *parking) wait(what string, by func([]Ready, time.Duration) (int, error), limit time.Duration, want int) {
	p.t.Helper()
	ready := make([]Ready, 4)
	if n, err := by(ready, limit); n != want || err != nil {
		p.t.Errorf("%s: found %d ready, %v; wanted %d", what, n, err, want)
	} else if n > 0 && (ready[0].Token != 7 || ready[0].Events&ReadEvent == 0) {
		p.t.Errorf("%s: found %+v", what, ready[0])
	}
}

func (p *parking) wake() {
	if err := p.Wake(); err != nil {
		p.t.Error(err)
	}
}

func (p *parking) write() {
	if _, err := unix.Write(p.pipe[1], []byte("x")); err != nil {
		p.t.Error(err)
	}
}

// TestPark: what parks is told of events, as long as they are there, of a Wake before and
// meanwhile, and of the end of its time; and Wait goes on beside it.
func TestPark(t *testing.T) {
	p := newParking(t)
	p.wait("nothing", p.park, time.Millisecond, 0)
	p.wake()
	p.wait("woken before", p.park, -1, 0)
	go p.wake()
	p.wait("woken meanwhile", p.park, -1, 0)
	go p.write()
	p.wait("written to meanwhile", p.park, -1, 1)
	p.wait("not read yet", p.park, time.Hour, 1)
	p.wait("not read yet, Wait", p.Wait, -1, 1)
	p.wait("not read yet, again", p.park, -1, 1)
	if _, err := unix.Read(p.pipe[0], make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	p.wait("read", p.park, time.Millisecond, 0)
}

// TestParkAnew: what parks no more has no descriptor, waits as ever, and parks anew.
func TestParkAnew(t *testing.T) {
	p := newParking(t)
	p.write()
	p.wait("parked", p.park, -1, 1)
	file := p.parked.file
	for range 2 { // to do it again is nothing
		if err := p.unpark(); err != nil {
			t.Error(err)
		}
	}
	if err := file.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("its descriptor: found %v, wanted that it is closed", err)
	}
	p.wait("Wait again", p.Wait, -1, 1)
	p.wait("parked anew", p.park, -1, 1)
}

// parks counts what a loop asks of a parker.
type parks struct {
	parked, unparked int
	fails            bool
}

func (p *parks) park([]Ready, time.Duration) (int, error) {
	p.parked++
	if p.fails {
		return 0, unix.EMFILE
	}
	return 1, nil
}

func (p *parks) unpark() error {
	p.unparked++
	return nil
}

// TestUnpark: a loop lets go of what it parks by when it parks no more, and when it can't.
func TestUnpark(t *testing.T) {
	r, err := New(Config{Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, fails := range []bool{false, true} {
		l, p := r.loops[0], &parks{fails: fails}
		l.parker, l.parks = p, 2
		for l.parks > 0 {
			if p.unparked > 0 {
				t.Errorf("fails %t: it has let go, and is to park %d times", fails, l.parks)
			}
			if n, ok := l.park(-1); ok == fails || ok && n != 1 {
				t.Errorf("fails %t: found %d, %t", fails, n, ok)
			}
		}
		if want := map[bool]int{false: 2, true: 1}[fails]; p.parked != want || p.unparked != 1 {
			t.Errorf("fails %t: it has parked %d times and let go %d times, wanted %d and 1", fails, p.parked,
				p.unparked, want)
		}
	}
}
