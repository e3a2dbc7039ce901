package reactor

import (
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// DatagramSocket is a datagram socket as its protocol sees it (Twisted's IUDPTransport and
// IMulticastTransport). Every method may be called only on the socket's loop, but for those
// that say "any goroutine"; none blocks.
type DatagramSocket struct {
	loop   *Loop
	proto  DatagramProtocol
	share  *Share                           // whose time it takes; nil = nobody's
	port   *DatagramPort                    // that it belongs to; nil = it is outgoing
	open   *opening                         // while its name is resolved; nil otherwise
	o      *atomic.Pointer[DatagramOptions] // the port's, or its own
	counts *datagramCounts                  // the port's, or its own

	fd       FD
	token    uint64
	ep       Endpoint // where it is bound or, of an outgoing one, what it was opened for
	peer     string   // of a connected one, as text
	family   byte
	polled   bool
	want     Events
	stage    datagramStage
	paused   bool
	refused  bool // ConnectionRefused is to be told
	settling bool // in Loop.settling
	waiting  bool // in its share's queue
	again    bool // held is to be told in the next turn
	reason   Reason
	err      error
	errs     int // of reads in a row

	held      []byte        // records that were received and not told
	heldN     int           // how many
	overflow  uint32        // what the system had dropped when it was asked last
	asked     time.Duration // when
	locals    sources       // which address each peer has sent to, where there are several; see noteLocal
	ours      []netip.Addr
	groups    []netip.Addr     // that it has joined
	set       []DatagramOption // that are not as those of a new socket
	wildcard  bool             // bound to all addresses
	connected netip.AddrPort   // the peer of a connected one, but a Unix socket's
	began     bool             // StartProtocol is to be told
	later     func()           // takeLater, made once
}

// datagramStage is how far a socket's life has come: it only goes on, but from frozen back
// to open.
type datagramStage uint8

const (
	datagramUnbuilt datagramStage = iota // no protocol yet, or its name is being resolved
	datagramOpen
	datagramOver // it has its reason, and the protocol is to be told
	datagramFrozen
	datagramGone
)

// DatagramStats count datagrams, ever.
type DatagramStats struct {
	Received, BytesIn uint64 // told to the protocol, payloads alone
	Sent, BytesOut    uint64 // taken by the system
	Overflowed        uint64 // the socket's buffer had no room for, as far as the system tells
	Limited           uint64 // received, and over PeerLimits.DatagramsPerSecond
	Unsent            uint64 // given to Send, and not taken by the system
	Batches           uint64 // calls of DatagramsReceived
}

// datagramCounts are DatagramStats, added to once a batch.
type datagramCounts struct {
	received, in, sent, out, overflowed, limited, unsent, batches atomic.Uint64
}

func (c *datagramCounts) stats() DatagramStats {
	return DatagramStats{Received: c.received.Load(), BytesIn: c.in.Load(), Sent: c.sent.Load(),
		BytesOut: c.out.Load(), Overflowed: c.overflowed.Load(), Limited: c.limited.Load(),
		Unsent: c.unsent.Load(), Batches: c.batches.Load()}
}

// addDatagram has events come to a socket of the loop.
func (l *Loop) addDatagram(d *DatagramSocket) {
	d.token = listenerToken | l.r.listenerSeq.Add(1)
	d.later = d.takeLater
	if l.datagrams == nil {
		l.datagrams = map[uint64]*DatagramSocket{}
	}
	l.datagrams[d.token] = d
}

// datagramIO is what the loop receives and sends with.
func (l *Loop) datagramIO() (DatagramIO, error) {
	if l.packets == nil {
		s, ok := l.sys.(DatagramSys)
		if !ok {
			return nil, ErrNotSupported
		}
		io, err := s.NewDatagramIO()
		if err != nil {
			return nil, err
		}
		l.packets = io
	}
	return l.packets, nil
}

// bound notes what a new descriptor is.
func (d *DatagramSocket) bound(fd FD) {
	d.fd = fd
	local, peer := d.loop.sys.LocalAddr(fd), d.loop.sys.RemoteAddr(fd)
	a := addrPortOf(local)
	switch {
	case !a.IsValid():
		d.family = familyUnix
	case a.Addr().Is4():
		d.family = familyIPv4
	default:
		d.family = familyIPv6
	}
	d.wildcard = a.IsValid() && a.Addr().IsUnspecified()
	if p := addrPortOf(peer); p.IsValid() {
		d.peer, d.connected = "udp://"+p.String(), netip.AddrPortFrom(p.Addr().WithZone(""), p.Port())
	} else if u, ok := peer.(*net.UnixAddr); ok && u.Name != "" {
		d.peer = "unixgram://" + u.Name
	}
}

// begin tells the protocol of a socket that is there.
func (d *DatagramSocket) begin() {
	d.began = false
	if d.open != nil {
		d.open.end()
		d.open = nil
	}
	d.stage = datagramOpen
	d.call(func() { d.proto.StartProtocol(d) })
	d.settleLater()
}

// call runs a callback: of a panic in it the loop knows whose it was.
func (d *DatagramSocket) call(fn func()) {
	was := d.loop.currentDatagram
	d.loop.currentDatagram = d
	fn()
	d.loop.currentDatagram = was
}

// settleLater has settle called when the running callback has returned.
func (d *DatagramSocket) settleLater() {
	if !d.settling {
		d.settling = true
		d.loop.settling = append(d.loop.settling, d)
	}
}

// settleDatagrams tells what a callback has caused, and what that causes.
func (l *Loop) settleDatagrams() {
	for i := 0; i < len(l.settling); i++ {
		d := l.settling[i]
		if d == nil { // told before a panic cut the last round short
			continue
		}
		l.settling[i] = nil
		d.settling = false
		d.settle()
		l.flushWritten()
	}
	l.settling = l.settling[:0]
	if len(l.pending) > 0 {
		l.settle()
	}
}

// settle does what a callback, or an event, has left to do.
func (d *DatagramSocket) settle() {
	if d.began && d.stage == datagramUnbuilt && d.mayTell() {
		d.begin()
	}
	if d.stage == datagramOpen && d.refused && d.mayTell() {
		d.refused = false
		d.call(d.proto.ConnectionRefused)
	}
	switch d.stage {
	case datagramOpen:
		d.updatePoller()
	case datagramOver:
		if d.mayTell() {
			d.stop()
		}
	}
}

// mayTell reports whether the protocol may be called now; else the socket is looked at
// again when its owner is not late any more.
func (d *DatagramSocket) mayTell() bool {
	if !d.share.Late() {
		return true
	}
	if !d.waiting {
		d.waiting = true
		d.share.push(postponed{fn: d.later})
	}
	return false
}

// takeLater does what has waited for the owner's share, or for the next turn.
func (d *DatagramSocket) takeLater() {
	d.waiting, d.again = false, false
	d.settle()
	if d.stage == datagramOpen && !d.paused {
		d.takeTurn()
	}
}

// interest is what the poller is to report.
func (d *DatagramSocket) interest() Events {
	if d.paused {
		return 0
	}
	return ReadEvent
}

// updatePoller tells the poller what has changed.
func (d *DatagramSocket) updatePoller() {
	want := d.interest()
	var err error
	switch {
	case !d.polled:
		err = d.loop.poller.Add(d.fd, d.token, want)
		d.polled = err == nil
	case want != d.want:
		err = d.loop.poller.Modify(d.fd, d.token, want)
	}
	d.want = want
	if err != nil {
		d.endWith(Lost, err)
	}
}

// takeEvents takes what the poller reports. An error is the next read's to tell, but for
// one that is paused.
func (d *DatagramSocket) takeEvents(ev Events) {
	if d.stage != datagramOpen {
		return
	}
	if d.paused {
		if ev&ErrorEvent != 0 {
			d.readFailed(d.loop.sys.SocketError(d.fd))
		}
		return
	}
	if d.mayTell() {
		d.takeTurn()
	}
}

// PauseProducing stops receiving: what comes the system keeps, as far as it has room.
func (d *DatagramSocket) PauseProducing() {
	d.paused = true
	d.settleLater()
}

// ResumeProducing starts receiving again.
func (d *DatagramSocket) ResumeProducing() {
	d.paused = false
	d.settleLater()
	d.lookAgain()
}

// LoseConnection closes the socket: what Send has taken is sent.
func (d *DatagramSocket) LoseConnection() { d.endWith(Done, nil) }

// Abort closes the socket with the reason and error that StopProtocol is to get.
func (d *DatagramSocket) Abort(reason Reason, err error) { d.endWith(reason, err) }

// endWith ends the socket: the protocol is told after the running callback.
func (d *DatagramSocket) endWith(reason Reason, err error) {
	if d.stage > datagramOpen {
		return
	}
	d.stage, d.reason, d.err = datagramOver, reason, err
	d.settleLater()
}

// stop tells the protocol and lets go of the socket, whatever the protocol does.
func (d *DatagramSocket) stop() {
	d.stage = datagramGone
	defer d.letGo()
	if s, ok := d.loop.sys.(interface{ release(FD) }); ok && d.port != nil && d.fd != 0 {
		s.release(d.fd)
	}
	if d.proto != nil {
		d.call(func() { d.proto.StopProtocol(d.reason, d.err) })
	}
}

// letGo closes the socket and forgets it.
func (d *DatagramSocket) letGo() {
	l := d.loop
	d.stage = datagramGone
	if d.open != nil {
		d.open.end()
	}
	if d.polled {
		d.polled = false
		if err := l.poller.Remove(d.fd); err != nil {
			l.r.log.Warn("poller: remove", "fd", d.fd, "err", err)
		}
	}
	if d.fd != 0 {
		if err := l.sys.Close(d.fd); err != nil {
			l.r.log.Debug("close", "fd", d.fd, "err", err)
		}
		d.fd = 0
	}
	d.proto, d.held, d.heldN, d.locals, d.ours = nil, nil, 0, sources{}, nil
	delete(l.datagrams, d.token)
	l.r.others.Add(-1)
	if d.port != nil {
		d.port.gone(d)
	}
}

// State is a set of StatePaused, StateClosing and StateOutgoing.
func (d *DatagramSocket) State() State {
	var s State
	if d.paused {
		s |= StatePaused
	}
	if d.stage >= datagramOver && d.stage != datagramFrozen {
		s |= StateClosing
	}
	if d.port == nil {
		s |= StateOutgoing
	}
	return s
}

// Host and Peer are endpoints as text, such as udp://127.0.0.1:53; Peer is "" where the
// socket is not connected.
func (d *DatagramSocket) Host() string {
	if d.fd != 0 {
		if a := addrPortOf(d.loop.sys.LocalAddr(d.fd)); a.IsValid() {
			return "udp://" + a.String()
		}
	}
	if d.port == nil {
		return ""
	}
	return d.ep.String()
}

// Peer is whom it is connected to: see Host.
func (d *DatagramSocket) Peer() string { return d.peer }

// Loop is the event loop that owns the socket. Any goroutine.
func (d *DatagramSocket) Loop() *Loop { return d.loop }

// Port is the one that the socket belongs to; nil = it is outgoing. Any goroutine.
func (d *DatagramSocket) Port() *DatagramPort { return d.port }

// Stats are the socket's counters, or its port's, where it has one. Any goroutine.
func (d *DatagramSocket) Stats() DatagramStats { return d.counts.stats() }

// addrPortOf is the zero value for what is no address of IP.
func addrPortOf(a net.Addr) netip.AddrPort {
	if a, ok := a.(interface{ AddrPort() netip.AddrPort }); ok {
		return unmap(a.AddrPort())
	}
	return netip.AddrPort{}
}
