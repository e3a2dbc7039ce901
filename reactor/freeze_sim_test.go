package reactor_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/reactor"
)

// scene is one connection of a hand, and a record of what its protocol and its peer see.
// Its steps are the same in each mode; so must be the record be.
type scene struct {
	*hand
	// left, thawed, moved; at once = moved before what the step has caused is told;
	// late = moved, and frozen while the peer acts
	mode string
	peer *memnet.Peer
	p    *told
	at   time.Duration
	log  []string

	frozen   *reactor.Frozen // while it is
	producer *sceneProducer  // that is registered
	share    *reactor.Share
}

func (s *scene) note(format string, args ...any) {
	s.log = append(s.log, fmt.Sprintf("%v ", s.sys.Now()-s.at)+fmt.Sprintf(format, args...))
}

// record has what p is told noted.
func (s *scene) record(p *told) {
	s.p = p
	p.onData = func(b []byte) { s.note("data %d", len(b)) }
	p.onLost = func() { s.note("lost %v %v", p.reason, p.err) }
}

// sceneProducer notes what it is told; a pull producer writes something.
type sceneProducer struct {
	s    *scene
	each int
}

func (r *sceneProducer) PauseProducing() { r.s.note("pause") }
func (r *sceneProducer) StopProducing()  { r.s.note("stop") }
func (r *sceneProducer) ResumeProducing() {
	r.s.note("resume")
	if r.each > 0 {
		r.s.p.t.Write(make([]byte, r.each))
	}
}

// step has the loop do f, and the connection be moved behind it.
func (s *scene) step(f func()) {
	s.t.Helper()
	if s.mode == "at once" {
		s.do(func() { f(); s.freeze(); s.thaw() })
		return
	}
	s.do(f)
	if s.mode == "thawed" || s.mode == "moved" {
		s.do(s.freeze)
		s.do(s.thaw)
	}
}

// act has the peer do f.
func (s *scene) act(f func()) {
	s.t.Helper()
	if s.mode == "late" {
		s.do(s.freeze)
	}
	f()
	if s.mode == "late" {
		s.steps()
		s.do(s.thaw)
	}
	s.steps()
	s.step(func() {})
}

// wait lets d go by, in four pieces.
func (s *scene) wait(d time.Duration) {
	s.t.Helper()
	for range 4 {
		s.pass(d / 4)
		s.step(func() {})
	}
}

func (s *scene) freeze() {
	f, err := s.r.Loops()[0].Freeze(s.p.t)
	if err != nil {
		if !s.p.lost && !strings.Contains(err.Error(), "it is over") {
			s.t.Errorf("freeze: %v", err)
		}
		return
	}
	s.frozen = &f
}

func (s *scene) thaw() {
	if s.frozen == nil {
		return
	}
	f := *s.frozen
	s.frozen = nil
	l := s.r.Loops()[0]
	if s.mode != "thawed" {
		text, err := json.Marshal(f)
		s.check(err)
		f = reactor.Frozen{}
		s.check(json.Unmarshal(text, &f))
		file, err := l.File(s.p.t)
		s.check(err)
		var producer reactor.Producer
		if s.producer != nil {
			producer = s.producer
		}
		next, err := l.Adopt(file, f, s.p, producer, s.p.t.Stats().Listener, s.share)
		s.check(errors.Join(err, file.Close()))
		l.Forget(s.p.t)
		s.p.t = next
	}
	l.Thaw(s.p.t)
}

func (s *scene) register(streaming bool, each int) {
	s.producer = &sceneProducer{s, each}
	s.note("register %v", s.p.t.RegisterProducer(s.producer, streaming))
}

func (s *scene) unregister() {
	s.producer = nil
	s.p.t.UnregisterProducer()
}

// take has the peer read up to n bytes.
func (s *scene) take(n int) {
	s.act(func() {
		buf := make([]byte, n)
		k, err := s.peer.Read(buf)
		s.note("peer: %d %v", k, err)
	})
}

