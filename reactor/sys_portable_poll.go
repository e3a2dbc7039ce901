package reactor

import (
	"sync"
	"syscall"
	"time"
)

// portablePoller keeps the sockets that may be ready in a list: a socket's
// goroutines put it there, and it stays as long as it is ready. So Wait costs
// nothing for idle sockets, and readiness is level-triggered.
type portablePoller struct {
	sys    *portableSys
	signal chan struct{} // has one element when there is something to look at
	timer  *time.Timer

	mu    sync.Mutex
	list  []*registration
	woken bool
	other []*registration // list's other half; of Wait, as kept is
	kept  []*registration
}

// registration is one Add. Remove ends it for good, so that no stale event can
// bear a token that is used again.
type registration struct {
	poller *portablePoller
	socket portableSocket
	token  uint64
	want   Events
	ended  bool
	listed bool // in poller.list; under poller.mu
}

func (s *portableSys) NewPoller() (Poller, error) {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &portablePoller{sys: s, signal: make(chan struct{}, 1), timer: t}, nil
}

func (p *portablePoller) Add(fd FD, token uint64, want Events) error {
	sock, err := p.sys.socket(fd)
	if err != nil {
		return err
	}
	reg := &registration{poller: p, socket: sock, token: token, want: want}
	if !sock.attach(reg) {
		return syscall.EEXIST
	}
	p.mark(reg)
	return nil
}

func (p *portablePoller) find(fd FD) (*registration, error) {
	sock, err := p.sys.socket(fd)
	if err != nil {
		return nil, err
	}
	if reg := sock.registered(); reg != nil && reg.poller == p {
		return reg, nil
	}
	return nil, syscall.ENOENT
}

func (p *portablePoller) Modify(fd FD, token uint64, want Events) error {
	reg, err := p.find(fd)
	if err != nil {
		return err
	}
	reg.token, reg.want = token, want
	p.mark(reg)
	return nil
}

func (p *portablePoller) Remove(fd FD) error {
	reg, err := p.find(fd)
	if err != nil {
		return err
	}
	reg.ended = true
	reg.socket.attach(nil)
	return nil
}

// mark has the next Wait look at a socket. Any goroutine.
func (p *portablePoller) mark(reg *registration) {
	p.mu.Lock()
	if !reg.listed {
		reg.listed = true
		p.list = append(p.list, reg)
	}
	p.mu.Unlock()
	p.notify()
}

func (p *portablePoller) notify() {
	select {
	case p.signal <- struct{}{}:
	default:
	}
}

func (p *portablePoller) Wake() error {
	p.mu.Lock()
	p.woken = true
	p.mu.Unlock()
	p.notify()
	return nil
}

func (p *portablePoller) takeWoken() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.woken
	p.woken = false
	return was
}

func (p *portablePoller) Wait(ready []Ready, timeout time.Duration) (int, error) {
	n := p.collect(ready)
	if timeout == 0 {
		return n, nil
	}
	var limit <-chan time.Time
	if timeout > 0 && n == 0 {
		p.timer.Reset(timeout)
		defer p.timer.Stop()
		limit = p.timer.C
	}
	for {
		if p.takeWoken() || n > 0 {
			return n, nil
		}
		select {
		case <-p.signal:
			n = p.collect(ready)
		case <-limit:
			return p.collect(ready), nil
		}
	}
}

// collect looks at the listed sockets. Those that are ready go to the end of
// the list, behind those for which there was no room.
func (p *portablePoller) collect(ready []Ready) int {
	p.mu.Lock()
	list := p.list
	if len(list) == 0 {
		p.mu.Unlock()
		return 0
	}
	p.list = p.other
	p.mu.Unlock()
	n, i := 0, 0
	kept := p.kept[:0]
	for ; i < len(list) && n < len(ready); i++ {
		reg := list[i]
		if !p.unlist(reg) { // before the look: what changes after it lists it again
			continue
		}
		if ev := reg.socket.events() & (reg.want | HangupEvent | ErrorEvent); ev != 0 {
			ready[n] = Ready{Token: reg.token, Events: ev}
			n++
			kept = append(kept, reg)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	fresh := p.list
	next := append(list[:copy(list, list[i:])], fresh...)
	for _, reg := range kept {
		if !reg.listed {
			reg.listed = true
			next = append(next, reg)
		}
	}
	clear(next[len(next):cap(next)])
	clear(fresh)
	clear(kept)
	p.list, p.other, p.kept = next, fresh[:0], kept[:0]
	return n
}

// unlist reports false for a registration that has ended.
func (p *portablePoller) unlist(reg *registration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	reg.listed = false
	return !reg.ended
}

func (p *portablePoller) Close() error {
	p.timer.Stop()
	return nil
}
