package reactor

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

var _ DatagramSys = (*linuxSys)(nil)

func (s *linuxSys) BindDatagrams(network, address string, n int, o DatagramSocketOptions) ([]FD, error) {
	// The first one is bound without sharing the port: what is there already is in its way.
	fd, err := s.bindDatagram(network, address, o)
	list := []FD{fd}
	if err != nil || n == 1 || network != "udp" {
		return list[:1], err
	}
	if err = setReusePort(uintptr(fd), true); err == nil {
		address = boundAddress(address, s.LocalAddr(fd))
		o.ReusePort = true
		for len(list) < n && err == nil {
			if fd, err = s.bindDatagram(network, address, o); err == nil {
				list = append(list, fd)
			}
		}
	}
	if err != nil {
		for _, fd := range list {
			err = errors.Join(err, s.Close(fd))
		}
		return nil, err
	}
	return list, nil
}

// boundAddress is where a further socket is bound that is to share a's address.
func boundAddress(address string, a net.Addr) string {
	bound := addrPortOf(a)
	host, _, err := net.SplitHostPort(address)
	if err != nil || !bound.Addr().IsUnspecified() {
		return bound.String()
	}
	return net.JoinHostPort(host, fmt.Sprint(bound.Port()))
}

func (s *linuxSys) bindDatagram(network, address string, o DatagramSocketOptions) (FD, error) {
	c, err := bindNet(network, address, o.SocketOptions)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	fd, err := duplicate(c.(syscall.Conn))
	if err != nil {
		return 0, err
	}
	if err := prepareDatagram(fd, o); err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	if network == "unixgram" {
		s.setFile(FD(fd), fileAt(c.LocalAddr()))
	}
	return FD(fd), nil
}

func (s *linuxSys) ConnectDatagram(network, address string, o DatagramSocketOptions) (FD, error) {
	family, sa := unix.AF_UNIX, unix.Sockaddr(&unix.SockaddrUnix{Name: address})
	if network == "udp" {
		var err error
		if family, sa, err = sockaddr(address); err != nil {
			return 0, err
		}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	if s.kept.has(fd) {
		err = syscall.EMFILE
	} else if err = unix.Connect(fd, sa); err == nil {
		err = prepareDatagram(fd, o)
	}
	if err != nil {
		unix.Close(fd)
		return 0, err
	}
	return FD(fd), nil
}

func (s *linuxSys) OpenDatagram(f *os.File, o DatagramSocketOptions) (FD, error) {
	fd, err := openDatagram(f)
	if err != nil {
		return 0, err
	}
	if err := prepareDatagram(fd, o); err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	return FD(fd), nil
}

func (s *linuxSys) Halt(FD) ([]Datagram, error) { return nil, nil }

// prepareDatagram gives a socket what the loops rely on.
func prepareDatagram(fd int, o DatagramSocketOptions) error {
	set := func(level, option, value int) error { return unix.SetsockoptInt(fd, level, option, value) }
	err := errors.Join(unix.SetNonblock(fd, true), set(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1),
		set(unix.SOL_SOCKET, unix.SO_BROADCAST, 0)) // package net has it on
	if o.Buffer > 0 && set(unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, o.Buffer) != nil { // for want of CAP_NET_ADMIN
		err = errors.Join(err, set(unix.SOL_SOCKET, unix.SO_RCVBUF, o.Buffer))
	}
	sa, nameErr := unix.Getsockname(fd)
	if err = errors.Join(err, nameErr); err != nil {
		return err
	}
	// A group that another socket of this machine has joined is nothing to this one.
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		_ = set(unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0)
		if sa.Addr == [4]byte{} {
			err = set(unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		}
	case *unix.SockaddrInet6:
		_ = set(unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL, 0) // since Linux 4.20
		_ = set(unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0)
		if sa.Addr == [16]byte{} {
			_ = set(unix.IPPROTO_IP, unix.IP_PKTINFO, 1) // of IPv4's, where they come too
			err = set(unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		}
	}
	return err
}

func (s *linuxSys) SetDatagramOption(fd FD, option DatagramOption, value int) error {
	if option == Broadcast {
		return unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, value)
	}
	of := map[DatagramOption][2]int{
		MulticastHops: {unix.IP_MULTICAST_TTL, unix.IPV6_MULTICAST_HOPS},
		MulticastLoop: {unix.IP_MULTICAST_LOOP, unix.IPV6_MULTICAST_LOOP},
		Hops:          {unix.IP_TTL, unix.IPV6_UNICAST_HOPS},
	}[option]
	// A dual socket has both.
	err := unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, of[0], value)
	if addrPortOf(s.LocalAddr(fd)).Addr().Is6() || s.familyOf(fd) == unix.AF_INET6 {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, of[1], value)
	}
	return err
}

