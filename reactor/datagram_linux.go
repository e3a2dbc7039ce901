package reactor

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

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
	fd, err := own(c.(syscall.Conn))
	switch {
	case err != nil:
		return 0, err
	case o.LeaveKept && s.kept.has(int(fd)):
		return 0, errors.Join(syscall.EMFILE, s.Close(fd))
	}
	s.setFile(fd, fileAt(c.LocalAddr())) // which only a Unix socket has
	return s.prepared(fd, o)
}

func (s *linuxSys) ConnectDatagram(network, address string, o DatagramSocketOptions) (FD, error) {
	fd, err := s.connect(unix.SOCK_DGRAM, network, address)
	if err != nil {
		return 0, err
	}
	return s.prepared(fd, o)
}

func (s *linuxSys) OpenDatagram(f *os.File, o DatagramSocketOptions) (FD, error) {
	fd, err := openSocket(f, forDatagrams)
	if err != nil {
		return 0, err
	}
	return s.prepared(FD(fd), o)
}

// prepared is a socket that has what the loops rely on; else it is closed.
func (s *linuxSys) prepared(fd FD, o DatagramSocketOptions) (FD, error) {
	if err := prepareDatagram(int(fd), o); err != nil {
		return 0, errors.Join(err, s.Close(fd))
	}
	return fd, nil
}

// release puts back what others don't expect of a socket that they have as well, such as systemd: datagrams that
// come as one. Where another process of ours goes on with it, it is frozen here, and is not released.
func (s *linuxSys) release(fd FD) { _ = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_GRO, 0) }

func (s *linuxSys) SetDatagramSocket(fd FD, o DatagramSocketOptions) error {
	return errors.Join(setReceiveBuffer(int(fd), o.Buffer), s.fileOf(fd).set(o.SocketOptions))
}

// setReceiveBuffer has a socket keep so many bytes; 0 = as many as it does.
func setReceiveBuffer(fd, n int) error {
	if n <= 0 || unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, n) == nil {
		return nil
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, n) // for want of CAP_NET_ADMIN
}

func (s *linuxSys) Halt(FD) ([]Datagram, error) { return nil, nil }

// prepareDatagram gives a socket what the loops rely on.
func prepareDatagram(fd int, o DatagramSocketOptions) error {
	set := func(level, option, value int) error { return unix.SetsockoptInt(fd, level, option, value) }
	err := errors.Join(setReceiveBuffer(fd, o.Buffer),
		setBroadcast(uintptr(fd), false)) // package net has it on
	sa, nameErr := unix.Getsockname(fd)
	if err = errors.Join(err, nameErr); err != nil {
		return err
	}
	_ = set(unix.SOL_UDP, unix.UDP_GRO, 1) // since Linux 5.0; a Unix socket has none
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
		return setBroadcast(uintptr(fd), value != 0)
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
