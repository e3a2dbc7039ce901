package reactor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
)

// FrozenDatagram is a datagram socket that Freeze has stopped, as values for
// AdoptDatagram: all of it but its socket and its protocol. Another version of this
// package may read it, so a field keeps its name and its meaning. What the system has
// queued goes with the socket, as do its groups and its options.
type FrozenDatagram struct {
	Outgoing bool
	Endpoint string // of an outgoing one: what it was opened for
	Paused   bool   // by the protocol
	Refused  bool   // ConnectionRefused is to be told
	Held     []byte // records that were received, and not told
	Count    int    // how many
	Overflow uint32 // what the system had dropped when it told last
	// Peers have sent to Ours, addresses of this machine. Each takes 24 bytes, little endian:
	// the address, IPv4 as IPv6 has it, u32 the zone, u16 the port, u16 the place in Ours.
	Peers []byte
	Ours  []netip.Addr
	// Groups are those that it has joined, and Set the options that are not as a new socket's, both for Reset.
	Groups []netip.Addr
	Set    []DatagramOption
}

// Freeze stops the socket: no callback comes until Thaw, and its calls do nothing, or are
// heard of after Thaw. It is for one that is to go on in another reactor, as a rule in
// another process: that one's AdoptDatagram gets what is returned, and what File returns;
// then this one calls Forget, or, if it came to nothing, Thaw. An error says why the
// socket can't be moved; then nothing has changed. Loop only, and not inside one of the
// socket's callbacks.
func (d *DatagramSocket) Freeze() (FrozenDatagram, error) {
	l := d.loop
	var why string
	switch {
	case l.currentDatagram == d:
		why = "it is in a callback"
	case d.stage == datagramUnbuilt:
		why = "it has no protocol yet"
	case d.stage != datagramOpen:
		why = "it is over"
	}
	if why != "" {
		return FrozenDatagram{}, errors.New("can't be moved: " + why)
	}
	ahead, err := l.sys.(DatagramSys).Halt(d.fd)
	if err != nil {
		return FrozenDatagram{}, fmt.Errorf("can't be moved: %w", err)
	}
	d.hold(ahead)
	if d.polled {
		d.polled = false
		if err := l.poller.Remove(d.fd); err != nil {
			l.r.log.Warn("poller: remove", "fd", d.fd, "err", err)
		}
	}
	d.stage = datagramFrozen
	s := FrozenDatagram{Outgoing: d.port == nil, Paused: d.paused, Refused: d.refused,
		Held: append([]byte(nil), d.held...), Count: d.heldN, Overflow: d.overflow}
	if s.Outgoing {
		s.Endpoint = d.ep.String()
	}
	s.Peers, s.Ours = d.appendPeers(nil), slices.Clone(d.ours)
	s.Groups, s.Set = slices.Clone(d.groups), slices.Clone(d.set)
	return s, nil
}

// frozenPeer is how many bytes each of FrozenDatagram.Peers takes.
const frozenPeer = 24

// appendPeers appends FrozenDatagram.Peers to b.
func (d *DatagramSocket) appendPeers(b []byte) []byte {
	d.locals.each(func(s *source) {
		b = append(b, s.key.addr[:]...)
		b = binary.LittleEndian.AppendUint32(b, s.key.zone)
		b = binary.LittleEndian.AppendUint16(b, s.key.port)
		b = binary.LittleEndian.AppendUint16(b, uint16(s.value))
	})
	return b
}

// takePeers takes what appendPeers has made.
func (d *DatagramSocket) takePeers(b []byte, ours []netip.Addr) error {
	if d.ours = slices.Clone(ours); len(b)%frozenPeer != 0 || len(ours) > mostLocals {
		return fmt.Errorf("found %d bytes of peers, and %d addresses", len(b), len(ours))
	}
	for p := range slices.Chunk(b, frozenPeer) {
		at := binary.LittleEndian.Uint16(p[22:])
		if int(at) >= len(ours) {
			return fmt.Errorf("found a peer of address %d, and %d addresses", at, len(ours))
		}
		k := keyOf(netip.AddrFrom16([16]byte(p)), binary.LittleEndian.Uint32(p[16:]),
			binary.LittleEndian.Uint16(p[20:]))
		s := d.locals.find(k, true)
		s.value, s.stamp = int64(at), int64(d.loop.now)
	}
	return nil
}

// File is a duplicate of the socket, closed on exec, for AdoptDatagram or
// ListenDatagramFiles in another process. The caller closes it. Loop only.
func (d *DatagramSocket) File() (*os.File, error) {
	if d.fd == 0 {
		return nil, ErrNotConnected
	}
	f, err := d.loop.sys.File(d.fd)
	if err != nil {
		return nil, fmt.Errorf("reactor: the socket of %s: %w", d.ep, err)
	}
	return f, nil
}