func (s *scene) fin() { s.act(func() { s.note("fin %v", s.peer.CloseWrite()) }) }
func (s *scene) say(n int) {
	s.act(func() { k, err := s.peer.Write(make([]byte, n)); s.note("say %d %v", k, err) })
}
func (s *scene) write(n int) {
	s.step(func() { q, err := s.p.t.Write(make([]byte, n)); s.note("write %d %v", q, err) })
}

// sceneCfg has limits that a scene waits for, and small buffers.
var sceneCfg = reactor.Config{CloseTimeout: 8 * time.Second, WriteTimeout: 16 * time.Second,
	ClosedTimeout: 12 * time.Second, HighWater: 8 << 10, LowWater: 4 << 10}

var scenes = map[string]func(*scene){
	"bytes both ways": func(s *scene) {
		s.say(100)
		s.write(50)
		s.take(100)
		s.say(5000)
		s.write(3000)
		s.take(5000)
	},
	"output that nobody takes": func(s *scene) {
		s.write(7000)
		s.take(1000)
		s.wait(4 * time.Second)
		s.wait(40 * time.Second)
	},
	"a slow reader": func(s *scene) {
		s.write(7000)
		for range 40 {
			s.wait(4 * time.Second)
			s.take(150)
		}
	},
	"watermarks, push": func(s *scene) {
		s.step(func() { s.register(true, 0) })
		s.write(20000)
		s.say(10)
		for range 10 {
			s.take(4000)
		}
		s.write(100)
	},
	"watermarks, a producer that comes late": func(s *scene) {
		s.write(20000)
		s.step(func() { s.register(true, 0) })
		s.step(s.unregister)
		s.step(func() { s.register(true, 0) })
		for range 10 {
			s.take(4000)
		}
	},
	"pull": func(s *scene) {
		s.step(func() { s.register(false, 3000) })
		for range 10 {
			s.take(2000)
		}
		s.step(func() { s.p.t.LoseConnection() })
		s.wait(20 * time.Second)
	},
	"pull, in vain": func(s *scene) {
		s.step(func() { s.register(false, 0) })
		for range 5 {
			s.step(func() { s.unregister(); s.register(false, 0) })
			s.wait(20 * time.Millisecond)
		}
		s.step(func() { s.unregister(); s.register(false, 0) })
		s.wait(4 * time.Millisecond)
		s.wait(8 * time.Millisecond)
	},
	"lose, with output": func(s *scene) {
		s.write(9000)
		s.step(s.lose)
		s.say(10)
		s.take(4000)
		s.wait(4 * time.Second)
		s.take(4000)
		s.take(4000)
		s.take(4000)
		s.fin()
	},
	"lose, and nobody takes": func(s *scene) {
		s.write(9000)
		s.step(s.lose)
		s.wait(6 * time.Second)
		s.wait(6 * time.Second)
	},
	"lose with a producer": func(s *scene) {
		s.step(func() { s.register(true, 0) })
		s.step(s.lose)
		s.write(100)
		s.wait(6 * time.Second)
		s.step(s.unregister)
		s.take(1000)
	},
	"lose our side": func(s *scene) {
		s.write(9000)
		s.step(func() { s.p.t.LoseWriteConnection() })
		for range 5 {
			s.take(4000)
		}
		s.say(10)
		s.fin()
	},
	"the peer's side": func(s *scene) {
		s.say(10)
		s.fin()
		s.write(9000)
		for range 5 {
			s.take(4000)
		}
		s.step(s.lose)
		s.take(1)
	},
	"a FIN behind unread bytes": func(s *scene) {
		s.step(func() { s.p.t.PauseProducing() })
		s.say(1000)
		s.fin()
		s.wait(8 * time.Second)
		s.step(func() { s.p.t.ResumeProducing(); s.p.t.PauseProducing() })
		s.wait(8 * time.Second)
	},
	"a FIN, paused again and again": func(s *scene) {
		s.write(20000) // so that nothing is read when the protocol resumes
		s.say(10)
		s.fin()
		s.step(func() { s.p.t.PauseProducing() })
		for range 4 {
			s.wait(5 * time.Second)
			s.take(2000)
			s.step(func() { s.p.t.ResumeProducing() })
			s.wait(time.Second)
			s.step(func() { s.p.t.PauseProducing() })
		}
	},
	"idle": func(s *scene) {
		s.step(func() { s.p.t.SetTimeout(10 * time.Second) })
		s.wait(8 * time.Second)
		s.say(10)
		s.wait(8 * time.Second)
		s.wait(8 * time.Second)
	},
	"idle, set late": func(s *scene) {
		s.say(10)
		s.wait(20 * time.Second)
		s.step(func() { s.p.t.SetTimeout(10 * time.Second) })
		s.wait(8 * time.Second)
		s.wait(8 * time.Second)
	},
	"reset": func(s *scene) {
		s.say(10)
		s.act(s.peer.Reset)
	},
	"reset while paused": func(s *scene) {
		s.step(func() { s.p.t.PauseProducing() })
		s.say(10)
		s.act(s.peer.Reset)
	},
	"abort": func(s *scene) {
		s.write(9000)
		s.step(func() { s.p.t.AbortConnection() })
		s.take(100)
	},
	"an owner that is late": func(s *scene) {
		s.p.onData = func(b []byte) { s.note("data %d", len(b)); s.share.Spent(reactor.TurnShare) }
		for range 3 {
			s.say(100)
			s.step(func() { s.share.Spent(reactor.TurnShare) })
			s.step(func() { s.register(true, 0); s.share.Spent(reactor.TurnShare) })
			s.write(30000)
			s.take(20000)
			s.take(20000)
			s.step(func() { s.unregister(); s.share.Spent(reactor.TurnShare) })
		}
		s.fin()
	},
}

