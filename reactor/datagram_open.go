package reactor

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
)

// opening is what OpenDatagram has begun: a name that is being resolved.
type opening struct {
	ep      Endpoint
	timeout *DelayedCall
	cancel  context.CancelFunc
}

func (k *opening) end() {
	k.cancel()
	if k.timeout != nil {
		k.timeout.Cancel()
	}
}

// OpenDatagram makes a socket for ep: unixgram, or udp with the port of its peer, to which
// it is connected, or with port 0 and an address of this machine, where it is bound and
// has no peer. It returns at once; p gets StartProtocol, or StopProtocol that says why
// there is no socket. Names are resolved off the loop. Of o, Loop and PerPeer say nothing
// here, and Allow is asked for the peer too. Loop only.
func (l *Loop) OpenDatagram(ep Endpoint, p DatagramProtocol, o DatagramOptions) *DatagramSocket {
	ctx, cancel := context.WithCancel(context.Background())
	d := &DatagramSocket{loop: l, proto: p, ep: ep, o: optionsOf(o), counts: &datagramCounts{},
		open: &opening{ep: ep, cancel: cancel}}
	if o.Share != nil {
		d.share = o.Share(l)
	}
	l.addDatagram(d)
	l.r.others.Add(1)
	if l.stopped {
		d.endWith(ShuttingDown, ErrStopped)
		return d
	}
	a, err := netip.ParseAddr(ep.Host)
	switch {
	case ep.Scheme == "unixgram":
		d.openNext([]netip.Addr{{}})
	case err == nil:
		d.openNext([]netip.Addr{a})
	case ep.Host == "":
		d.endWith(NoSuchHost, errors.New("found no host"))
	default:
		d.open.timeout = l.CallLater(connectTimeout, func() { d.endWith(Timeout, nil) })
		l.resolve(ctx, "ip", ep.Host, d.takeResolved)
	}
	return d
}

// optionsOf are those of an outgoing socket.
func optionsOf(o DatagramOptions) *atomic.Pointer[DatagramOptions] {
	var at atomic.Pointer[DatagramOptions]
	at.Store(&o)
	return &at
}

func (d *DatagramSocket) takeResolved(list []netip.Addr, err error) {
	var dns *net.DNSError
	switch {
	case d.stage != datagramUnbuilt:
	case errors.As(err, &dns) && dns.IsTimeout:
		d.endWith(Timeout, err)
	case err != nil:
		d.endWith(NoSuchHost, err)
	default:
		d.openNext(list)
	}
}

// openNext takes the first address that can be had.
func (d *DatagramSocket) openNext(list []netip.Addr) {
	reason, err := NoSuchHost, errors.New("it has no address")
	for _, a := range list {
		to := netip.AddrPortFrom(a.Unmap(), d.ep.Port)
		if a.IsValid() && d.ep.Port != 0 && !d.mayReach(to) {
			reason, err = NotAllowed, ErrNotAllowed
			continue
		}
		var fd FD
		if fd, err = d.openAt(to); err != nil {
			reason = connectReason(err)
			continue
		}
		d.bound(fd)
		d.settleLater()
		d.began = true
		return
	}
	d.endWith(reason, err)
}

// openAt makes the socket.
func (d *DatagramSocket) openAt(to netip.AddrPort) (FD, error) {
	s, ok := d.loop.sys.(DatagramSys)
	o := d.o.Load().Socket
	o.LeaveKept = true
	switch {
	case !ok:
		return 0, syscall.EOPNOTSUPP
	case d.ep.Scheme == "unixgram":
		return s.ConnectDatagram("unixgram", d.ep.Path, o)
	case to.Port() != 0:
		return s.ConnectDatagram("udp", to.String(), o)
	}
	list, err := s.BindDatagrams("udp", to.String(), 1, o)
	if err != nil {
		return 0, err
	}
	return list[0], nil
}
