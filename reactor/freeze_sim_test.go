package reactor_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
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