func (s *scene) lose() { s.p.t.LoseConnection() }

// TestFrozenSeesTheSame plays each scene with its connection left alone, frozen and
// thawed behind each step, and moved: the protocol and its peer see the same.
func TestFrozenSeesTheSame(t *testing.T) {
	for name, play := range scenes {
		for _, scheme := range []string{"tcp", "unix"} {
			t.Run(name+"/"+scheme, func(t *testing.T) {
				wanted := playScene(t, "left", scheme, play)
				for _, mode := range []string{"thawed", "moved", "at once", "late"} {
					if found := playScene(t, mode, scheme, play); !slices.Equal(found, wanted) {
						t.Errorf("%s: found\n\t%s\nwanted\n\t%s", mode, strings.Join(found, "\n\t"),
							strings.Join(wanted, "\n\t"))
					}
				}
			})
		}
	}
}

func playScene(t *testing.T, mode, scheme string, play func(*scene)) []string {
	s := &scene{mode: mode, hand: newHand(t, scheme, memnet.Options{Buffer: 3 << 10}, sceneCfg)}
	s.share = s.r.Loops()[0].NewShare()
	s.check(s.ln.Configure(s.hand, reactor.ListenOptions{Loop: -1,
		Share: func(*reactor.Loop) *reactor.Share { return s.share }}))
	s.at = s.sys.Now()
	s.made = s.record
	s.peer, _ = s.dial()
	play(s)
	if !s.p.lost {
		st := s.p.t.Stats()
		s.note("%d in, %d out, %d queued, opened %v, active %v", st.In, st.Out, st.Queued, st.Opened-s.at,
			st.Active-s.at)
		s.note("state %b, peer %s, host %s", s.p.t.State(), s.p.t.Peer(), s.p.t.Host())
	}
	s.note("%d connections of %d", s.ln.Stats().Connections, s.r.Connections())
	return append(s.log, s.p.events...)
}

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
