package memnet

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/wirehost/wirehost/reactor"
)

// Options say what a Sys is like. The zero value is usable.
type Options struct {
	Buffer  int // bytes that each direction of a connection holds; 0 = 64 KiB
	Backlog int // connections that a listening socket queues; 0 = 128
	MaxFDs  int // open descriptors, from which on Accept returns EMFILE; 0 = no limit
	// SelfTurning turns the clock in a Wait that would block, in place of
	// blocking until Advance is called.
	SelfTurning bool
	Datagrams   Impairment // zero: they all come, in order
}

// Sys is a reactor.Sys in memory, with a clock that Advance turns. Sockets
// behave as Linux's do, and where systems differ, as the harshest one does: a
// reset takes the bytes away that its receiver has not read (RFC 9293, 3.5.2).
//
// A Reactor over it can be driven by Step on one goroutine, where everything is
// deterministic, or started. The other ends are Peers, which take no
// descriptor. All methods may be called from any goroutine.
type Sys struct {
	mu      sync.Mutex
	changed sync.Cond // something that a Wait or a blocking Peer waits for
	idle    sync.Cond // a poller waits, or is closed
	pollers []*poller
	o       Options
	now     time.Duration
	fds     []*descriptor // by FD; 0 is never used
	open    int
	bound   map[string]*socket
	silent  map[string]bool
	refused map[string]bool
	port    uint16
	serial  int
	tickets map[int]*socket // by number: see File
	misuse  []string

	mail   []*socket  // datagram sockets
	chance *rand.Rand // of Options.Datagrams; made when first needed
	sends  int        // see LimitSends
	lost   uint64     // datagrams that sockets had no room for
}

var _ reactor.Sys = (*Sys)(nil)

// New makes a Sys without sockets. Its clock begins at one hour, so that a
// time of 0 shows as what it is.
func New(o Options) *Sys {
	if o.Buffer <= 0 {
		o.Buffer = 64 << 10
	}
	if o.Backlog <= 0 {
		o.Backlog = 128
	}
	s := &Sys{o: o, now: time.Hour, fds: make([]*descriptor, 1, 16), bound: map[string]*socket{},
		silent: map[string]bool{}, refused: map[string]bool{}, port: 20000, tickets: map[int]*socket{}, sends: -1}
	s.changed.L, s.idle.L = &s.mu, &s.mu
	return s
}

// Now is the hand-turned clock.
func (s *Sys) Now() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// Advance turns the clock by d.
func (s *Sys) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now += max(0, d)
	s.changed.Broadcast()
}

// SetMaxFDs changes Options.MaxFDs.
func (s *Sys) SetMaxFDs(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.MaxFDs = n
}

// Silence has connections to address neither made nor refused from now on.
func (s *Sys) Silence(network, address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent[network+"://"+address] = true
}

// Refuse has connections to address be refused from now on, though somebody listens there.
func (s *Sys) Refuse(network, address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused[network+"://"+address] = true
}

// Answer has those connections to a silent address be made that were begun, and all from now
// on.
func (s *Sys) Answer(network, address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.silent, network+"://"+address)
	ln := s.bound[bindKey(network, address)]
	for _, fd := range s.fds {
		if fd == nil {
			continue
		}
		if c := fd.socket; c.connecting && c.peer == nil && c.remote.String() == address && ln != nil {
			s.queue(ln, c)
		}
	}
}

// OpenFDs is the number of descriptors that are open.
func (s *Sys) OpenFDs() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// Misuse lists what the Sys was asked and no correct loop asks: calls on closed
// descriptors, a close of one that is still polled, reads into no buffer.
func (s *Sys) Misuse() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.misuse)
}

func (s *Sys) misused(format string, args ...any) {
	if len(s.misuse) < 20 {
		s.misuse = append(s.misuse, fmt.Sprintf(format, args...))
	}
}

// bindKey is what a listening socket is found by: a port, whatever the host, or
// a path.
func bindKey(network, address string) string {
	if network != "unix" {
		if _, port, err := net.SplitHostPort(address); err == nil {
			return "tcp:" + port
		}
	}
	return network + ":" + address
}

func (s *Sys) nextPort() uint16 {
	s.port++
	return s.port
}

func tcpAddr(port uint16) net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port))
}

// giveFD gives sock a descriptor: the lowest that is free, as a kernel does.
func (s *Sys) giveFD(sock *socket) reactor.FD {
	fd := len(s.fds)
	for i := 1; i < len(s.fds); i++ {
		if s.fds[i] == nil {
			fd = i
			break
		}
	}
	if fd == len(s.fds) {
		s.fds = append(s.fds, nil)
	}
	s.fds[fd] = &descriptor{socket: sock, fd: reactor.FD(fd)}
	sock.descriptors++
	s.open++
	return reactor.FD(fd)
}

