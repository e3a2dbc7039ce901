package reactor

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

const (
	// portableDatagramAhead is how many datagrams, and bytes of them, are read ahead.
	portableDatagramAhead = 64
	portableDatagramBytes = 256 << 10
	// portableSendWait is how long a send waits for room. Package net can't be asked
	// without waiting at all, and says the same where the time was over before it has tried,
	// as on a busy machine: so there are several tries.
	portableSendWait  = time.Millisecond
	portableSendTries = 4
)

// portableDatagrams is a datagram socket of package net's, which a goroutine reads ahead.
type portableDatagrams struct {
	readiness
	conn   net.PacketConn
	udp    *net.UDPConn     // conn, where it is one
	v4     *ipv4.PacketConn // of IPv4, and of a dual one
	v6     *ipv6.PacketConn // of IPv6
	remote net.Addr         // nil = not connected
	file   socketFile
	large  bool

	queue   []Datagram
	bytes   int
	err     error // of the last read, to be told
	reading bool
	halted  bool
	closed  bool
	stopped sync.Cond // reading has ended
}

var _ DatagramSys = (*portableSys)(nil)

// BindDatagrams makes one socket: systems differ in what they do with several.
func (s *portableSys) BindDatagrams(network, address string, _ int, o DatagramSocketOptions) ([]FD, error) {
	c, err := bindNet(network, address, o.SocketOptions)
	if err != nil {
		return nil, err
	}
	if o.LeaveKept {
		if err := s.leaveKept(c); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	d := newPortableDatagrams(c, nil, o)
	if network == "unixgram" {
		d.file = fileAt(c.LocalAddr())
	}
	return []FD{s.add(d)}, nil
}

// ConnectDatagram does not block: the address is numeric.
func (s *portableSys) ConnectDatagram(network, address string, o DatagramSocketOptions) (FD, error) {
	c, err := net.Dial(network, address)
	if err != nil {
		return 0, portableErrno(err)
	}
	p, ok := c.(net.PacketConn)
	if !ok {
		return 0, errors.Join(ErrNotSupported, c.Close())
	}
	if err := s.leaveKept(c); err != nil {
		return 0, errors.Join(err, c.Close())
	}
	return s.add(newPortableDatagrams(p, c.RemoteAddr(), o)), nil
}

func (s *portableSys) OpenDatagram(f *os.File, o DatagramSocketOptions) (FD, error) {
	fd, err := openSocket(f, forDatagrams)
	if err != nil {
		return 0, err
	}
	own := os.NewFile(uintptr(fd), "socket")
	defer own.Close() // package net makes a duplicate again
	p, err := net.FilePacketConn(own)
	if err != nil {
		return 0, err
	}
	var remote net.Addr
	if c, ok := p.(net.Conn); ok {
		if a := c.RemoteAddr(); a != nil && (addrPortOf(a).IsValid() || a.Network() == "unixgram" && a.String() != "") {
			remote = a
		}
	}
	return s.add(newPortableDatagrams(p, remote, o)), nil
}

func newPortableDatagrams(c net.PacketConn, remote net.Addr, o DatagramSocketOptions) *portableDatagrams {
	d := &portableDatagrams{conn: c, remote: remote}
	d.stopped.L = &d.mu
	d.udp, _ = c.(*net.UDPConn)
	_ = d.setBuffer(o.Buffer) // the system gives what it likes
	a := addrPortOf(c.LocalAddr()).Addr()
	d.large = !a.IsValid()
	if d.large {
		return d
	}
	_ = setSocket(c, func(fd uintptr) error { return setBroadcast(fd, false) }) // package net has it on
	if a.Is4() || a.IsUnspecified() {
		d.v4 = ipv4.NewPacketConn(c)
	}
	if a.Is6() {
		d.v6 = ipv6.NewPacketConn(c)
	}
	if a.IsUnspecified() { // where the system tells to which address a datagram came
		if d.v6 != nil {
			_ = d.v6.SetControlMessage(ipv6.FlagDst, true)
		} else {
			_ = d.v4.SetControlMessage(ipv4.FlagDst, true)
		}
	}
	return d
}

func (d *portableDatagrams) setBuffer(n int) error {
	if b, ok := d.conn.(interface{ SetReadBuffer(int) error }); ok && n > 0 {
		return b.SetReadBuffer(n)
	}
	return nil
}

func (s *portableSys) SetDatagramSocket(fd FD, o DatagramSocketOptions) error {
	d, err := s.datagrams(fd)
	if err != nil {
		return err
	}
	d.mu.Lock()
	file := d.file
	d.mu.Unlock()
	return errors.Join(d.setBuffer(o.Buffer), file.set(o.SocketOptions))
}

func (s *portableSys) datagrams(fd FD) (*portableDatagrams, error) {
	sock, err := s.socket(fd)
	if err != nil {
		return nil, err
	}
	if d, ok := sock.(*portableDatagrams); ok {
		return d, nil
	}
	return nil, syscall.EINVAL
}

// Halt ends the reading goroutine until a poller has the socket again.
func (s *portableSys) Halt(fd FD) ([]Datagram, error) {
	d, err := s.datagrams(fd)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.halted = true
	if d.reading {
		d.conn.SetReadDeadline(past) // fails on a closed socket only, which the read tells
	}
	for d.reading {
		d.stopped.Wait()
	}
	d.conn.SetReadDeadline(time.Time{})
	if errors.Is(d.err, syscall.ETIMEDOUT) {
		d.err = nil
	}
	list := d.queue
	d.queue, d.bytes = nil, 0
	return list, nil
}

func (s *portableSys) SetDatagramOption(fd FD, option DatagramOption, value int) error {
	d, err := s.datagrams(fd)
	if err != nil {
		return err
	}
	if option == Broadcast {
		return setSocket(d.conn, func(fd uintptr) error { return setBroadcast(fd, value != 0) })
	}
	if option == Hops && value == systemsHops && runtime.GOOS != "linux" { // others can't be told so; most begin with
		value = 64
	}
	err = ErrNotSupported
	if d.v4 != nil {
		err = map[DatagramOption]func(int) error{
			MulticastHops: d.v4.SetMulticastTTL, Hops: d.v4.SetTTL,
			MulticastLoop: func(n int) error { return d.v4.SetMulticastLoopback(n != 0) },
		}[option](value)
	}
	if d.v6 != nil { // a dual one's other half may not be had
		err = map[DatagramOption]func(int) error{
			MulticastHops: d.v6.SetMulticastHopLimit, Hops: d.v6.SetHopLimit,
			MulticastLoop: func(n int) error { return d.v6.SetMulticastLoopback(n != 0) },
		}[option](value)
	}
	return portableErrno(err)
}

func (s *portableSys) JoinGroup(fd FD, group netip.Addr) error { return s.setGroup(fd, group, true) }

func (s *portableSys) LeaveGroup(fd FD, group netip.Addr) error { return s.setGroup(fd, group, false) }

func (s *portableSys) setGroup(fd FD, group netip.Addr, join bool) error {
	d, err := s.datagrams(fd)
	if err != nil {
		return err
	}
	var from *net.Interface
	if group.Zone() != "" {
		zone, err := zoneID(group.Zone())
		if err != nil {
			return err
		}
		if from, err = net.InterfaceByIndex(int(zone)); err != nil {
			return err
		}
	}
	at := &net.UDPAddr{IP: group.Unmap().WithZone("").AsSlice()}
	is4 := group.Unmap().Is4()
	switch {
	case is4 && d.v4 != nil && join:
		err = d.v4.JoinGroup(from, at)
	case is4 && d.v4 != nil:
		err = d.v4.LeaveGroup(from, at)
	case !is4 && d.v6 != nil && join:
		err = d.v6.JoinGroup(from, at)
	case !is4 && d.v6 != nil:
		err = d.v6.LeaveGroup(from, at)
	default:
		err = syscall.EAFNOSUPPORT
	}
	return portableErrno(err)
}

func (d *portableDatagrams) attach(reg *registration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.set(reg) {
		return false
	}
	if reg != nil {
		d.halted = false
		d.startRead()
	}
	return true
}

func (d *portableDatagrams) events() Events {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.err != nil:
		return ReadEvent | ErrorEvent
	case len(d.queue) > 0:
		return ReadEvent
	}
	return 0
}

