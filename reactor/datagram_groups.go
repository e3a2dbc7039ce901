package reactor

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Join has the datagrams for a multicast group come to this socket too, from the interface
// that a zone names (239.1.2.3%eth0), else from the one that the system chooses; Leave ends
// that. One that is joined already stays so. ErrNotAllowed where the options have no such group.
func (d *DatagramSocket) Join(group string) error {
	return d.group(group, func(s DatagramSys, a netip.Addr) error {
		if slices.Contains(d.groups, a) {
			return nil
		}
		err := s.JoinGroup(d.fd, a)
		if err == nil {
			d.groups = append(d.groups, a)
		}
		return err
	})
}

// Leave is Join's end.
func (d *DatagramSocket) Leave(group string) error {
	return d.group(group, func(s DatagramSys, a netip.Addr) error {
		d.groups = slices.DeleteFunc(d.groups, func(joined netip.Addr) bool { return joined == a })
		return s.LeaveGroup(d.fd, a)
	})
}

func (d *DatagramSocket) group(group string, do func(DatagramSys, netip.Addr) error) error {
	text, zone, _ := strings.Cut(group, "%") // package netip has none with IPv4
	a, err := netip.ParseAddr(text)
	if err != nil || !a.IsMulticast() {
		return fmt.Errorf("reactor: found %s, wanted the address of a multicast group", quoted(group))
	}
	allowed := func(p netip.Prefix) bool { return p.Contains(a) }
	switch {
	case d.stage != datagramOpen:
		return ErrNotConnected
	case !slices.ContainsFunc(d.o.Load().Multicast, allowed):
		return fmt.Errorf("%w: the multicast group %s", ErrNotAllowed, a)
	}
	if zone != "" && a.Is4() {
		a = netip.AddrFrom16(a.As16()).WithZone(zone)
	} else {
		a = a.WithZone(zone)
	}
	if err := do(d.loop.sys.(DatagramSys), a); err != nil {
		return fmt.Errorf("reactor: the multicast group %s: %w", group, err)
	}
	return nil
}

// SetOption sets one. ErrNotAllowed where the options do not allow it.
func (d *DatagramSocket) SetOption(option DatagramOption, value int) error {
	most := 255
	switch option {
	case MulticastLoop, Broadcast:
		most = 1
	case MulticastHops, Hops:
	default:
		return fmt.Errorf("reactor: found option %d of a datagram socket, wanted 1 to 4", option)
	}
	switch {
	case d.stage != datagramOpen:
		return ErrNotConnected
	case d.family == familyUnix:
		return ErrNotSupported
	case value < 0 || value > most || option == Hops && value == 0:
		return fmt.Errorf("reactor: found %d for option %d, wanted at most %d", value, option, most)
	case option == Broadcast && value != 0 && !d.o.Load().Broadcast:
		return fmt.Errorf("%w: broadcast", ErrNotAllowed)
	}
	if err := d.loop.sys.(DatagramSys).SetDatagramOption(d.fd, option, value); err != nil {
		return fmt.Errorf("reactor: option %d: %w", option, err)
	}
	d.set = slices.DeleteFunc(d.set, func(set DatagramOption) bool { return set == option })
	if value != optionsAnew[option] {
		d.set = append(d.set, option)
	}
	return nil
}

// optionsAnew are what Reset gives options that were set: as systems begin with.
var optionsAnew = map[DatagramOption]int{ // never changed
	MulticastHops: 1, MulticastLoop: 1, Broadcast: 0, Hops: systemsHops}

// systemsHops stands for what the system has been told to send with (net.ipv4.ip_default_ttl).
const systemsHops = -1

// Reset leaves the groups that were joined, and gives the options that were set the values of
// a new socket: for another protocol, which has asked for none of it. What the system does not
// do is logged. Loop only.
func (d *DatagramSocket) Reset() {
	if d.fd == 0 {
		return
	}
	s := d.loop.sys.(DatagramSys)
	var errs []error
	for _, a := range d.groups {
		errs = append(errs, s.LeaveGroup(d.fd, a))
	}
	for _, option := range d.set {
		errs = append(errs, s.SetDatagramOption(d.fd, option, optionsAnew[option]))
	}
	d.groups, d.set = nil, nil
	if err := errors.Join(errs...); err != nil {
		d.loop.r.log.Warn("a datagram socket keeps groups or options", "endpoint", d.ep.String(), "err", err)
	}
}
