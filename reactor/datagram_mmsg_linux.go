package reactor

import (
	"fmt"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsgIO has what recvmmsg and sendmmsg need of memory. The slots are mapped, so that
// only what datagrams have filled takes memory.
type mmsgIO struct {
	slots []byte
	few   bool // they are laid out for few large ones
	plain bool // the system does not cut one datagram into several
	in    mmsgs
	out   mmsgs
	list  []Datagram // of the last Receive
	stats [memInfoDrops + 1]uint32
}

type mmsgs struct {
	msgs    [mmsgBatch]unix.Mmsghdr
	iov     [mmsgBatch]unix.Iovec
	names   [mmsgBatch]unix.RawSockaddrInet6 // or those of IPv4 or Unix, which is cut
	control [mmsgBatch][controlSize]byte
	used    int            // messages that the system may have written to
	runs    [mmsgBatch]int // datagrams of each message to send
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
	controlSize  = 128 // both kinds of packet information, and how long the datagrams of a run are
	sizeofPacket = int(unsafe.Sizeof(unix.Inet4Pktinfo{}))
	// manyRuns is how many messages are received at once where they were long runs: a turn
	// is for some 1,000 datagrams.
	manyRuns = 16
	// memInfoDrops is the place in SO_MEMINFO (Linux since 4.12) of what had no room.
	memInfoDrops = 8
)

func (s *linuxSys) NewDatagramIO() (DatagramIO, error) {
	slots, err := unix.Mmap(-1, 0, mmsgBatch*slotSize, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("memory for datagrams: %w", err)
	}
	b := &mmsgIO{slots: slots, plain: !hasRuns(), list: make([]Datagram, 0, mmsgBatch)}
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

func (b *mmsgIO) Receive(fd FD, family byte) (list []Datagram, err error) {
	most, size := mmsgBatch, slotSize
	switch {
	case family == familyUnix:
		most, size = fewSlots, largeSlot
	case len(b.list) >= MaxDatagrams:
		most = manyRuns
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
	b.list = b.list[:0]
	if errno != 0 {
		b.in.used = 1
		return nil, errno
	}
	n := int(r)
	b.in.used = min(n+1, mmsgBatch) // of the one behind, the system may have begun
	for i := range n {
		m := &b.in.msgs[i]
		one := Datagram{Cut: m.Hdr.Flags&unix.MSG_TRUNC != 0, Payload: b.slots[i*size:][:min(int(m.Len), size)]}
		run := 0
		if family != familyUnix {
			one.takeName(&b.in.names[i])
			run = one.takeControl(b.in.control[i][:m.Hdr.Controllen])
		}
		for all := one.Payload; run > 0 && len(all) > run; all = one.Payload {
			one.Payload = all[:run:run]
			b.list = append(b.list, one)
			one.Payload = all[run:]
		}
		b.list = append(b.list, one)
	}
	return b.list, nil
}

func (b *mmsgIO) Overflow(fd FD) uint32 {
	b.stats = [len(b.stats)]uint32{}
	size := uint32(unsafe.Sizeof(b.stats))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&b.stats)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0
	}
	return b.stats[memInfoDrops]
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

// takeControl reads the ancillary data of a message (cmsg(3)). It tells how long each of a
// run's datagrams is, but the last, which may be shorter; 0: it is no run.
func (d *Datagram) takeControl(b []byte) (run int) {
	for len(b) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		n := int(h.Len) - unix.CmsgLen(0)
		if n < 0 || int(h.Len) > len(b) {
			return run
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
		case h.Level == unix.SOL_UDP && h.Type == unix.UDP_GRO && n >= 4:
			run = int(*(*int32)(p))
		}
		b = b[min(unix.CmsgSpace(n), len(b)):]
	}
	return run
}

func (b *mmsgIO) Send(fd FD, family byte, list []Datagram) (n int, err error) {
	alone := 0 // datagrams of a run that was refused
	for n < len(list) {
		some := list[n:min(len(list), n+mmsgBatch)]
		if alone > 0 {
			some = some[:min(alone, len(some))]
		}
		k := b.out.putAll(some, family, alone == 0 && !b.plain)
		r, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.out.msgs)),
			uintptr(k), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		for i := range some {
			b.out.iov[i].Base = nil
		}
		if errno != 0 {
			if b.out.runs[0] == 1 || !b.refusesRuns(errno) {
				return n, errno
			}
			alone = b.out.runs[0]
			continue
		}
		for _, run := range b.out.runs[:r] {
			n += run
			alone = max(0, alone-run)
		}
	}
	return n, nil
}

// refusesRuns tells whether datagrams may go one by one that did not go together: they may
// be longer than the path has room for, or the interface may not count checksums.
func (b *mmsgIO) refusesRuns(errno syscall.Errno) bool {
	switch errno {
	case unix.EIO:
		b.plain = true
	case unix.EINVAL, unix.EMSGSIZE, unix.EOPNOTSUPP:
	default:
		return false
	}
	return true
}

const (
	// runLength is how many datagrams the system cuts out of one, and runBytes how long
	// that may be; those that are longer than runPayload may have to be fragmented.
	runLength, runBytes, runPayload = 64, 60_000, 1452
)

// hasRuns tells whether the system has UDP_SEGMENT: Linux since 4.18.
func hasRuns() bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	_, err = unix.GetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT)
	return err == nil
}

// putAll sets messages to the datagrams of list, and tells how many there are: those that
// follow one another to the same peer, of one length but for the last, are one.
func (m *mmsgs) putAll(list []Datagram, family byte, runs bool) (k int) {
	for at := 0; at < len(list); k++ {
		n := 1
		if runs && family != familyUnix {
			n = runOf(list[at:])
		}
		m.put(k, &list[at], family)
		h := &m.msgs[k].Hdr
		h.Iov = &m.iov[at]
		h.SetIovlen(n)
		for i := range n {
			m.iov[at+i].Base = unsafe.SliceData(list[at+i].Payload)
			m.iov[at+i].SetLen(len(list[at+i].Payload))
		}
		if n > 1 {
			m.putSegment(k, len(list[at].Payload))
		}
		m.runs[k] = n
		at += n
	}
	return k
}

// runOf is how many datagrams at the start of list are one to the system.
func runOf(list []Datagram) (n int) {
	first := &list[0]
	size := len(first.Payload)
	if size == 0 || size > runPayload {
		return 1
	}
	most := min(len(list), runLength, runBytes/size)
	for n = 1; n < most; n++ {
		d := &list[n]
		if len(d.Payload) > size || len(d.Payload) == 0 || d.Peer != first.Peer || d.Zone != first.Zone ||
			d.Local != first.Local {
			return n
		}
		if len(d.Payload) < size {
			return n + 1
		}
	}
	return n
}

// putSegment says into which pieces the ith message is cut.
func (m *mmsgs) putSegment(i, size int) {
	h := &m.msgs[i].Hdr
	at := int(h.Controllen)
	c := (*unix.Cmsghdr)(unsafe.Pointer(&m.control[i][at]))
	c.Level, c.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	c.SetLen(unix.CmsgLen(2))
	*(*uint16)(unsafe.Pointer(&m.control[i][at+unix.CmsgLen(0)])) = uint16(size)
	h.SetControllen(at + unix.CmsgSpace(2))
}

// put gives the ith message d's addresses, of a socket of a family.
func (m *mmsgs) put(i int, d *Datagram, family byte) {
	h := &m.msgs[i].Hdr
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
