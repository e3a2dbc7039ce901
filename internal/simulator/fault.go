package simulator

import (
	"slices"
	"syscall"
	"time"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/reactor"
)

// rates say how often a fault comes: once in so many calls, 0 is never.
type rates struct {
	again, intr, short, reset int // of reads and writes
	accept, connect, poll     int
	spurious, stale, skip     int // of waits
	tick                      int
}

func newRates(c *choices) rates {
	pick := func() int {
		switch c.n(4) {
		case 0:
			return 0
		case 1:
			return 3 + c.n(5)
		case 2:
			return 10 + c.n(40)
		}
		return 60 + c.n(300)
	}
	rare := func() int {
		if c.n(3) != 1 {
			return 0
		}
		return 30 + c.n(500)
	}
	return rates{again: pick(), intr: pick(), short: pick(), reset: rare(), accept: pick(), connect: pick(),
		poll:     4 * rare(),
		spurious: pick(), stale: pick(), skip: pick(), tick: pick()}
}

// faultySys is a Sys that fails as real ones do. It counts its calls, so that a
// trace says at which one something happened.
type faultySys struct {
	*memnet.Sys
	c       *choices
	rates   rates
	on      bool
	calls   int
	pollers []*faultyPoller
	trace   func(format string, args ...any) // nil: nobody looks
}

// result tells the trace how a call went.
func (f *faultySys) result(call string, fd reactor.FD, n int, err error) (int, error) {
	if f.trace != nil {
		f.trace("    %s(%d) = %d, %v", call, fd, n, err)
	}
	return n, err
}

func (f *faultySys) oneIn(k int) bool { return f.on && f.c.oneIn(k) }

// called is at the start of each system call: time passes, and peers' resets
// arrive.
func (f *faultySys) called() {
	f.calls++
	if f.oneIn(f.rates.tick) {
		f.Advance(time.Duration(1+f.c.n(2000)) * time.Microsecond)
	}
	if f.oneIn(f.rates.reset) {
		f.breakOne()
	}
}

// breakOne has a connection reset by the network, for both ends.
func (f *faultySys) breakOne() {
	if fd := reactor.FD(f.c.n(f.Descriptors())); !f.Connecting(fd) {
		f.Break(fd, syscall.ECONNRESET)
	}
}

// transfer is what a read or a write of n bytes does in place of the real thing:
// less of it, or an error.
func (f *faultySys) transfer(n int) (int, error) {
	f.called()
	switch {
	case f.oneIn(f.rates.again):
		return 0, syscall.EAGAIN
	case f.oneIn(f.rates.intr):
		return 0, syscall.EINTR
	case n > 1 && f.oneIn(f.rates.short):
		return 1 + f.c.n(n-1), nil
	}
	return n, nil
}

func (f *faultySys) Read(fd reactor.FD, p []byte) (int, error) {
	n, err := f.transfer(len(p))
	if err == nil {
		n, err = f.Sys.Read(fd, p[:n])
	}
	return f.result("read", fd, n, err)
}

func (f *faultySys) Write(fd reactor.FD, p []byte) (int, error) {
	n, err := f.transfer(len(p))
	if err == nil {
		n, err = f.Sys.Write(fd, p[:n])
	}
	return f.result("write", fd, n, err)
}

func (f *faultySys) Writev(fd reactor.FD, pieces [][]byte) (int, error) {
	total := 0
	for _, p := range pieces {
		total += len(p)
	}
	n, err := f.transfer(total)
	if err != nil {
		return f.result("writev", fd, 0, err)
	}
	if n < total {
		pieces = slices.Clone(pieces)
		for i, p := range pieces {
			pieces[i] = p[:min(n, len(p))]
			n -= len(pieces[i])
		}
	}
	n, err = f.Sys.Writev(fd, pieces)
	return f.result("writev", fd, n, err)
}

func (f *faultySys) ShutdownWrite(fd reactor.FD) error {
	f.called()
	_, err := f.result("shutdown", fd, 0, f.Sys.ShutdownWrite(fd))
	return err
}

func (f *faultySys) Close(fd reactor.FD) error {
	f.called()
	f.forget(fd)
	_, err := f.result("close", fd, 0, f.Sys.Close(fd))
	return err
}

func (f *faultySys) Reset(fd reactor.FD) error {
	f.called()
	f.forget(fd)
	_, err := f.result("reset", fd, 0, f.Sys.Reset(fd))
	return err
}

// forget has the pollers know that what fd was is closed.
func (f *faultySys) forget(fd reactor.FD) {
	for _, p := range f.pollers {
		for i := range p.old {
			p.old[i].closed = p.old[i].closed || p.old[i].fd == fd
		}
	}
}

