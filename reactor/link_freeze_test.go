package reactor_test

import (
	"testing"

	"github.com/wirehost/wirehost/reactor"
)

// quiet is a protocol that reads nothing until it is resumed, and keeps what comes.
type quiet struct {
	t    reactor.Transport
	made chan struct{}
	came chan string
}

func newQuiet() *quiet { return &quiet{made: make(chan struct{}), came: make(chan string, 1)} }

func (q *quiet) BuildProtocol(reactor.Transport) (reactor.Protocol, error) { return q, nil }

func (q *quiet) ConnectionMade(t reactor.Transport) {
	q.t = t
	t.PauseProducing()
	close(q.made)
}

func (q *quiet) DataReceived(p []byte)                  { q.came <- string(p) }
func (q *quiet) ConnectionLost(reactor.Reason, error)   {}
func (q *quiet) ConnectionFailed(reactor.Reason, error) {}

// TestLinkMoves: what one end has written and the other has not read goes with both ends.
func TestLinkMoves(t *testing.T) {
	var rs [2]*reactor.Reactor
	for n := range rs {
		r, err := reactor.New(reactor.Config{Loops: 1})
		if err == nil {
			err = r.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		rs[n] = r
	}
	on := func(n int, f func(*reactor.Loop)) {
		t.Helper()
		l, done := rs[n].Loops()[0], make(chan struct{})
		if err := l.CallFromThread(func() { defer close(done); f(l) }); err != nil {
			t.Fatal(err)
		}
		<-done
	}
	front, back := newQuiet(), newQuiet()
	ln, err := rs[0].ListenInside("back", back, reactor.ListenOptions{Loop: -1})
	if err != nil {
		t.Fatal(err)
	}
	on(0, func(l *reactor.Loop) { l.ConnectInside(ln, "back", front, reactor.ConnectOptions{From: "front"}) })
	<-front.made
	<-back.made
	var list [2]reactor.Frozen
	on(0, func(l *reactor.Loop) {
		if _, err := front.t.Write([]byte("hello")); err != nil {
			t.Error(err)
		}
		for n, end := range []*quiet{front, back} {
			if list[n], err = l.Freeze(end.t); err != nil {
				t.Error(err)
			}
		}
		for n, end := range []*quiet{front, back} {
			if list[n].Link, err = l.FreezeLink(end.t); err != nil {
				t.Error(err)
			}
			l.Forget(end.t)
		}
	})
	if t.Failed() {
		return
	}
	moved := newQuiet()
	on(1, func(l *reactor.Loop) {
		var ends [2]reactor.Transport
		for n, p := range []*quiet{newQuiet(), moved} {
			if ends[n], err = l.Adopt(nil, list[n], p, nil, nil, nil); err != nil {
				t.Error(err)
				return
			}
		}
		for _, end := range ends {
			l.Thaw(end)
		}
		ends[1].ResumeProducing()
	})
	if t.Failed() {
		return
	}
	if got := <-moved.came; got != "hello" {
		t.Errorf("found %q, wanted what was on its way", got)
	}
}
