package reactor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// DatagramProtocol is one datagram socket's protocol, in the mould of Twisted's
// twisted.internet.protocol.DatagramProtocol, but in batches. The loop that owns the
// socket is the only caller, and it never calls it from inside one of that loop's own
// calls: what a call causes is told after the callback that made it has returned.
type DatagramProtocol interface {
	// StartProtocol comes first, when the socket is bound or, of an outgoing one,
	// connected. The socket stays valid until StopProtocol has returned.
	StartProtocol(s *DatagramSocket)
	// StopProtocol comes exactly once and last, unless the end of the reactor takes
	// longer than a second; without StartProtocol before it where there never was a
	// socket. err says more about the reason and may be nil.
	StopProtocol(reason Reason, err error)
	// ReceiveBuffer is where the next batch is to be: the protocol's own memory, of
	// MinDatagramBuffer bytes at least. It is asked before each.
	ReceiveBuffer() []byte
	// DatagramsReceived gets n records, 1 to MaxDatagrams, from the start of the
	// buffer: see Datagram. They are valid until it returns.
	DatagramsReceived(records []byte, n int)
	// ConnectionRefused says, of a connected socket, that nobody listens at the peer's
	// port. The socket goes on: somebody may, later.
	ConnectionRefused()
}

// DatagramFactory makes the protocol of a socket, on the socket's loop. Of s only the
// getters may be called in it. An error closes the socket.
type DatagramFactory func(s *DatagramSocket) (DatagramProtocol, error)

const (
	// MaxDatagrams is how many records a batch has at most, both ways.
	MaxDatagrams = 1024
	// MinDatagramBuffer is the shortest buffer for a batch, in bytes.
	MinDatagramBuffer = 1 << 10
)

// Datagram is one datagram, and what a record holds: little endian, from a multiple of 8
// bytes on, and padded with zeros to one,
//
//	 0  u32       bytes of payload
//	 4  u16       the peer's port
//	 6  u8        family: 4, 6, 1 (Unix: no address), 0 in Send (the connected peer)
//	 7  u8        flags: 1 = the payload was cut
//	 8  16 bytes  the peer's address; IPv4 in the first four
//	24  u32       IPv6 zone index
//	28  u32       0
//	32            payload
type Datagram struct {
	Peer    netip.AddrPort // whom it is from, or for, without a zone; zero: a Unix socket's, or the connected peer
	Zone    uint32         // Peer's IPv6 zone: an interface's number; 0 = none
	Cut     bool           // the payload was longer
	Payload []byte

	// Local is, for a Sys, the address of ours that it came to, or is to leave from; the
	// zero value where that is not known, or the system's to choose. A record has none.
	Local netip.Addr
}

// ErrBadDatagram is returned by Send for records that are none.
var ErrBadDatagram = errors.New("reactor: found something else than records of datagrams")

const (
	datagramHeader = 32 // bytes
	familyPeer     = 0
	familyUnix     = 1
	familyIPv4     = 4
	familyIPv6     = 6
	flagCut        = 1
)

// padded is n and what is missing to a multiple of 8.
func padded(n int) int { return (n + 7) &^ 7 }

// AppendDatagram appends d's record to records. One without a peer is for the connected
// peer.
func AppendDatagram(records []byte, d Datagram) []byte {
	at := len(records)
	records = append(records, make([]byte, datagramHeader+padded(len(d.Payload)))...)
	putDatagram(records[at:], &d, familyPeer)
	return records
}

// putDatagram writes d's record to the start of b, its payload cut to what there is room
// for, and returns the record's length. noPeer is the family of one without a peer.
func putDatagram(b []byte, d *Datagram, noPeer byte) int {
	p, flags := d.Payload, byte(0)
	if d.Cut {
		flags = flagCut
	}
	if room := len(b) - datagramHeader; len(p) > room {
		p, flags = p[:room], flagCut
	}
	h := (*[datagramHeader]byte)(b)
	*h = [datagramHeader]byte{6: noPeer, 7: flags}
	binary.LittleEndian.PutUint32(h[:], uint32(len(p)))
	switch a := d.Peer.Addr(); {
	case a.Is4():
		h[6] = familyIPv4
		*(*[4]byte)(h[8:]) = a.As4()
	case a.Is6():
		h[6] = familyIPv6
		*(*[16]byte)(h[8:]) = a.As16()
		binary.LittleEndian.PutUint32(h[24:], d.Zone)
	}
	binary.LittleEndian.PutUint16(h[4:], d.Peer.Port())
	end := datagramHeader + copy(b[datagramHeader:], p)
	size := min(padded(end), len(b))
	clear(b[end:size])
	return size
}

// NextDatagram reads the record at the start of records, and returns what is behind it.
// The payload is a part of records.
func NextDatagram(records []byte) (d Datagram, rest []byte, err error) {
	rest, err = readDatagram(&d, records)
	return d, rest, err
}

func readDatagram(d *Datagram, b []byte) (rest []byte, err error) {
	if len(b) < datagramHeader {
		return nil, fmt.Errorf("%w: found %d bytes, wanted a header of %d", ErrBadDatagram, len(b), datagramHeader)
	}
	h := (*[datagramHeader]byte)(b)
	n := int64(binary.LittleEndian.Uint32(h[:]))
	if n > int64(len(b)-datagramHeader) {
		return nil, fmt.Errorf("%w: found a payload of %d bytes in %d", ErrBadDatagram, n, len(b)-datagramHeader)
	}
	*d = Datagram{Cut: h[7]&flagCut != 0, Payload: b[datagramHeader : datagramHeader+n : datagramHeader+n]}
	port := binary.LittleEndian.Uint16(h[4:])
	switch h[6] {
	case familyPeer, familyUnix:
	case familyIPv4:
		d.Peer = netip.AddrPortFrom(netip.AddrFrom4([4]byte(h[8:])), port)
	case familyIPv6:
		d.Peer = netip.AddrPortFrom(netip.AddrFrom16([16]byte(h[8:])), port)
		d.Zone = binary.LittleEndian.Uint32(h[24:])
	default:
		return nil, fmt.Errorf("%w: found family %d, wanted 0, 1, 4 or 6", ErrBadDatagram, h[6])
	}
	return b[min(datagramHeader+padded(int(n)), len(b)):], nil
}

// ParseDatagramEndpoint reads udp://HOST:PORT and unixgram://PATH, as ParseEndpoint does
// those of streams. udp://:PORT is all addresses, of IPv4 and of IPv6.
func ParseDatagramEndpoint(text string) (Endpoint, error) {
	return parseEndpoint(text, datagramSchemes)
}
