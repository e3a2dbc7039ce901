package wirenet

import (
	"net"
	"net/netip"
	"strings"
	"syscall"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// LostError says why the server ended a connection, or could not make one. It
// unwraps to the error that the sockets of package net give in such a case:
// syscall.ECONNRESET, ETIMEDOUT, ECONNABORTED, ECONNREFUSED.
type LostError struct {
	Reason wirehost.Reason
	Text   string // the server's words
}

// Error has the reason, and the server's words where they say more.
func (e *LostError) Error() string {
	if e.Text == "" || e.Text == e.Reason.String() {
		return "connection: " + e.Reason.String()
	}
	return "connection: " + e.Reason.String() + ": " + e.Text
}

// Unwrap is the error of the system that comes nearest.
func (e *LostError) Unwrap() error {
	switch e.Reason {
	case wirehost.Lost, wirehost.Aborted:
		return syscall.ECONNRESET
	case wirehost.Timeout:
		return syscall.ETIMEDOUT
	case wirehost.Refused:
		return syscall.ECONNREFUSED
	case wirehost.NoSuchHost:
		return syscall.EHOSTUNREACH
	case wirehost.NotAllowed:
		return syscall.EACCES
	}
	return syscall.ECONNABORTED
}

// Timeout tells whether a time ran out, as a net.Error does.
func (e *LostError) Timeout() bool { return e.Reason == wirehost.Timeout }

// address makes a net.Addr of an endpoint's text, such as tcp://127.0.0.1:5000.
func address(text string) net.Addr {
	network, rest, found := strings.Cut(text, "://")
	if !found {
		return endpoint{"tcp", text}
	}
	if network == "unix" || network == "unixgram" {
		return &net.UnixAddr{Net: network, Name: rest}
	}
	if ap, err := netip.ParseAddrPort(rest); err == nil {
		if network == "udp" {
			return net.UDPAddrFromAddrPort(ap)
		}
		return net.TCPAddrFromAddrPort(ap)
	}
	return endpoint{network, rest}
}

// endpoint is an address that package net has no type for.
type endpoint struct{ network, text string }

func (e endpoint) Network() string { return e.network }
func (e endpoint) String() string  { return e.text }
