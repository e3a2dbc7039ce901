package wirenet

import (
	"encoding/binary"
	"net/netip"
	"strconv"
)

// A record of the ABI is one datagram: what is read and written here is what abi/ABI.md
// says of it.
const (
	recordHeader = 32 // bytes
	familyPeer   = 0  // the connected peer
	familyIPv4   = 4
	familyIPv6   = 6
)

// readRecord reads the first of records. from is the zero value on a Unix socket; payload
// is a part of records. The last one's padding may be cut, where a buffer ends.
func readRecord(records []byte) (from netip.AddrPort, payload, rest []byte) {
	h := (*[recordHeader]byte)(records)
	end := recordHeader + int(binary.LittleEndian.Uint32(h[:]))
	port := binary.LittleEndian.Uint16(h[4:])
	switch h[6] {
	case familyIPv4:
		from = netip.AddrPortFrom(netip.AddrFrom4([4]byte(h[8:])), port)
	case familyIPv6:
		a := netip.AddrFrom16([16]byte(h[8:]))
		if zone := binary.LittleEndian.Uint32(h[24:]); zone != 0 {
			a = a.WithZone(strconv.FormatUint(uint64(zone), 10))
		}
		from = netip.AddrPortFrom(a, port)
	}
	return from, records[recordHeader:end:end], records[min(padded(end), len(records)):]
}

// appendRecord appends a datagram for to, the zero value being the connected peer.
func appendRecord(records []byte, to netip.AddrPort, payload []byte) []byte {
	h := [recordHeader]byte{6: familyPeer}
	binary.LittleEndian.PutUint32(h[:], uint32(len(payload)))
	binary.LittleEndian.PutUint16(h[4:], to.Port())
	switch a := to.Addr().Unmap(); {
	case a.Is4():
		h[6] = familyIPv4
		*(*[4]byte)(h[8:]) = a.As4()
	case a.Is6():
		h[6] = familyIPv6
		*(*[16]byte)(h[8:]) = a.As16()
		zone, _ := strconv.ParseUint(a.Zone(), 10, 32) // an interface's name means nothing in a guest
		binary.LittleEndian.PutUint32(h[24:], uint32(zone))
	}
	records = append(append(records, h[:]...), payload...)
	return append(records, make([]byte, padded(len(payload))-len(payload))...)
}

// padded is n and what is missing to a multiple of 8.
func padded(n int) int { return (n + 7) &^ 7 }
