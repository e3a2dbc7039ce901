package memnet

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"

	"github.com/wirehost/wirehost/reactor"
)

// Impairment is what the network does to datagrams, each as a number in 1,000. The same
// seed does the same to the same datagrams.
type Impairment struct {
	Seed                  uint64
	Lose, Repeat, Reorder int
}

const (
	datagramsAtOnce = 64       // of one Receive
	mailQueue       = 64 << 10 // bytes that a socket holds; more are dropped
	unixQueue       = 10       // datagrams that a Unix socket holds
)

// mailbox is what a datagram socket has beside.
type mailbox struct {
	at       netip.AddrPort // where it is bound; zero: a Unix socket's
	path     string
	peer     netip.AddrPort // of a connected one
	peerPath string
	groups   []netip.Addr
	queue    []reactor.Datagram
	bytes    int
	overflow uint32
	options  map[reactor.DatagramOption]int
	outside  bool // of another machine: a DatagramPeer's
}

func (k *socket) mailEvents() reactor.Events {
	ev := reactor.WriteEvent
	if len(k.mail.queue) > 0 || k.err != 0 {
		ev |= reactor.ReadEvent
	}
	if k.err != 0 {
		ev |= reactor.ErrorEvent
	}
	return ev
}

var _ reactor.DatagramSys = (*Sys)(nil)

// BindDatagrams binds an address, which may be any, or a path.
func (s *Sys) BindDatagrams(network, address string, n int, _ reactor.DatagramSocketOptions) ([]reactor.FD, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if network != "udp" {
		n = 1
	}
	var list []reactor.FD
	for i := range n {
		sock, err := s.bindMail(network, address, i > 0)
		if err != nil {
			return nil, err
		}
		address = sock.local.String()
		list = append(list, s.giveFD(sock))
	}
	return list, nil
}

// bindMail makes a socket that is bound. A further one shares the first one's address.
func (s *Sys) bindMail(network, address string, further bool) (*socket, error) {
	sock := &socket{network: network, mail: &mailbox{}}
	if network == "unixgram" {
		sock.local, sock.mail.path = &net.UnixAddr{Name: address, Net: network}, address
	} else {
		a, err := net.ResolveUDPAddr("udp", address)
		if err != nil {
			return nil, err
		}
		if a.IP == nil {
			a.IP = net.IPv6unspecified
		}
		if a.Port == 0 {
			a.Port = int(s.nextPort())
		}
		ap := a.AddrPort()
		sock.mail.at = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
		sock.local = net.UDPAddrFromAddrPort(sock.mail.at)
	}
	for _, has := range s.mail {
		if has.mail.at == sock.mail.at && has.mail.path == sock.mail.path && !has.mail.peer.IsValid() && !further {
			return nil, syscall.EADDRINUSE
		}
	}
	s.mail = append(s.mail, sock)
	return sock, nil
}

// ConnectDatagram makes a socket with a peer, at 127.0.0.1 or ::1.
func (s *Sys) ConnectDatagram(network, address string, _ reactor.DatagramSocketOptions) (reactor.FD, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sock := &socket{network: network, mail: &mailbox{}}
	if network == "unixgram" {
		if s.mailboxAt(address) == nil {
			return 0, syscall.ENOENT
		}
		sock.local = &net.UnixAddr{Net: network}
		sock.remote, sock.mail.peerPath = &net.UnixAddr{Name: address, Net: network}, address
	} else {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return 0, err
		}
		own := netip.AddrFrom4([4]byte{127, 0, 0, 1})
		if to.Addr().Is6() {
			own = netip.IPv6Loopback()
		}
		sock.mail.at, sock.mail.peer = netip.AddrPortFrom(own, s.nextPort()), to
		sock.local, sock.remote = net.UDPAddrFromAddrPort(sock.mail.at), net.UDPAddrFromAddrPort(to)
	}
	s.mail = append(s.mail, sock)
	return s.giveFD(sock), nil
}

// OpenDatagram gives the socket of File another descriptor.
func (s *Sys) OpenDatagram(f *os.File, _ reactor.DatagramSocketOptions) (reactor.FD, error) {
	return s.Open(f, false)
}

// SetDatagramSocket has nothing to set.
func (s *Sys) SetDatagramSocket(reactor.FD, reactor.DatagramSocketOptions) error { return nil }

