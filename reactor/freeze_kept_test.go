package reactor_test

import (
	"errors"
	"io"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/reactor"
)

// TestFrozenBehindProxy moves a connection with the addresses of its PROXY header, and
// with bytes that have come with it.
func TestFrozenBehindProxy(t *testing.T) {
	for _, mode := range []string{"left", "moved"} {
		s := &scene{mode: mode, hand: newHand(t, "tcp", memnet.Options{}, sceneCfg)}
		s.check(s.ln.Configure(s.hand, reactor.ListenOptions{Loop: -1, ProxyProtocol: true,
			ProxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}))
		s.made = func(p *told) { s.record(p); p.t.PauseProducing() }
		var err error
		s.peer, err = s.sys.Dial(reactor.Address(s.ln.Endpoint()))
		s.check(err)
		s.send(s.peer, []byte("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nhello"))
		s.step(func() {})
		if peer, host := s.p.t.Peer(), s.p.t.Host(); peer != "tcp://192.0.2.1:1" || host != "tcp://192.0.2.2:2" {
			t.Errorf("%s: found %s at %s", mode, peer, host)
		}
		if len(s.log) > 0 {
			t.Errorf("%s: found %q, wanted nothing yet", mode, s.log)
		}
		s.step(func() { s.p.t.ResumeProducing() })
		s.say(3)
		if got := strings.Join(s.log, "; "); !strings.Contains(got, "data 5") || !strings.Contains(got, "data 3") {
			t.Errorf("%s: found %q", mode, got)
		}
	}
}

// TestFrozenElsewhere: what can't be moved says why, and goes on.
func TestFrozenElsewhere(t *testing.T) {
	h := newHand(t, "tcp", memnet.Options{}, reactor.Config{})
	l := h.r.Loops()[0]
	other := newHand(t, "tcp", memnet.Options{}, reactor.Config{})
	peer, p := h.dial()
	refuses := func(why string, t reactor.Transport) {
		h.t.Helper()
		if _, err := l.Freeze(t); err == nil || !strings.Contains(err.Error(), why) {
			h.t.Errorf("found %v, wanted %q", err, why)
		}
	}
	p.onData = func([]byte) { refuses("callback", p.t) }
	h.send(peer, []byte("x"))
	_, q := other.dial()
	h.do(func() { refuses("another loop", q.t) })
	h.do(func() { p.t.AbortConnection(); refuses("over", p.t) })
	_, p = h.dial()
	h.do(func() {
		f, err := l.Freeze(p.t)
		h.check(err)
		refuses("frozen", p.t)
		file, err := l.File(p.t)
		h.check(err)
		defer file.Close()
		if _, err := l.Adopt(file, f, p, &sceneProducer{}, h.ln, nil); err == nil {
			t.Error("adopted with a producer that was not there")
		}
		f.Outgoing = true
		if _, err := l.Adopt(file, f, p, nil, h.ln, nil); err == nil {
			t.Error("adopted an outgoing connection of a listener")
		}
		f.Ahead = []byte("x")
		if _, err := l.Adopt(file, f, p, nil, nil, nil); err == nil {
			t.Error("adopted bytes that were read ahead")
		}
		l.Thaw(p.t)
		l.Thaw(p.t)   // does nothing
		l.Forget(p.t) // the same
	})
	if n := h.ln.Stats().Connections; n != 1 || p.lost {
		t.Errorf("found %d connections", n)
	}
}

// TestAdoptedCounts: an adopted connection counts, and is never one too many. One whose
// listener is not here is still an accepted one.
func TestAdoptedCounts(t *testing.T) {
	h := newHand(t, "tcp", memnet.Options{}, reactor.Config{MaxConnections: 2})
	l := h.r.Loops()[0]
	_, a := h.dial()
	peer, b := h.dial()
	h.do(func() {
		f, err := l.Freeze(b.t)
		h.check(err)
		file, err := l.File(b.t)
		h.check(err)
		f.Age += 10 * time.Hour // of a process that began long before this
		f.SinceActive += 10 * time.Hour
		f.Idle, f.SinceIdle = 11*time.Hour, f.SinceActive
		next, err := l.Adopt(file, f, b, nil, nil, nil)
		h.check(errors.Join(err, file.Close()))
		if n := h.r.Connections(); n != 3 {
			t.Errorf("found %d connections", n)
		}
		l.Forget(b.t)
		b.t = next
		l.Thaw(next)
		if next.State()&reactor.StateOutgoing != 0 {
			t.Error("found an outgoing one")
		}
		if err := next.StartTLS(); !errors.Is(err, reactor.ErrNotSupported) {
			t.Errorf("found %v", err)
		}
	})
	if n := h.ln.Stats().Connections; n != 1 {
		t.Errorf("found %d connections of the listener, wanted 1", n)
	}
	third, err := h.sys.Dial(reactor.Address(h.ln.Endpoint()))
	h.check(err)
	h.steps()
	if _, err := third.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("found %v, wanted the third one to be refused", err)
	}
	h.pass(59 * time.Minute)
	b.want(t, false, 0)
	h.pass(2 * time.Minute)
	b.want(t, true, reactor.Timeout)
	a.want(t, false, 0)
	if _, err := peer.Read(make([]byte, 1)); err == syscall.EAGAIN {
		t.Error("found the peer's connection open")
	}
}