// startRead is called with mu held.
func (d *portableDatagrams) startRead() {
	if !d.reading && d.wantsMore() {
		d.reading = true
		go d.readAhead()
	}
}

func (d *portableDatagrams) wantsMore() bool {
	return !d.closed && !d.halted && d.err == nil && d.reg != nil &&
		len(d.queue) < portableDatagramAhead && d.bytes < portableDatagramBytes
}

func (d *portableDatagrams) readAhead() {
	size := 64 << 10
	if d.large {
		size = portableDatagramBytes
	}
	buf, oob := make([]byte, size+1), make([]byte, 256) // the last one tells that there is more
	for {
		one, err := d.readOne(buf, oob)
		d.mu.Lock()
		if err != nil {
			d.err = portableErrno(err)
		} else {
			d.queue = append(d.queue, one)
			d.bytes += len(one.Payload)
		}
		if d.halted && errors.Is(d.err, syscall.ETIMEDOUT) {
			d.err = nil
		}
		d.changed()
		if !d.wantsMore() {
			d.reading = false
			d.stopped.Broadcast()
			d.mu.Unlock()
			return
		}
		d.mu.Unlock()
	}
}

func (d *portableDatagrams) readOne(buf, oob []byte) (one Datagram, err error) {
	var n, k int
	if d.udp == nil {
		n, _, err = d.conn.ReadFrom(buf)
	} else {
		var from netip.AddrPort
		n, k, _, from, err = d.udp.ReadMsgUDPAddrPort(buf, oob)
		one.Peer = netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port())
		if zone := from.Addr().Zone(); zone != "" {
			one.Zone, _ = zoneID(zone) // an interface that has gone is none
		}
		one.Local = d.localOf(oob[:max(0, k)])
	}
	if err != nil {
		return Datagram{}, err
	}
	one.Cut = n == len(buf)
	one.Payload = append([]byte(nil), buf[:min(n, len(buf)-1)]...)
	return one, nil
}

// localOf is the address that a datagram came to.
func (d *portableDatagrams) localOf(oob []byte) netip.Addr {
	if len(oob) == 0 {
		return netip.Addr{}
	}
	var dst net.IP
	if d.v6 != nil {
		var m ipv6.ControlMessage
		if m.Parse(oob) == nil {
			dst = m.Dst
		}
	} else {
		var m ipv4.ControlMessage
		if m.Parse(oob) == nil {
			dst = m.Dst
		}
	}
	a, _ := netip.AddrFromSlice(dst)
	if a = a.Unmap(); !a.IsValid() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return netip.Addr{}
	}
	return a
}

func (d *portableDatagrams) takeError() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.err
	d.err = nil
	d.startRead()
	return err
}

func (d *portableDatagrams) removeAtClose(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file = (socketFile{}); on {
		d.file = fileAt(d.conn.LocalAddr())
	}
}

func (d *portableDatagrams) close(bool) error {
	d.mu.Lock()
	d.closed = true
	file := d.file
	d.mu.Unlock()
	file.remove()
	return d.conn.Close()
}

func (d *portableDatagrams) addr() net.Addr { return d.conn.LocalAddr() }

func (d *portableDatagrams) netSocket() any { return d.conn }