// Halt has nothing to end.
func (s *Sys) Halt(reactor.FD) ([]reactor.Datagram, error) { return nil, nil }

// SetDatagramOption sets one. Hops are nothing to the network but 0 of MulticastHops: no other
// machine is reached.
func (s *Sys) SetDatagramOption(fd reactor.FD, option reactor.DatagramOption, value int) error {
	return s.ofMail(fd, func(m *mailbox) error {
		if m.options == nil {
			m.options = map[reactor.DatagramOption]int{}
		}
		m.options[option] = value
		return nil
	})
}

// JoinGroup has datagrams for the group come to the socket.
func (s *Sys) JoinGroup(fd reactor.FD, group netip.Addr) error {
	return s.ofMail(fd, func(m *mailbox) error {
		return m.join(group)
	})
}

// join joins a group; there is one interface.
func (m *mailbox) join(group netip.Addr) error {
	group = group.Unmap().WithZone("")
	if slices.Contains(m.groups, group) {
		return syscall.EADDRINUSE
	}
	m.groups = append(m.groups, group)
	return nil
}

// LeaveGroup ends that.
func (s *Sys) LeaveGroup(fd reactor.FD, group netip.Addr) error {
	return s.ofMail(fd, func(m *mailbox) error {
		at := slices.Index(m.groups, group.Unmap().WithZone(""))
		if at < 0 {
			return syscall.EADDRNOTAVAIL
		}
		m.groups = slices.Delete(m.groups, at, at+1)
		return nil
	})
}

func (s *Sys) ofMail(fd reactor.FD, do func(*mailbox) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sock := s.socket(fd, "an option of datagrams")
	if sock == nil || sock.mail == nil {
		return syscall.EBADF
	}
	return do(sock.mail)
}

// LimitSends has a socket take so many datagrams of each batch, and say that its buffer
// is full; -1 ends that.
func (s *Sys) LimitSends(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sends = n
}

// Overflowed is how many datagrams sockets had no room for.
func (s *Sys) Overflowed() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}

// mailIO is a reactor.DatagramIO.
type mailIO struct {
	sys  *Sys
	list []reactor.Datagram
}

// NewDatagramIO makes one.
func (s *Sys) NewDatagramIO() (reactor.DatagramIO, error) { return &mailIO{sys: s}, nil }

func (b *mailIO) Close() error { return nil }

func (b *mailIO) Receive(fd reactor.FD, _ byte) ([]reactor.Datagram, error) {
	s := b.sys
	s.mu.Lock()
	defer s.mu.Unlock()
	sock := s.socket(fd, "receive")
	switch {
	case sock == nil || sock.mail == nil:
		return nil, syscall.EBADF
	case sock.err != 0:
		return nil, sock.takeError()
	case len(sock.mail.queue) == 0:
		return nil, syscall.EAGAIN
	}
	m := sock.mail
	n := min(len(m.queue), datagramsAtOnce)
	b.list = append(b.list[:0], m.queue[:n]...)
	m.queue = slices.Delete(m.queue, 0, n)
	for i := range b.list {
		m.bytes -= len(b.list[i].Payload)
	}
	return b.list, nil
}

func (b *mailIO) Overflow(fd reactor.FD) uint32 {
	s := b.sys
	s.mu.Lock()
	defer s.mu.Unlock()
	if sock := s.socket(fd, "overflow"); sock != nil && sock.mail != nil {
		return sock.mail.overflow
	}
	return 0
}

func (b *mailIO) Send(fd reactor.FD, _ byte, list []reactor.Datagram) (int, error) {
	s := b.sys
	s.mu.Lock()
	defer s.mu.Unlock()
	sock := s.socket(fd, "send")
	if sock == nil || sock.mail == nil {
		return 0, syscall.EBADF
	}
	for n, d := range list {
		if s.sends >= 0 && n >= s.sends {
			return n, syscall.EAGAIN
		}
		if err := s.post(sock.socket, d); err != nil {
			return n, err
		}
	}
	return len(list), nil
}