// ListenDatagramFiles is ListenDatagrams with sockets that are bound already: another
// process's, or systemd's. They must be bound where ep says. Those that move with their
// protocols are not among them, but AdoptDatagram's: there may be none. The caller keeps
// the files and closes them. Any goroutine; a name may block.
func (r *Reactor) ListenDatagramFiles(files []*os.File, ep Endpoint, f DatagramFactory, o DatagramOptions,
) (*DatagramPort, error) {
	s, ok := r.sys.(DatagramSys)
	if !ok {
		return nil, fmt.Errorf("reactor: listen on %s: %w", ep, ErrNotSupported)
	}
	var list []FD
	for _, file := range files {
		fd, err := s.OpenDatagram(file, o.Socket)
		if err == nil {
			list = append(list, fd)
			err = r.checkBound(r.sys.LocalAddr(fd), ep)
		}
		if err != nil { // they are only duplicates
			return nil, errors.Join(fmt.Errorf("reactor: listen on %s with %s: %w", ep, file.Name(), err),
				r.closeAll(list))
		}
	}
	return r.addPort(list, ep, f, o)
}

// AdoptDatagram makes a socket of another reactor's, as it was when that one's Freeze
// returned s. f is what File returned there; the caller keeps it and closes it. p is its
// protocol, which gets no StartProtocol; the next callback is the one that would have come
// there. port is where it belongs, and whose options it has; an outgoing one has none, and
// o. The socket is frozen until Thaw starts it, or Forget lets go of it. Loop only.
func (l *Loop) AdoptDatagram(f *os.File, s FrozenDatagram, p DatagramProtocol, port *DatagramPort, o DatagramOptions,
) (*DatagramSocket, error) {
	sys, ok := l.sys.(DatagramSys)
	switch {
	case l.stopped:
		return nil, ErrStopped
	case !ok:
		return nil, ErrNotSupported
	case s.Outgoing != (port == nil):
		return nil, fmt.Errorf("reactor: adopt: found a port: %t, wanted %t", port != nil, !s.Outgoing)
	}
	d := &DatagramSocket{loop: l, port: port, o: optionsOf(o), counts: &datagramCounts{}, proto: p,
		stage:  datagramFrozen,
		paused: s.Paused, refused: s.Refused, held: append([]byte(nil), s.Held...), heldN: s.Count,
		overflow: s.Overflow, groups: slices.Clone(s.Groups), set: slices.Clone(s.Set)}
	if port != nil {
		d.o, d.ep, d.counts = &port.o, port.ep, &port.counts
	} else if ep, err := ParseDatagramEndpoint(s.Endpoint); err == nil {
		d.ep = ep
	} else {
		return nil, fmt.Errorf("reactor: adopt: %w", err)
	}
	if err := d.takePeers(s.Peers, s.Ours); err != nil {
		return nil, fmt.Errorf("reactor: adopt: %w", err)
	}
	fd, err := sys.OpenDatagram(f, d.o.Load().Socket)
	if err != nil {
		return nil, fmt.Errorf("reactor: adopt: %w", err)
	}
	if port != nil && !port.take(d) {
		_ = l.sys.Close(fd) // only a duplicate
		return nil, fmt.Errorf("reactor: adopt: the port of %s is closed", port.ep)
	}
	l.addDatagram(d)
	l.r.others.Add(1)
	d.bound(fd)
	if share := d.o.Load().Share; share != nil {
		d.share = share(l)
	}
	return d, nil
}

// Thaw lets a socket go on that is frozen or adopted. Its callbacks come when the running
// function has returned. Loop only.
func (d *DatagramSocket) Thaw() {
	if d.stage != datagramFrozen {
		return
	}
	d.stage = datagramOpen
	if slices.Contains(d.set, Broadcast) { // OpenDatagram has turned it off, for whoever has the socket
		if err := d.loop.sys.(DatagramSys).SetDatagramOption(d.fd, Broadcast, 1); err != nil {
			d.loop.r.log.Warn("a datagram socket has no broadcasts any more", "endpoint", d.ep.String(), "err", err)
		}
	}
	if d.port != nil {
		d.loop.sys.RemoveAtClose(d.fd, !d.o.Load().KeepFile) // of a Unix socket's file
	}
	d.settleLater()
	d.lookAgain()
}

// Forget lets go of a socket that is frozen and that another reactor has from now on: its
// protocol hears nothing more. Loop only.
func (d *DatagramSocket) Forget() {
	if d.stage == datagramFrozen {
		d.loop.sys.RemoveAtClose(d.fd, false)
		d.letGo()
	}
}

// endDatagrams has the protocols of all sockets told that the loop ends, and reports
// whether there were any.
func (l *Loop) endDatagrams() (found bool) {
	for _, d := range l.datagrams {
		if d.stage == datagramFrozen { // nobody knows whether another process has it
			d.Forget()
			continue
		}
		d.endWith(ShuttingDown, nil)
		found = true
	}
	return found
}

// dropDatagrams closes the sockets without a word to their protocols, and tells how many.
func (l *Loop) dropDatagrams() (dropped int) {
	for _, d := range l.datagrams {
		d.letGo()
		dropped++
	}
	return dropped
}