var acceptErrors = []error{syscall.EAGAIN, syscall.EINTR, syscall.ECONNABORTED, syscall.EMFILE, syscall.ENFILE,
	syscall.ENOBUFS, syscall.ENOMEM}

func (f *faultySys) Accept(l reactor.FD) (reactor.FD, error) {
	f.called()
	if f.oneIn(f.rates.accept) {
		_, err := f.result("accept", l, 0, acceptErrors[f.c.n(len(acceptErrors))])
		return 0, err
	}
	fd, err := f.Sys.Accept(l)
	_, err = f.result("accept", l, int(fd), err)
	return fd, err
}

func (f *faultySys) AcceptAndClose(l reactor.FD) error {
	f.called()
	if f.oneIn(f.rates.accept) {
		return acceptErrors[f.c.n(len(acceptErrors))]
	}
	return f.Sys.AcceptAndClose(l)
}

func (f *faultySys) Connect(network, address string) (reactor.FD, error) {
	f.called()
	if f.oneIn(f.rates.connect) {
		errs := []error{syscall.EMFILE, syscall.ENETUNREACH, syscall.ECONNREFUSED, syscall.EADDRNOTAVAIL}
		return 0, errs[f.c.n(len(errs))]
	}
	return f.Sys.Connect(network, address)
}

func (f *faultySys) ConnectResult(fd reactor.FD) error {
	f.called()
	if f.oneIn(f.rates.connect) {
		if f.c.oneIn(2) || f.LocalAddr(fd).Network() == "unix" {
			return syscall.EINPROGRESS
		}
		f.Break(fd, syscall.ETIMEDOUT)
	}
	return f.Sys.ConnectResult(fd)
}

// NewPoller makes a poller with faults.
func (f *faultySys) NewPoller() (reactor.Poller, error) {
	poller, err := f.Sys.NewPoller()
	p := &faultyPoller{Poller: poller, f: f}
	f.pollers = append(f.pollers, p)
	return p, err
}

// faultyPoller reports in any order, not everything at once, what is not so, and
// what was so.
type faultyPoller struct {
	reactor.Poller
	f     *faultySys
	socks []polled
	old   []polled // that were removed; one is reported once its socket is closed
}

// polled is a registered socket.
type polled struct {
	fd     reactor.FD
	token  uint64
	want   reactor.Events
	closed bool
}

func (p *faultyPoller) find(fd reactor.FD) int {
	return slices.IndexFunc(p.socks, func(s polled) bool { return s.fd == fd })
}

func (p *faultyPoller) Add(fd reactor.FD, token uint64, want reactor.Events) error {
	p.f.called()
	if p.f.oneIn(p.f.rates.poll) {
		return syscall.ENOMEM
	}
	err := p.Poller.Add(fd, token, want)
	if err == nil {
		p.socks = append(p.socks, polled{fd: fd, token: token, want: want})
	}
	return err
}

func (p *faultyPoller) Modify(fd reactor.FD, token uint64, want reactor.Events) error {
	p.f.called()
	err := p.Poller.Modify(fd, token, want)
	if i := p.find(fd); err == nil {
		p.socks[i].token, p.socks[i].want = token, want
	}
	return err
}

func (p *faultyPoller) Remove(fd reactor.FD) error {
	p.f.called()
	if i := p.find(fd); i >= 0 {
		if len(p.old) == 8 {
			p.old = slices.Delete(p.old, 0, 1)
		}
		p.old = append(p.old, p.socks[i])
		p.socks = slices.Delete(p.socks, i, i+1)
	}
	return p.Poller.Remove(fd)
}

func (p *faultyPoller) Wait(ready []reactor.Ready, timeout time.Duration) (int, error) {
	f := p.f
	f.called()
	n, err := p.Poller.Wait(ready, timeout)
	if err != nil || !f.on {
		return n, err
	}
	for i := 0; i < n; i++ {
		if f.oneIn(f.rates.skip) {
			n--
			ready[i] = ready[n]
		}
	}
	if f.oneIn(f.rates.stale) && len(p.old) > 0 && n < len(ready) {
		if o := p.old[f.c.n(len(p.old))]; o.closed {
			ready[n] = reactor.Ready{Token: o.token, Events: reactor.Events(1 + f.c.n(31))}
			n++
		}
	}
	if k := len(p.socks); k > 0 && f.oneIn(f.rates.spurious) && n < len(ready) {
		sock := p.socks[f.c.n(k)]
		if ev := sock.want & (reactor.ReadEvent | reactor.WriteEvent); ev != 0 {
			ready[n] = reactor.Ready{Token: sock.token, Events: ev}
			n++
		}
	}
	for i := n - 1; i > 0; i-- {
		j := f.c.n(i + 1)
		ready[i], ready[j] = ready[j], ready[i]
	}
	return n, nil
}