// socket is fd's, or nil, which what is counted as misuse.
func (s *Sys) socket(fd reactor.FD, what string) *descriptor {
	if fd > 0 && int(fd) < len(s.fds) && s.fds[fd] != nil {
		return s.fds[fd]
	}
	s.misused("%s of closed FD %d", what, fd)
	return nil
}

// Listen binds a port or a path. Hosts are not looked at. Of several that share a
// port, the last one gets the connections.
func (s *Sys) Listen(network, address string, o reactor.SocketOptions) (reactor.FD, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.listen(network, address, o)
	if err != nil {
		return 0, err
	}
	return s.giveFD(l), nil
}

// SetListener gives a listening socket other options.
func (s *Sys) SetListener(l reactor.FD, o reactor.SocketOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ln := s.socket(l, "setting options")
	if ln == nil {
		return syscall.EBADF
	}
	ln.options = o
	return nil
}

func (s *Sys) listen(network, address string, o reactor.SocketOptions) (*socket, error) {
	l := &socket{network: network, listening: true, options: o}
	if network == "unix" {
		l.local = &net.UnixAddr{Name: address, Net: "unix"}
	} else {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		if port == "0" {
			address = net.JoinHostPort(host, fmt.Sprint(s.nextPort()))
		}
		a, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			return nil, err
		}
		l.local = a
	}
	l.key = bindKey(network, address)
	if has := s.bound[l.key]; has != nil && !(has.options.ReusePort && o.ReusePort) {
		return nil, syscall.EADDRINUSE
	}
	s.bound[l.key] = l
	return l, nil
}

// Accept takes the oldest connection that waits.
func (s *Sys) Accept(l reactor.FD) (reactor.FD, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ln := s.socket(l, "accept")
	switch {
	case ln == nil:
		return 0, syscall.EBADF
	case len(ln.queue) == 0:
		return 0, syscall.EAGAIN
	case s.o.MaxFDs > 0 && s.open >= s.o.MaxFDs:
		return 0, syscall.EMFILE
	}
	return s.giveFD(s.dequeue(ln.socket)), nil
}

// AcceptAndClose takes a connection and closes it.
func (s *Sys) AcceptAndClose(l reactor.FD) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ln := s.socket(l, "accept")
	switch {
	case ln == nil:
		return syscall.EBADF
	case len(ln.queue) == 0:
		return syscall.EAGAIN
	}
	s.closeSocket(s.dequeue(ln.socket), false)
	return nil
}

// dequeue takes the front of ln's queue; the connection that so moves into the
// backlog is made.
func (s *Sys) dequeue(ln *socket) *socket {
	sock := ln.queue[0]
	ln.queue = slices.Delete(ln.queue, 0, 1)
	if k := s.o.Backlog; len(ln.queue) >= k {
		if p := ln.queue[k-1].peer; p != nil {
			p.connecting = false
		}
	}
	s.changed.Broadcast()
	return sock
}

// Connect starts a connection. TCP is refused later, Unix sockets at once.
func (s *Sys) Connect(network, address string) (reactor.FD, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.o.MaxFDs > 0 && s.open >= s.o.MaxFDs {
		return 0, syscall.EMFILE
	}
	sock, err := s.connect(network, address)
	if err != nil {
		return 0, err
	}
	return s.giveFD(sock), nil
}

// connect makes a socket that is connected, connecting or has failed, and queues
// its other end.
func (s *Sys) connect(network, address string) (*socket, error) {
	s.serial++
	c := &socket{network: network}
	key := bindKey(network, address)
	ln := s.bound[key]
	if network == "unix" {
		c.local = &net.UnixAddr{Name: fmt.Sprintf("@%d", s.serial), Net: "unix"}
		c.remote = &net.UnixAddr{Name: address, Net: "unix"}
		switch {
		case ln == nil:
			return nil, syscall.ENOENT
		case len(ln.queue) >= s.o.Backlog:
			return nil, syscall.EAGAIN
		}
	} else {
		a, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			return nil, err
		}
		c.local, c.remote = tcpAddr(s.nextPort()), a
		if s.silent[network+"://"+address] {
			c.connecting = true
			return c, nil
		}
		if ln == nil || s.refused[network+"://"+address] {
			c.err, c.reset = syscall.ECONNREFUSED, true
			return c, nil
		}
	}
	s.queue(ln, c)
	return c, nil
}

// queue queues a connection's other end with a listener.
func (s *Sys) queue(ln, c *socket) {
	other := &socket{network: c.network, local: c.remote, remote: c.local, peer: c}
	c.peer = other
	c.connecting = len(ln.queue) >= s.o.Backlog
	ln.queue = append(ln.queue, other)
	s.changed.Broadcast()
}

// ConnectResult is how Connect has gone.
func (s *Sys) ConnectResult(fd reactor.FD) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sock := s.socket(fd, "connect")
	switch {
	case sock == nil:
		return syscall.EBADF
	case sock.connecting:
		return syscall.EINPROGRESS
	}
	return sock.takeError()
}