func (s *linuxSys) familyOf(fd FD) int {
	n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil { // a socket that is closed: what follows tells
		return 0
	}
	return n
}

func (s *linuxSys) JoinGroup(fd FD, group netip.Addr) error { return setGroup(fd, group, true) }

func (s *linuxSys) LeaveGroup(fd FD, group netip.Addr) error { return setGroup(fd, group, false) }

func setGroup(fd FD, group netip.Addr, join bool) (err error) {
	var zone uint32
	if group.Zone() != "" {
		if zone, err = zoneID(group.Zone()); err != nil {
			return err
		}
	}
	if a := group.Unmap(); a.Is4() {
		option := unix.IP_DROP_MEMBERSHIP
		if join {
			option = unix.IP_ADD_MEMBERSHIP
		}
		return unix.SetsockoptIPMreqn(int(fd), unix.IPPROTO_IP, option,
			&unix.IPMreqn{Multiaddr: a.As4(), Ifindex: int32(zone)})
	}
	option := unix.IPV6_LEAVE_GROUP
	if join {
		option = unix.IPV6_JOIN_GROUP
	}
	return unix.SetsockoptIPv6Mreq(int(fd), unix.IPPROTO_IPV6, option,
		&unix.IPv6Mreq{Multiaddr: group.As16(), Interface: zone})
}

// sockaddr is a numeric address as the system has it.
func sockaddr(address string) (family int, sa unix.Sockaddr, err error) {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return 0, nil, err
	}
	a := ap.Addr().Unmap()
	if a.Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(ap.Port()), Addr: a.As4()}, nil
	}
	in6 := &unix.SockaddrInet6{Port: int(ap.Port()), Addr: a.As16()}
	if a.Zone() != "" {
		if in6.ZoneId, err = zoneID(a.Zone()); err != nil {
			return 0, nil, err
		}
	}
	return unix.AF_INET6, in6, nil
}

// mmsgIO has what recvmmsg and sendmmsg need of memory. The slots are mapped, so that
// only what datagrams have filled takes memory.
type mmsgIO struct {
	slots []byte
	few   bool // they are laid out for few large ones
	in    mmsgs
	out   mmsgs
	list  [mmsgBatch]Datagram
}

type mmsgs struct {
	msgs    [mmsgBatch]unix.Mmsghdr
	iov     [mmsgBatch]unix.Iovec
	names   [mmsgBatch]unix.RawSockaddrInet6 // or those of IPv4 or Unix, which is cut
	control [mmsgBatch][controlSize]byte
	used    int // messages that the system may have written to
}

const (
	// mmsgBatch is how many datagrams one call to the system takes.
	mmsgBatch = 64
	// A UDP datagram has 65,527 bytes at most. The slots begin at different lines of a
	// cache, which else would have room for eight of them.
	slotSize = 64<<10 + 320
	// Unix sockets have longer ones, up to the sender's buffer.
	fewSlots     = 15
	largeSlot    = mmsgBatch * slotSize / fewSlots
	controlSize  = 128 // both kinds of packet information, and the overflow
	sizeofPacket = int(unsafe.Sizeof(unix.Inet4Pktinfo{}))
)

func (s *linuxSys) NewDatagramIO() (DatagramIO, error) {
	slots, err := unix.Mmap(-1, 0, mmsgBatch*slotSize, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("memory for datagrams: %w", err)
	}
	b := &mmsgIO{slots: slots}
	for _, m := range []*mmsgs{&b.in, &b.out} {
		for i := range m.msgs {
			h := &m.msgs[i].Hdr
			h.Iov, h.Name = &m.iov[i], (*byte)(unsafe.Pointer(&m.names[i]))
			h.SetIovlen(1)
			h.Control = &m.control[i][0]
		}
	}
	b.layOut(slotSize)
	b.in.used = mmsgBatch
	return b, nil
}

func (b *mmsgIO) layOut(size int) {
	for i := range len(b.slots) / size {
		b.in.iov[i].Base = &b.slots[i*size]
		b.in.iov[i].SetLen(size)
	}
}

func (b *mmsgIO) Close() error { return unix.Munmap(b.slots) }

