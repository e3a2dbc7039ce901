package wirenet

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

// paces are the times from tick to tick, until none comes.
func (r *rig) paces(most int) []time.Duration {
	var list []time.Duration
	for len(list) < most {
		d, ok := r.server.Due()
		if !ok {
			break
		}
		list = append(list, d)
		r.server.Advance(d)
	}
	return list
}

// TestTicks: soon after a callback, then each at most a quarter (and 1 ms)
// longer after the one before, up to Tick. So a timer of Go's runtime that was
// set during the callback is found at most a quarter of its time late.
func TestTicks(t *testing.T) {
	for _, c := range []struct {
		name    string
		options Options
		longest time.Duration
		end     bool // they end when no connection is open
	}{
		{"usual", Options{}, 100 * time.Millisecond, true},
		{"rare", Options{Tick: time.Second}, time.Second, true},
		{"often", Options{Tick: time.Millisecond}, time.Millisecond, true},
		{"background", Options{Background: true}, 100 * time.Millisecond, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := startRig(t, c.options, sdktest.Options{})
			r.paces(100) // those of the start
			peer, conn := r.accept()
			for range 2 { // after a callback while they are rare, it begins anew
				list := r.paces(60)
				if len(list) != 60 || list[0] != time.Millisecond || list[59] != c.longest {
					t.Fatalf("found %v, wanted 1 ms first, %v last", list, c.longest)
				}
				for i := 1; i < len(list); i++ {
					if list[i] < list[i-1] || list[i] > list[i-1]*5/4+time.Millisecond {
						t.Errorf("%v after %v", list[i], list[i-1])
					}
				}
				peer.Send("x")
			}
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			r.until("the connection has ended", func() bool { _, ended := peer.Ended(); return ended })
			r.spare.Break(0)
			if list := r.paces(200); (len(list) < 200) != c.end {
				t.Errorf("%d ticks with no connection", len(list))
			}
		})
	}
}

func TestTicksWhileBusyCostOneTimer(t *testing.T) {
	r := startRig(t, Options{}, sdktest.Options{})
	peer, _ := r.accept()
	before := r.server.Calls
	for range 100 {
		peer.Send("x")
	}
	if calls := r.server.Calls - before; calls != 0 {
		t.Errorf("100 callbacks made %d calls to the server, wanted none", calls)
	}
	if n := r.server.Timers(); n != 1 {
		t.Errorf("%d timers, wanted 1", n)
	}
}

func TestNoTicks(t *testing.T) {
	r := startRig(t, Options{Tick: -1}, sdktest.Options{})
	_, c := r.accept()
	if n := r.server.Timers(); n != 0 {
		t.Errorf("%d timers, wanted none", n)
	}
	if err := c.SetReadDeadline(r.now().Add(longest + time.Hour)); err != nil {
		t.Fatal(err)
	}
	r.poke()
	if d, ok := r.server.Due(); !ok || d != longest {
		t.Errorf("due in %v, wanted %v", d, longest)
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	r.poke()
	if n := r.server.Timers(); n != 0 {
		t.Errorf("%d timers after the deadline was taken away, wanted none", n)
	}
}

// TestDeadlinesAreExact: with no ticks, a deadline comes in its millisecond.
func TestDeadlinesAreExact(t *testing.T) {
	r := startRig(t, Options{Tick: -1}, sdktest.Options{})
	_, c := r.accept()
	_, other := r.accept()
	r.poke()
	at := r.now().Add(50 * time.Millisecond)
	for _, err := range []error{
		c.SetReadDeadline(at.Add(time.Hour)), c.SetReadDeadline(at), other.SetDeadline(at.Add(time.Minute)),
		c.SetWriteDeadline(at.Add(time.Millisecond)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	read := start(c.Read, make([]byte, 1))
	r.poke()
	r.server.Advance(49 * time.Millisecond)
	r.poke()
	if c.reading.expired {
		t.Error("expired 1 ms too early")
	}
	r.server.Advance(time.Millisecond)
	if res := r.wait(read); !errors.Is(res.err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", res.err)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Errorf("Write 1 ms before its deadline: %v", err)
	}
	r.server.Advance(time.Millisecond)
	if _, err := c.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Write at its deadline: %v", err)
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Errorf("Write with the deadline taken away: %v", err)
	}
	r.poke()
	if n := len(r.factory.deadlines); other.reading.expired || n != 2 {
		t.Errorf("%d deadlines are left, wanted the other connection's two", n)
	}
	other.Close()
	c.Close()
	if n := len(r.factory.deadlines); n != 0 {
		t.Errorf("%d deadlines of a closed connection", n)
	}
}