// TestFrozenAtTheEnd: the end of a loop lets go of what is frozen, which another process
// may have: the peer hears nothing, and so does the protocol.
func TestFrozenAtTheEnd(t *testing.T) {
	h := newHand(t, "tcp", memnet.Options{}, reactor.Config{})
	peer, p := h.dial()
	l := h.r.Loops()[0]
	var fd reactor.FD
	h.do(func() {
		_, err := l.Freeze(p.t)
		h.check(err)
		file, err := l.File(p.t)
		h.check(err)
		fd, err = h.sys.Open(file, false)
		h.check(errors.Join(err, file.Close()))
	})
	h.check(h.r.Close())
	if _, err := peer.Read(make([]byte, 1)); err != syscall.EAGAIN || p.lost {
		t.Errorf("found %v, and a protocol that was told %q", err, p.events)
	}
	h.check(h.sys.Close(fd))
}

// TestMovedKeepsItsLimits: a connection that goes to and fro is no faster and no younger
// for it, and counts to its peer once.
func TestMovedKeepsItsLimits(t *testing.T) {
	const rate, seconds = 8000, 5
	for _, mode := range []string{"left", "thawed", "moved", "late"} {
		s := &scene{mode: mode, hand: newHand(t, "tcp", memnet.Options{}, sceneCfg)}
		o := reactor.ListenOptions{Loop: -1, Rate: reactor.Rates{In: rate}, MaxAge: 20 * time.Second,
			PerPeer: reactor.PeerLimits{Connections: 1}}
		s.check(s.ln.Configure(s.hand, o))
		s.made = s.record
		s.peer, _ = s.dial()
		got := 0
		s.p.onData = func(b []byte) { got += len(b) }
		s.act(func() { s.send(s.peer, make([]byte, rate*seconds)) })
		for range 40 {
			s.wait(time.Second / 10)
		}
		if least, most := rate*4, rate*4+rate/2; got < least || got > most {
			t.Errorf("%s: found %d bytes after 4 s, wanted %d to %d", mode, got, least, most)
		}
		second, err := s.sys.Dial(reactor.Address(s.ln.Endpoint()))
		s.check(err)
		s.steps()
		if _, err := second.Read(make([]byte, 1)); err == syscall.EAGAIN {
			t.Errorf("%s: found a second connection of the peer", mode)
		}
		s.wait(15 * time.Second)
		s.p.want(t, false, 0)
		s.write(20)
		s.wait(2 * time.Second)
		s.p.want(t, true, reactor.Timeout)
		if s.p.err == nil || !strings.Contains(s.p.err.Error(), "max_age") {
			t.Errorf("%s: found %v", mode, s.p.err)
		}
		s.made = nil
		s.check(s.peer.Close())
		s.steps()
		if _, p := s.dial(); p == nil {
			t.Errorf("%s: the peer gets no connection any more", mode)
		}
	}
}

// TestMovedWhileRetired: one whose time was over when it was moved ends for that reason.
func TestMovedWhileRetired(t *testing.T) {
	for _, mode := range []string{"left", "moved"} {
		s := &scene{mode: mode, hand: newHand(t, "tcp", memnet.Options{Buffer: 3 << 10}, sceneCfg)}
		s.check(s.ln.Configure(s.hand, reactor.ListenOptions{Loop: -1, MaxAge: 2 * time.Second}))
		s.made = s.record
		s.peer, _ = s.dial()
		s.write(7000)
		s.wait(3 * time.Second)
		s.p.want(t, false, 0)
		for range 4 {
			s.take(3000)
		}
		s.p.want(t, true, reactor.Timeout)
		if s.p.err == nil || !strings.Contains(s.p.err.Error(), "max_age") {
			t.Errorf("%s: found %v", mode, s.p.err)
		}
	}
}

// TestFrozenBeforeItIsTold: a producer whose owner is late when its connection is frozen is told
// after the move what it was to be told before.
func TestFrozenBeforeItIsTold(t *testing.T) {
	for _, mode := range []string{"thawed", "moved"} {
		s := &scene{mode: mode, hand: newHand(t, "tcp", memnet.Options{Buffer: 3 << 10}, sceneCfg)}
		s.share = s.r.Loops()[0].NewShare()
		s.check(s.ln.Configure(s.hand, reactor.ListenOptions{Loop: -1,
			Share: func(*reactor.Loop) *reactor.Share { return s.share }}))
		s.made = s.record
		s.peer, _ = s.dial()
		s.step(func() { s.register(true, 0) })
		turns := func(f func()) { // while it is late, which the loop does not rest from
			s.check(s.r.Loops()[0].CallFromThread(f))
			for range 8 {
				s.r.Step()
			}
		}
		for _, tc := range []struct {
			word string
			do   func()
			has  func(reactor.Frozen) bool
		}{
			{"pause", func() {
				turns(func() {
					_, err := s.p.t.Write(make([]byte, 20_000))
					s.check(err)
				})
			}, func(f reactor.Frozen) bool { return f.TellPause && !f.TellResume }},
			{"resume", func() {
				for range 10 {
					if _, err := s.peer.Read(make([]byte, 20_000)); err != nil && err != syscall.EAGAIN {
						t.Fatal(err)
					}
					turns(func() {})
				}
			}, func(f reactor.Frozen) bool { return f.TellResume && !f.TellPause }},
		} {
			turns(s.share.Hold)
			s.log = nil
			tc.do()
			turns(func() {
				s.freeze()
				if s.frozen == nil || !tc.has(*s.frozen) {
					t.Errorf("%s, %s: found %+v", mode, tc.word, s.frozen)
				}
				s.thaw()
			})
			if len(s.log) > 0 {
				t.Errorf("%s: found %q told to an owner that is late", mode, s.log)
			}
			s.do(s.share.Release)
			if got := strings.Join(s.log, ";"); !strings.HasSuffix(got, tc.word) || len(s.log) != 1 {
				t.Errorf("%s: found %q, wanted %q once", mode, got, tc.word)
			}
		}
	}
}
