package memnet

import (
	"errors"
	"slices"
	"syscall"
	"time"

	"github.com/wirehost/wirehost/reactor"
)

// poller is a reactor.Poller of a Sys.
type poller struct {
	sys    *Sys
	socks  []*descriptor
	next   int // where the next Wait begins
	woken  bool
	closed bool

	blocked bool          // in Wait
	until   time.Duration // when it ends by itself; -1 = never
}

var errPollerClosed = errors.New("memnet: the poller is closed")

// NewPoller makes one.
func (s *Sys) NewPoller() (reactor.Poller, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &poller{sys: s}
	s.pollers = append(s.pollers, p)
	return p, nil
}

func (p *poller) lookup(fd reactor.FD, what string) (*descriptor, error) {
	sock := p.sys.socket(fd, what)
	switch {
	case p.closed:
		p.sys.misused("%s on a closed poller", what)
		return nil, errPollerClosed
	case sock == nil:
		return nil, syscall.EBADF
	}
	return sock, nil
}

func (p *poller) Add(fd reactor.FD, token uint64, want reactor.Events) error {
	p.sys.mu.Lock()
	defer p.sys.mu.Unlock()
	sock, err := p.lookup(fd, "poller add")
	if err != nil {
		return err
	}
	if sock.poller != nil {
		p.sys.misused("poller add of FD %d, which is polled", fd)
		return syscall.EEXIST
	}
	sock.poller, sock.token, sock.want = p, token, want
	p.socks = append(p.socks, sock)
	p.sys.changed.Broadcast()
	return nil
}

func (p *poller) Modify(fd reactor.FD, token uint64, want reactor.Events) error {
	p.sys.mu.Lock()
	defer p.sys.mu.Unlock()
	sock, err := p.lookup(fd, "poller modify")
	if err != nil {
		return err
	}
	if sock.poller != p {
		p.sys.misused("poller modify of FD %d, which is not polled", fd)
		return syscall.ENOENT
	}
	sock.token, sock.want = token, want
	p.sys.changed.Broadcast()
	return nil
}

func (p *poller) Remove(fd reactor.FD) error {
	p.sys.mu.Lock()
	defer p.sys.mu.Unlock()
	sock, err := p.lookup(fd, "poller remove")
	if err != nil {
		return err
	}
	if sock.poller != p {
		p.sys.misused("poller remove of FD %d, which is not polled", fd)
		return syscall.ENOENT
	}
	p.remove(sock)
	return nil
}

func (p *poller) remove(sock *descriptor) {
	sock.poller = nil
	if i := slices.Index(p.socks, sock); i >= 0 {
		p.socks = slices.Delete(p.socks, i, i+1)
	}
}

// Wait blocks until there are events, a Wake, or the clock was turned that far.
func (p *poller) Wait(ready []reactor.Ready, timeout time.Duration) (int, error) {
	s := p.sys
	s.mu.Lock()
	defer s.mu.Unlock()
	end := s.now + timeout
	for {
		if p.closed {
			return 0, errPollerClosed
		}
		if n := p.collect(ready); n > 0 || timeout == 0 {
			if timeout != 0 {
				p.woken = false
			}
			return n, nil
		}
		if p.woken {
			p.woken = false
			return 0, nil
		}
		if timeout > 0 && s.o.SelfTurning {
			s.now = max(s.now, end)
		}
		if timeout > 0 && s.now >= end {
			return 0, nil
		}
		p.blocked, p.until = true, -1
		if timeout > 0 {
			p.until = end
		}
		s.idle.Broadcast()
		s.changed.Wait()
		p.blocked = false
	}
}

// atRest tells whether the poller waits, and nothing has come that ends that.
func (p *poller) atRest() bool {
	return p.blocked && !p.woken && (p.until < 0 || p.until > p.sys.now) && p.collect(make([]reactor.Ready, 1)) == 0
}

// Settle returns when every loop of a started reactor waits and has nothing to
// do until a Peer acts or the clock is turned.
func (s *Sys) Settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for slices.ContainsFunc(s.pollers, func(p *poller) bool { return !p.closed && !p.atRest() }) {
		s.idle.Wait()
	}
}

// AdvanceSettled turns the clock by d, with a stop at each time for which a loop
// waits, and lets the loops come to rest at each.
func (s *Sys) AdvanceSettled(d time.Duration) {
	s.Settle()
	for end := s.Now() + d; ; {
		now := s.Now()
		if now >= end {
			return
		}
		next := end
		s.mu.Lock()
		for _, p := range s.pollers {
			if !p.closed && p.until > now {
				next = min(next, p.until)
			}
		}
		s.mu.Unlock()
		s.Advance(next - now)
		s.Settle()
	}
}

func (p *poller) collect(ready []reactor.Ready) int {
	n := 0
	for i := range p.socks {
		sock := p.socks[(p.next+i)%len(p.socks)]
		ev := sock.events(p.sys.o.Buffer) & (sock.want | reactor.HangupEvent | reactor.ErrorEvent)
		if ev == 0 {
			continue
		}
		if n == len(ready) {
			break
		}
		ready[n] = reactor.Ready{Token: sock.token, Events: ev}
		n++
	}
	if len(p.socks) > 0 {
		p.next = (p.next + 1) % len(p.socks)
	}
	return n
}

func (p *poller) Wake() error {
	p.sys.mu.Lock()
	defer p.sys.mu.Unlock()
	p.woken = true
	p.sys.changed.Broadcast()
	return nil
}

func (p *poller) Close() error {
	p.sys.mu.Lock()
	defer p.sys.mu.Unlock()
	p.closed = true
	p.sys.changed.Broadcast()
	p.sys.idle.Broadcast()
	return nil
}
