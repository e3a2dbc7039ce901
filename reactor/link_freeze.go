package reactor

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
)

// FrozenLink is what a connection inside the process has in place of a socket. Both ends go
// to the other process, or none: what one has written and the other has not read is there.
type FrozenLink struct {
	Number   uint64 // of both ends, in the process that they come from
	Accepted bool   // it is the end that ConnectInside has connected to
	Alone    bool   // the other end has closed

	Peer, Host, Protocol string
	Certificate          []byte
	Depth                int

	Unread                   []byte
	Fin, Shut, Reset, Broken bool // Broken: ECONNRESET is to be told
}

// links numbers connections inside the process, and has those of which one end is adopted.
// Any goroutine.
type links struct {
	mu     sync.Mutex
	last   uint64
	coming map[uint64]*link // by FrozenLink.Number
}

func (s *links) number() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	return s.last
}

// FreezeLink is what Freeze leaves out of a connection inside the process, whose other end is
// frozen too, or closed: it is [Frozen.Link]. Loop only.
func (l *Loop) FreezeLink(t Transport) (*FrozenLink, error) {
	c, ok := t.(*connection)
	if !ok || c.loop != l || c.link == nil || c.stage != stageFrozen {
		return nil, errors.New("reactor: freeze: found no frozen connection inside the process")
	}
	e := c.link
	e.link.lock()
	defer e.link.unlock()
	s := &FrozenLink{Number: e.link.number, Accepted: e == &e.link.ends[1], Alone: e.other.closed,
		Peer: e.facts.peer, Host: e.facts.host, Protocol: e.facts.protocol, Certificate: e.facts.cert,
		Depth: e.facts.depth, Unread: make([]byte, e.in.n),
		Fin: e.fin, Shut: e.shut, Reset: e.reset, Broken: e.err != 0}
	e.in.peek(s.Unread)
	return s, nil
}

// peek copies what there is, which stays. p has its length.
func (q *ring) peek(p []byte) {
	if q.n > 0 {
		n := copy(p, q.buf[q.head:min(linkSize, q.head+q.n)])
		copy(p[n:], q.buf[:q.n-n])
	}
}

// adoptEnd makes one end of a link, of which the other comes, too, or has come.
func (c *connection) adoptEnd(s *FrozenLink) error {
	l := c.loop
	if len(s.Unread) > linkSize {
		return fmt.Errorf("found %d bytes on their way inside the process, wanted at most %d", len(s.Unread), linkSize)
	}
	all := &l.r.links
	all.mu.Lock()
	defer all.mu.Unlock()
	p := all.coming[s.Number]
	own := 0
	if s.Accepted {
		own = 1
	}
	switch {
	case p == nil:
		all.last++
		p = &link{number: all.last}
		p.join(1-own, l).closed = s.Alone // up to its own time
		if s.Alone {
			break
		}
		if all.coming == nil {
			all.coming = map[uint64]*link{}
		}
		all.coming[s.Number] = p
	case p.ends[own].conn != nil:
		return errors.New("found the same end of a connection inside the process twice")
	default:
		delete(all.coming, s.Number)
		p.apart = p.ends[1-own].loop != l
	}
	e := p.join(own, l)
	e.conn = c
	e.facts = linkFacts{s.Peer, s.Host, s.Certificate, s.Protocol, s.Depth}
	e.fin, e.shut, e.reset = s.Fin, s.Shut, s.Reset
	if s.Broken {
		e.err = syscall.ECONNRESET
	}
	if len(s.Unread) > 0 {
		e.in.write(s.Unread, l.r)
	}
	e.lander, _ = c.proto.(Lander)
	c.fd, c.link = insideFD, e
	return nil
}

// join makes the nth end one of a loop's.
func (p *link) join(n int, l *Loop) *linkEnd {
	e := &p.ends[n]
	e.Sys, e.link, e.other, e.loop = l.sys, p, &p.ends[1-n], l
	e.poll.end = e
	return e
}

// forgetEnd drops what waits for the other end of a link that was adopted.
func (r *Reactor) forgetEnd(p *link) {
	r.links.mu.Lock()
	defer r.links.mu.Unlock()
	for number, coming := range r.links.coming {
		if coming == p {
			delete(r.links.coming, number)
		}
	}
}
