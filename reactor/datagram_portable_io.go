package reactor

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// portableDatagramIO takes what the sockets' goroutines have read.
type portableDatagramIO struct{ sys *portableSys }

func (s *portableSys) NewDatagramIO() (DatagramIO, error) { return portableDatagramIO{s}, nil }

func (portableDatagramIO) Close() error { return nil }

func (b portableDatagramIO) Receive(fd FD, _ byte) ([]Datagram, error) {
	d, err := b.sys.datagrams(fd)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	defer d.startRead()
	list, err := d.queue, d.err
	switch {
	case len(list) > 0:
		d.queue, d.bytes = nil, 0
		return list, nil
	case err != nil:
		d.err = nil
		return nil, err
	}
	return nil, syscall.EAGAIN
}

// Overflow is not known.
func (b portableDatagramIO) Overflow(FD) uint32 { return 0 }

func (b portableDatagramIO) Send(fd FD, _ byte, list []Datagram) (n int, err error) {
	d, err := b.sys.datagrams(fd)
	if err != nil {
		return 0, err
	}
	for tries := portableSendTries; n < len(list); {
		d.conn.SetWriteDeadline(time.Now().Add(portableSendWait)) // fails on a closed socket only
		for err = nil; n < len(list) && err == nil; {
			if err = d.sendOne(&list[n]); err == nil {
				n, tries = n+1, portableSendTries
			}
		}
		if err = portableErrno(err); err != nil && !errors.Is(err, syscall.ETIMEDOUT) {
			return n, err
		}
		if tries--; err != nil && tries == 0 {
			return n, syscall.EAGAIN
		}
	}
	return n, nil
}

func (d *portableDatagrams) sendOne(one *Datagram) error {
	if !one.Peer.IsValid() {
		c, ok := d.conn.(net.Conn)
		if !ok || d.remote == nil {
			return syscall.ENOTCONN
		}
		_, err := c.Write(one.Payload)
		return err
	}
	to := one.Peer
	if one.Zone != 0 {
		to = netip.AddrPortFrom(to.Addr().WithZone(strconv.Itoa(int(one.Zone))), to.Port())
	}
	_, _, err := d.udp.WriteMsgUDPAddrPort(one.Payload, d.oobFor(one.Local), to)
	return err
}

// oobFor says from which address a datagram leaves, where the system lets that be said.
func (d *portableDatagrams) oobFor(local netip.Addr) []byte {
	switch {
	case !local.IsValid():
		return nil
	case local.Is4():
		return (&ipv4.ControlMessage{Src: local.AsSlice()}).Marshal()
	}
	return (&ipv6.ControlMessage{Src: local.AsSlice()}).Marshal()
}
