package simulator

import (
	"time"

	"github.com/wirehost/wirehost/reactor"
)

// latecomer is a protocol that is late: it is built some time later, again and
// again, or never.
type latecomer struct {
	f     factory
	p     *protocol
	asked bool // to build again
	over  bool // it was built, or is gone
}

func newLatecomer(f factory, p *protocol) *latecomer {
	s := &latecomer{f: f, p: p}
	w := f.w
	w.tracef("%v: its protocol is late", p)
	again := func() {
		if s.over { // the connection may wait for another by now
			return
		}
		w.tracef("%v: build again", p)
		s.asked = true
		w.inTransport++
		defer func() { w.inTransport-- }()
		p.t.BuildAgain()
	}
	for range w.c.n(3) {
		p.loop.CallLater(time.Duration(w.c.n(1500))*time.Millisecond, again)
	}
	return s
}

func (s *latecomer) Error() string { return "simulated lateness" }

func (s *latecomer) BuildProtocol(t reactor.Transport) (reactor.Protocol, error) {
	s.end("built again")
	if !s.asked || t != s.p.t {
		s.f.w.violated("%v: BuildProtocol again: asked for %v, transport %v", s.p, s.asked, t)
	}
	return s.f.BuildProtocol(t)
}

func (s *latecomer) Gone() {
	s.end("gone")
	if s.f.w.current != nil || s.f.w.inTransport > 0 {
		s.f.w.violated("%v: Gone inside another call", s.p)
	}
}

func (s *latecomer) end(how string) {
	s.f.w.tracef("%v: %s", s.p, how)
	if s.over {
		s.f.w.violated("%v: %s, twice or late", s.p, how)
	}
	s.over = true
}
