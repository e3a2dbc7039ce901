package reactor

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
)

// ErrNotAllowed is returned for what the options of a socket do not allow.
var ErrNotAllowed = errors.New("reactor: not allowed")

// Send sends n records, at most MaxDatagrams, straight from records, which may be used
// again when it returns, and tells how many the system has taken. The rest is dropped and
// counted: what has no room in the socket's buffer, and, alone, what the system or the
// options refuse. An answer leaves from the address that its peer has sent to, as long as
// that is remembered, which it is for thousands of peers. ErrBadDatagram says that nothing
// was sent, since something is no record, or one for this socket. After LoseConnection,
// Send does nothing.
func (d *DatagramSocket) Send(records []byte, n int) (taken int, err error) {
	if d.stage != datagramOpen {
		return 0, nil
	}
	l := d.loop
	io, err := l.datagramIO()
	if err != nil {
		return 0, err
	}
	if n < 0 || n > MaxDatagrams {
		return 0, fmt.Errorf("%w: found %d, wanted at most %d", ErrBadDatagram, n, MaxDatagrams)
	}
	if l.toSend == nil {
		l.toSend = make([]Datagram, 0, mostToSend)
	}
	list := l.toSend[:0]
	for range n {
		var one Datagram
		known := false
		if records, err = readDatagram(&one, records); err == nil {
			known, err = d.address(&one)
		}
		if err != nil {
			return 0, err
		}
		if known || d.mayReach(one.Peer) {
			list = append(list, one)
		}
	}
	taken, bytes := d.sendAll(io, list)
	clear(list)
	if cap(list) <= mostToSend {
		l.toSend = list[:0]
	}
	d.counts.sent.Add(uint64(taken))
	d.counts.out.Add(uint64(bytes))
	d.counts.unsent.Add(uint64(n - taken))
	l.turns.bytesOut += uint64(bytes)
	return taken, nil
}

// mostToSend is for how many datagrams a loop keeps room.
const mostToSend = 256

// sendAll sends what the system takes.
func (d *DatagramSocket) sendAll(io DatagramIO, list []Datagram) (taken, bytes int) {
	told := false
	for len(list) > 0 {
		n, err := io.Send(d.fd, d.family, list)
		for i := range n {
			bytes += len(list[i].Payload)
		}
		taken, list = taken+n, list[n:]
		switch {
		case err == nil, errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.ENOMEM):
			return taken, bytes
		case errors.Is(err, syscall.ECONNREFUSED) && !told: // of one that was sent before; this one was not
			told = true
			d.tellRefused()
		default:
			list = list[1:]
		}
	}
	return taken, bytes
}

// address checks whom a datagram is for, and says from where it leaves, and whether a port
// has heard from there.
func (d *DatagramSocket) address(one *Datagram) (known bool, err error) {
	to := one.Peer
	switch {
	case d.connected.IsValid() && to == d.connected, d.family == familyUnix && !to.IsValid():
		one.Peer = netip.AddrPort{}
	case d.peer == "" && !to.IsValid():
		return false, fmt.Errorf("%w: found no address, and the socket has no peer", ErrBadDatagram)
	case d.peer == "" && (to.Addr().Unmap().Is4() || d.family == familyIPv6):
		if d.family == familyIPv4 {
			one.Peer = unmap(to)
		}
	case to.IsValid():
		return false, fmt.Errorf("%w: found the address %s for a socket of %s", ErrBadDatagram, to, d.name())
	}
	if d.notes() {
		if s := d.locals.find(keyOf(to.Addr(), one.Zone, to.Port()), false); s != nil {
			one.Local, known = d.ours[s.value], d.port != nil
		}
	}
	return known, nil
}

// notes tells whether the socket remembers its peers: where it has all addresses of ours, or
// may send to its peers alone. Else the system knows what is to be known.
func (d *DatagramSocket) notes() bool {
	return d.wildcard || d.port != nil && d.family != familyUnix && d.o.Load().Allow != nil
}

// name is what an error calls the socket.
func (d *DatagramSocket) name() string {
	if d.peer != "" {
		return "the peer " + d.peer
	}
	return d.Host()
}

func (d *DatagramSocket) mayReach(to netip.AddrPort) bool {
	allow := d.o.Load().Allow
	return allow == nil || !to.IsValid() || allow(to)
}

// mostLocals is how many addresses of ours a socket knows: those of groups are none.
const mostLocals = 1 << 10

// noteLocals remembers to which address of ours each peer has sent; the zero value is one
// that the system knows.
func (d *DatagramSocket) noteLocals(list []Datagram) {
	for i := range list {
		one := &list[i]
		if one.Local.IsUnspecified() {
			one.Local = netip.Addr{}
		}
		at := slices.Index(d.ours, one.Local)
		if at < 0 {
			if len(d.ours) == mostLocals {
				continue
			}
			at = len(d.ours)
			d.ours = append(d.ours, one.Local)
		}
		s := d.locals.find(keyOf(one.Peer.Addr(), one.Zone, one.Peer.Port()), true)
		s.value, s.stamp = int64(at), int64(d.loop.now)
	}
}