// post sends one datagram.
func (s *Sys) post(from *socket, d reactor.Datagram) error {
	s.changed.Broadcast()
	m := from.mail
	if from.err != 0 {
		return from.takeError()
	}
	if from.network == "unixgram" {
		to := s.mailboxAt(m.peerPath)
		switch {
		case m.peerPath == "":
			return syscall.ENOTCONN
		case to == nil:
			return syscall.ECONNREFUSED
		case len(to.mail.queue) >= unixQueue:
			return syscall.EAGAIN
		}
		s.deliver(to, reactor.Datagram{Payload: d.Payload})
		return nil
	}
	to := d.Peer
	if !to.IsValid() {
		to = m.peer
	}
	if to.Addr() == toAll && m.options[reactor.Broadcast] == 0 && !m.outside {
		return syscall.EACCES
	}
	list := s.receivers(netip.AddrPortFrom(to.Addr().Unmap(), to.Port()), m.sender(d.Local, to))
	if to.Addr().IsMulticast() {
		list = slices.DeleteFunc(list, func(k *socket) bool { return !m.reaches(k.mail) })
	}
	if len(list) == 0 && m.peer.IsValid() {
		from.err = syscall.ECONNREFUSED
	}
	for _, k := range list {
		one := reactor.Datagram{Peer: m.sender(d.Local, to), Payload: d.Payload}
		if k.mail.at.Addr().IsUnspecified() && !to.Addr().IsMulticast() && to.Addr() != toAll {
			one.Local = to.Addr().Unmap()
		}
		s.impair(k, one)
	}
	return nil
}

// toAll is the address of all of a network.
var toAll = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// reaches tells whether what m sends to a group comes to a member, as its options have it.
func (m *mailbox) reaches(member *mailbox) bool {
	option := reactor.MulticastLoop
	if member.outside != m.outside {
		option = reactor.MulticastHops
	}
	value, set := m.options[option]
	return !set || value != 0
}

// sender is where a datagram is from.
func (m *mailbox) sender(local netip.Addr, to netip.AddrPort) netip.AddrPort {
	a := m.at.Addr()
	switch {
	case local.IsValid():
		a = local
	case a.IsUnspecified() && to.Addr().Unmap().Is4():
		a = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case a.IsUnspecified():
		a = netip.IPv6Loopback()
	}
	return netip.AddrPortFrom(a, m.at.Port())
}

// receivers are those of a datagram: all members of a group, all of a network, else one.
func (s *Sys) receivers(to, from netip.AddrPort) []*socket {
	var exact, wild, members, all []*socket
	for _, k := range s.mail {
		m := k.mail
		if m.at.Port() == to.Port() && !m.peer.IsValid() {
			all = append(all, k)
		}
		switch {
		case m.at.Port() != to.Port() || m.peer.IsValid() && m.peer != from:
		case m.peer.IsValid() && m.at == to:
			return []*socket{k}
		case slices.Contains(m.groups, to.Addr()):
			members = append(members, k)
		case m.at == to:
			exact = append(exact, k)
		case m.at.Addr().IsUnspecified():
			wild = append(wild, k)
		}
	}
	switch {
	case to.Addr().IsMulticast():
		return members
	case to.Addr() == toAll:
		return all
	}
	if len(exact) == 0 {
		exact = wild
	}
	if len(exact) == 0 {
		return nil
	}
	at := int(from.Port()) % len(exact)
	return exact[at : at+1]
}

func (s *Sys) mailboxAt(path string) *socket {
	for _, k := range s.mail {
		if k.mail.path == path {
			return k
		}
	}
	return nil
}

// impair delivers a datagram as the network does.
func (s *Sys) impair(to *socket, d reactor.Datagram) {
	i := s.o.Datagrams
	if i == (Impairment{}) {
		s.deliver(to, d)
		return
	}
	if s.chance == nil {
		s.chance = rand.New(rand.NewPCG(i.Seed, 1))
	}
	if s.chance.IntN(1000) < i.Lose {
		return
	}
	s.deliver(to, d)
	if s.chance.IntN(1000) < i.Repeat {
		s.deliver(to, d)
	}
	if q := to.mail.queue; len(q) > 1 && s.chance.IntN(1000) < i.Reorder {
		at := s.chance.IntN(len(q) - 1)
		q[at], q[len(q)-1] = q[len(q)-1], q[at]
	}
}

func (s *Sys) deliver(to *socket, d reactor.Datagram) {
	m := to.mail
	if m.bytes+len(d.Payload) > mailQueue {
		m.overflow++
		s.lost++
		return
	}
	d.Payload = slices.Clone(d.Payload)
	m.bytes += len(d.Payload)
	m.queue = append(m.queue, d)
}
