// Package datagram is the part of the SDK for protocols over datagrams, such as UDP: a
// Protocol gets StartProtocol, DatagramReceived and StopProtocol, and answers through its
// Transport (Twisted's DatagramProtocol). A plugin that imports it can take listeners such
// as udp://:53; one that does not exports nothing of this, and the server refuses it there.
//
//	type echo struct{ datagram.Base }
//
//	func (p *echo) DatagramReceived(data []byte, from netip.AddrPort) { _ = p.Transport.Write(data, from) }
//
//	// BuildDatagramProtocol makes the plugin's Factory one for sockets too.
//	func (factory) BuildDatagramProtocol(t *wirehost.Transport) wirehost.Protocol {
//		return datagram.New(t, new(echo))
//	}
//
// Datagrams come in batches, and those that a callback writes are sent with one call when
// it returns. As everything of the SDK, this belongs to the one thread of the instance.
package datagram

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// Protocol is a socket's protocol. A type becomes one by embedding Base, and by having the
// callbacks that it needs.
type Protocol interface {
	// StartProtocol comes first: the socket is bound, or connected.
	StartProtocol()
	// DatagramReceived gets one datagram and who sent it: an address that is not valid from a
	// Unix socket. data is valid until it returns. Base's Cut tells whether it was cut.
	DatagramReceived(data []byte, from netip.AddrPort)
	// ConnectionRefused says that the port of a connected socket's peer answered that nobody
	// listens there. The socket goes on.
	ConnectionRefused()
	// StopProtocol comes exactly once and last.
	StopProtocol(reason wirehost.Reason)

	base() *Base
}

// Base carries what every Protocol has, and callbacks that do nothing.
type Base struct {
	Transport *Transport       // set before StartProtocol or RestoreState
	Factory   wirehost.Factory // the one that was registered
	Cut       bool             // in DatagramReceived: there was more of it than fits a buffer
}

func (b *Base) base() *Base { return b }

// StartProtocol does nothing.
func (b *Base) StartProtocol() {}

// DatagramReceived drops it.
func (b *Base) DatagramReceived([]byte, netip.AddrPort) {}

// ConnectionRefused does nothing.
func (b *Base) ConnectionRefused() {}

// StopProtocol does nothing.
func (b *Base) StopProtocol(wirehost.Reason) {}

// Reactor is the instance's Reactor.
func (b *Base) Reactor() *wirehost.Reactor { return b.Transport.Reactor() }

// New makes what BuildDatagramProtocol returns of a protocol, and sets its Transport. What p
// has of wirehost.StateSaver moves in a reload; of a socket that the configuration has,
// without it the new version's protocol begins with StartProtocol.
func New(t *wirehost.Transport, p Protocol) wirehost.Protocol {
	p.base().Transport = &Transport{Transport: t}
	return &socket{p: p}
}

// Open makes a socket for p: udp://HOST:PORT is connected to that peer, and Send sends to
// it; udp://HOST:0, with an address of this machine, is bound there and sends to anybody. It
// does not wait: StartProtocol follows, or StopProtocol where there is no such host. An
// error is a wirehost.Status, ErrNotAllowed where the configuration's allow.connect does not
// have the endpoint; then p is not called at all.
func Open(r *wirehost.Reactor, endpoint string, p Protocol) (*Transport, error) {
	t, err := r.OpenDatagram(endpoint, &socket{p: p})
	if err != nil {
		return nil, err
	}
	p.base().Transport = &Transport{Transport: t}
	return p.base().Transport, nil
}

// socket is a Protocol as package wirehost sees it.
type socket struct {
	wirehost.Base
	p Protocol
}

func (s *socket) ConnectionMade() {
	s.p.base().Factory = s.Factory
	s.p.StartProtocol()
}

func (s *socket) ConnectionLost(reason wirehost.Reason) { s.p.StopProtocol(reason) }
func (s *socket) ConnectionRefused()                    { s.p.ConnectionRefused() }

func (s *socket) DataReceived(records []byte) {
	for b := s.p.base(); len(records) > 0 && !s.Transport.Disconnecting(); {
		size := int(binary.LittleEndian.Uint32(records))
		b.Cut = records[7]&1 != 0
		s.p.DatagramReceived(records[header:][:size:size], address(records))
		records = records[min(header+(size+7)&^7, len(records)):]
	}
}

func (s *socket) SaveState() (state []byte, ok bool) {
	if p, ok := s.p.(wirehost.StateSaver); ok {
		return p.SaveState()
	}
	return nil, false
}

func (s *socket) RestoreState(version int32, state []byte) error {
	s.p.base().Factory = s.Factory
	if p, ok := s.p.(wirehost.StateSaver); ok {
		return p.RestoreState(version, state)
	}
	return wirehost.ErrNotSupported
}

const header = 32 // bytes of a record before its payload

// Families of a record.
const (
	familyPeer byte = 0 // the connected one
	family4    byte = 4
	family6    byte = 6
)

// address is a record's.
func address(record []byte) netip.AddrPort {
	port := binary.LittleEndian.Uint16(record[4:])
	switch record[6] {
	case family4:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(record[8:])), port)
	case family6:
		a := netip.AddrFrom16([16]byte(record[8:]))
		if zone := binary.LittleEndian.Uint32(record[24:]); zone != 0 {
			a = a.WithZone(strconv.FormatUint(uint64(zone), 10))
		}
		return netip.AddrPortFrom(a, port)
	}
	return netip.AddrPort{}
}

// Transport is a socket as its protocol writes to it. The methods of wirehost.Transport that
// are of streams answer ErrNotSupported.
type Transport struct{ *wirehost.Transport }

// Write queues a datagram to an address, such as one that DatagramReceived got; it leaves
// when the callback returns, from the address that the last datagram of that peer came to.
// data may be used again at once. Nothing waits: what does not fit into the system's buffer
// is dropped, as datagrams are, and Dropped counts it. An error is a wirehost.Status: that
// of an earlier callback's writes, or ErrInvalid of an address that is none.
func (t *Transport) Write(data []byte, to netip.AddrPort) error {
	var h [header]byte
	a := to.Addr()
	switch {
	case !a.IsValid():
		return wirehost.ErrInvalid
	case a.Is4():
		h[6] = family4
		v4 := a.As4()
		copy(h[8:], v4[:])
	default:
		h[6] = family6
		v6 := a.As16()
		copy(h[8:], v6[:])
		if z := a.Zone(); z != "" {
			index, err := strconv.ParseUint(z, 10, 32)
			if err != nil { // a name is for the machine to know
				return wirehost.ErrInvalid
			}
			binary.LittleEndian.PutUint32(h[24:], uint32(index))
		}
	}
	binary.LittleEndian.PutUint16(h[4:], to.Port())
	return t.WriteDatagram(h, data)
}

// Send queues a datagram to the peer of a connected socket, as Write does.
func (t *Transport) Send(data []byte) error {
	return t.WriteDatagram([header]byte{6: familyPeer}, data)
}

// Flush sends what was written without waiting for the callback's end.
func (t *Transport) Flush() error { return t.FlushDatagrams() }
