package main

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
)

// reply is how a request fares, as SOCKS5 numbers it (RFC 1928, section 6).
type reply byte

const (
	granted     reply = 0
	failed      reply = 1
	notAllowed  reply = 2
	unreachable reply = 4
	refused     reply = 5
	expired     reply = 6 // nobody came
	noCommand   reply = 7 // command not supported
	noAddress   reply = 8 // address type not supported
)

const (
	connect   = 1 // commands
	bind      = 2
	associate = 3   // SOCKS5 alone
	longest   = 255 // bytes of a name
)

// request is what a client asks for.
type request struct {
	command byte
	host    string // a name, or an address
	port    uint16
}

// endpoint is the request's as text, or "" where it is none.
func (r request) endpoint() string {
	port := strconv.Itoa(int(r.port))
	if addr, err := netip.ParseAddr(r.host); err == nil && addr.Zone() == "" && r.port > 0 {
		return "tcp://" + netip.AddrPortFrom(addr.Unmap(), r.port).String()
	}
	if r.port == 0 || r.host == "" || strings.ContainsFunc(r.host, notOfNames) {
		return ""
	}
	return "tcp://" + r.host + ":" + port
}

// notOfNames finds what would make of a name something else than a name.
func notOfNames(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_'
}

// The parsers return how many bytes of b the message takes, or 0 while it is
// not whole.

// parse4 reads the request of SOCKS4 and 4a
// (https://www.openssh.com/txt/socks4.protocol, socks4a.protocol):
//
//	4, command, port (2 bytes), address (4), user, 0
//
// and for addresses 0.0.0.x with x not 0 behind it a name and 0.
func parse4(b []byte) (r request, n int, why reply) {
	if len(b) < 8 {
		return r, 0, granted
	}
	r.command, r.port = b[1], uint16(b[2])<<8|uint16(b[3])
	_, n, why = text(b, 8) // nobody asks for the user
	if n == 0 {
		return r, 0, why
	}
	if b[4] != 0 || b[5] != 0 || b[6] != 0 || b[7] == 0 {
		r.host = netip.AddrFrom4([4]byte(b[4:8])).String()
		return r, n, granted
	}
	r.host, n, why = text(b, n)
	return r, n, why
}

// text reads what ends with 0 and begins at i, and returns where the next
// begins.
func text(b []byte, i int) (s string, next int, why reply) {
	switch end := bytes.IndexByte(b[i:], 0); {
	case end > longest, end < 0 && len(b)-i > longest:
		return "", 0, failed
	case end < 0:
		return "", 0, granted
	default:
		return string(b[i : i+end]), i + end + 1, granted
	}
}

// parseMethods reads the greeting of SOCKS5: 5, count, so many methods. ok is
// that no authentication is among them.
func parseMethods(b []byte) (ok bool, n int) {
	if len(b) < 2 || len(b) < 2+int(b[1]) {
		return false, 0
	}
	n = 2 + int(b[1])
	return bytes.IndexByte(b[2:n], 0) >= 0, n
}

// parse5 reads the request of SOCKS5: 5, command, 0, address type, address, port
// (2 bytes).
func parse5(b []byte) (r request, n int, why reply) {
	if len(b) > 0 && b[0] != 5 {
		return r, 0, failed
	}
	if len(b) < 5 {
		return r, 0, granted
	}
	begin, size := 4, 0
	switch b[3] {
	case 1:
		size = 4
	case 3:
		begin, size = 5, int(b[4])
	case 4:
		size = 16
	default:
		return r, 0, noAddress
	}
	n = begin + size + 2
	if len(b) < n {
		return r, 0, granted
	}
	r.command, r.port = b[1], uint16(b[n-2])<<8|uint16(b[n-1])
	if r.host = string(b[begin : begin+size]); b[3] != 3 {
		addr, _ := netip.AddrFromSlice(b[begin : begin+size]) // 4 or 16 bytes always do
		r.host = addr.String()
	}
	return r, n, granted
}

// answer4 is the answer to SOCKS4 and 4a: 0, then 90 or 91, and where BIND listens, or
// who came; of what there is no IPv4 address, six bytes that mean nothing.
func answer4(how reply, seen netip.AddrPort) []byte {
	b := [8]byte{1: 91}
	if how == granted {
		b[1] = 90
	}
	if addr := seen.Addr().Unmap(); addr.Is4() {
		b[2], b[3] = byte(seen.Port()>>8), byte(seen.Port())
		copy(b[4:], addr.AsSlice())
	}
	return b[:]
}

// answer5 is the answer to SOCKS5, with the address that the target sees, or
// 0.0.0.0 and port 0 where there is none.
func answer5(how reply, seen netip.AddrPort) []byte {
	b := []byte{5, byte(how), 0, 1}
	addr := seen.Addr().Unmap()
	switch {
	case addr.Is6():
		b[3] = 4
	case !addr.IsValid():
		addr = netip.IPv4Unspecified()
	}
	b = append(b, addr.AsSlice()...)
	return append(b, byte(seen.Port()>>8), byte(seen.Port()))
}