func (b *mmsgIO) Receive(fd FD, family byte) (list []Datagram, overflow uint32, err error) {
	most, size := mmsgBatch, slotSize
	if family == familyUnix {
		most, size = fewSlots, largeSlot
	}
	if few := family == familyUnix; few != b.few {
		b.few = few
		b.layOut(size)
	}
	for i := range b.in.used {
		h := &b.in.msgs[i].Hdr
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(controlSize)
	}
	r, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.in.msgs)),
		uintptr(most), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		b.in.used = 1
		return nil, 0, errno
	}
	n := int(r)
	b.in.used = min(n+1, mmsgBatch) // of the one behind, the system may have begun
	for i := range n {
		d, m := &b.list[i], &b.in.msgs[i]
		*d = Datagram{Cut: m.Hdr.Flags&unix.MSG_TRUNC != 0, Payload: b.slots[i*size:][:min(int(m.Len), size)]}
		if family != familyUnix {
			d.takeName(&b.in.names[i])
			overflow = max(overflow, d.takeControl(b.in.control[i][:m.Hdr.Controllen]))
		}
	}
	return b.list[:n], overflow, nil
}

func (d *Datagram) takeName(sa *unix.RawSockaddrInet6) {
	port := sa.Port<<8 | sa.Port>>8
	if sa.Family == unix.AF_INET {
		in4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		d.Peer = netip.AddrPortFrom(netip.AddrFrom4(in4.Addr), port)
		return
	}
	d.Peer, d.Zone = netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), port), sa.Scope_id
}

// takeControl reads the ancillary data of a datagram (cmsg(3)).
func (d *Datagram) takeControl(b []byte) (overflow uint32) {
	for len(b) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		n := int(h.Len) - unix.CmsgLen(0)
		if n < 0 || int(h.Len) > len(b) {
			return overflow
		}
		p := unsafe.Pointer(&b[min(unix.CmsgLen(0), len(b)-1)])
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && n >= sizeofPacket:
			// Of a datagram to a group, Spec_dst is an address of ours all the same.
			d.Local = netip.AddrFrom4((*unix.Inet4Pktinfo)(p).Spec_dst)
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && n >= unix.SizeofInet6Pktinfo:
			a := netip.AddrFrom16((*unix.Inet6Pktinfo)(p).Addr)
			if !a.Is4In6() && !a.IsMulticast() {
				d.Local = a
			}
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_RXQ_OVFL && n >= 4:
			overflow = *(*uint32)(p)
		}
		b = b[min(unix.CmsgSpace(n), len(b)):]
	}
	return overflow
}

func (b *mmsgIO) Send(fd FD, family byte, list []Datagram) (n int, err error) {
	for n < len(list) {
		k := min(len(list)-n, mmsgBatch)
		for i := range k {
			b.out.put(i, &list[n+i], family)
		}
		r, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.out.msgs)),
			uintptr(k), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		for i := range k {
			b.out.iov[i].Base = nil
		}
		if errno != 0 {
			return n, errno
		}
		n += int(r)
	}
	return n, nil
}

// put sets the ith message to d, of a socket of a family.
func (m *mmsgs) put(i int, d *Datagram, family byte) {
	h := &m.msgs[i].Hdr
	m.iov[i].Base = unsafe.SliceData(d.Payload)
	m.iov[i].SetLen(len(d.Payload))
	h.Namelen = 0
	h.Controllen = 0
	if a := d.Peer.Addr(); a.IsValid() {
		port := d.Peer.Port()
		port = port<<8 | port>>8
		if family == familyIPv4 {
			*(*unix.RawSockaddrInet4)(unsafe.Pointer(&m.names[i])) = unix.RawSockaddrInet4{
				Family: unix.AF_INET, Port: port, Addr: a.As4()}
			h.Namelen = unix.SizeofSockaddrInet4
		} else { // IPv4 in IPv6's manner, which a dual socket takes
			m.names[i] = unix.RawSockaddrInet6{
				Family: unix.AF_INET6, Port: port, Addr: a.As16(), Scope_id: d.Zone}
			h.Namelen = unix.SizeofSockaddrInet6
		}
	}
	if d.Local.IsValid() {
		h.SetControllen(m.putLocal(i, d.Local))
	}
}

// putLocal says from which address a message leaves.
func (m *mmsgs) putLocal(i int, a netip.Addr) (size int) {
	c := (*unix.Cmsghdr)(unsafe.Pointer(&m.control[i]))
	p := unsafe.Pointer(&m.control[i][unix.CmsgLen(0)])
	if a.Is4() {
		c.Level, c.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
		c.SetLen(unix.CmsgLen(sizeofPacket))
		*(*unix.Inet4Pktinfo)(p) = unix.Inet4Pktinfo{Spec_dst: a.As4()}
		return unix.CmsgSpace(sizeofPacket)
	}
	c.Level, c.Type = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO
	c.SetLen(unix.CmsgLen(unix.SizeofInet6Pktinfo))
	*(*unix.Inet6Pktinfo)(p) = unix.Inet6Pktinfo{Addr: a.As16()}
	return unix.CmsgSpace(unix.SizeofInet6Pktinfo)
}
