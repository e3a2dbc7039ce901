package reactor

import (
	"net/netip"
	"os"
)

// DatagramSys is what a Sys has beside for datagrams. What it has in common with streams
// is Sys's: Close, SocketError, the addresses, and File.
type DatagramSys interface {
	// BindDatagrams makes up to n sockets that are bound to one address, udp or unixgram:
	// each datagram comes to one of them, and those of one source to the same. There are
	// fewer where the system can't spread datagrams.
	BindDatagrams(network, address string, n int, o DatagramSocketOptions) ([]FD, error)
	// ConnectDatagram makes a socket that has a numeric address as its peer.
	ConnectDatagram(network, address string, o DatagramSocketOptions) (FD, error)
	// OpenDatagram is Sys.Open for such sockets.
	OpenDatagram(f *os.File, o DatagramSocketOptions) (FD, error)

	// SetDatagramSocket gives a socket other options, but for ReusePort; a Buffer of 0
	// leaves it as it is.
	SetDatagramSocket(fd FD, o DatagramSocketOptions) error

	// NewDatagramIO makes what one loop receives and sends with.
	NewDatagramIO() (DatagramIO, error)

	// SetDatagramOption, JoinGroup and LeaveGroup are DatagramSocket's; Hops of -1 are those
	// of a new socket. A group's zone is the interface's name or number.
	SetDatagramOption(fd FD, option DatagramOption, value int) error
	JoinGroup(fd FD, group netip.Addr) error
	LeaveGroup(fd FD, group netip.Addr) error
	// Halt ends what the Sys does with a socket by itself, and takes what it has received
	// ahead.
	Halt(fd FD) ([]Datagram, error)
}

// DatagramIO receives and sends batches. It is for one goroutine. Family is the socket's:
// 4, 6, which may be dual, or 1 (Unix).
type DatagramIO interface {
	// Receive takes what waits at a socket, as much as it likes to take at once; EAGAIN
	// where there is nothing. The result, with the payloads, is the DatagramIO's until the
	// next Receive.
	Receive(fd FD, family byte) (list []Datagram, err error)
	// Overflow counts, modulo 1<<32, what a socket's buffer had no room for, ever; 0 where
	// that is not known.
	Overflow(fd FD) uint32
	// Send sends the first n of list, each with one call to the system, and says why it
	// has not taken the next one.
	Send(fd FD, family byte, list []Datagram) (n int, err error)
	Close() error
}

// DatagramSocketOptions are those of a datagram socket. Where its zero value says nothing,
// the system has its way.
type DatagramSocketOptions struct {
	SocketOptions
	// Buffer is how many bytes of datagrams, with what the system needs to keep them, may
	// wait; the system may give less.
	Buffer int
}

// DatagramOption is one that a protocol may set.
type DatagramOption int

// The options. Their numbers never change: protocols from elsewhere use them.
const (
	MulticastHops DatagramOption = 1 // of datagrams to groups; 1 at first
	MulticastLoop DatagramOption = 2 // 1: groups that this machine is in get them too, as at first; 0
	Broadcast     DatagramOption = 3 // 1: they may be sent; 0, as at first
	Hops          DatagramOption = 4 // of the others
)
