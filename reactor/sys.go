package reactor

import (
	"net"
	"os"
	"time"
)

// FD names a socket or a listening socket of a Sys. It is positive; it may be
// used again after Close, as a file descriptor is.
type FD int

// Sys is the seam between the event loops and the operating system. The loops
// do all their I/O, and tell all their time, through it; there are three: the
// system's own sockets with epoll, an emulation over package net (portable),
// and a simulated one for tests.
//
// Every call but Poller.Wait returns at once. Errors that the loops tell apart
// are syscall.Errno values, whatever the implementation: EAGAIN (not ready),
// EINTR, EINPROGRESS, ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNRESET,
// EPIPE, ECONNREFUSED and the like. Calls for different FDs may run on
// different goroutines; those for one FD never run at the same time.
type Sys interface {
	// Now is a monotonic clock. Its zero is the implementation's own.
	Now() time.Duration

	NewPoller() (Poller, error)

	// Listen makes a listening socket that is bound and already queues
	// connections. For port 0, LocalAddr tells the port.
	Listen(network, address string, o SocketOptions) (FD, error)
	// SetListener gives a listening socket other options.
	SetListener(l FD, o SocketOptions) error
	// Accept takes one connection from a listening socket. It returns EAGAIN
	// when there is none. With an EMFILE there may be a connection that took a
	// descriptor which is kept for others: the caller closes it.
	Accept(l FD) (FD, error)
	// AcceptAndClose takes one connection and closes it at once, with a
	// descriptor kept in reserve for when Accept returns EMFILE or ENFILE.
	AcceptAndClose(l FD) error

	// Connect starts a connection to a numeric address; EMFILE where only the
	// descriptors that are kept for others are left. The socket polls
	// writable when it is made or has failed; ConnectResult then tells which.
	Connect(network, address string) (FD, error)
	ConnectResult(fd FD) error

	// Read returns 0, nil at end of file.
	Read(fd FD, p []byte) (int, error)
	// Write and Writev return how many bytes the system took; less than all,
	// or EAGAIN with 0, when its buffer is full. They keep no reference.
	Write(fd FD, p []byte) (int, error)
	Writev(fd FD, pieces [][]byte) (int, error)
	// Unsent is how much of what was written the peer's system has not taken
	// yet, in a unit of the system's own: it falls while the peer reads, also
	// where the socket does not poll writable yet. 0 where it can't be told.
	Unsent(fd FD) int
	// ShutdownWrite closes the writing side: the peer reads to end of file.
	ShutdownWrite(fd FD) error
	// SocketError takes the pending error of a socket that polled ErrorEvent.
	SocketError(fd FD) error

	// Close closes a socket or listening socket; what it has taken is still
	// sent. Reset drops that and, on TCP, sends RST. The poller must have been
	// told to Remove it first.
	Close(fd FD) error
	Reset(fd FD) error

	LocalAddr(fd FD) net.Addr
	RemoteAddr(fd FD) net.Addr
	SetNoDelay(fd FD, on bool) error
	SetKeepAlive(fd FD, on bool) error

	// File is a duplicate, closed on exec, of a socket or of a listening socket: for
	// another process. The caller closes it. Open is the other way: it makes a
	// duplicate of its own of f, a socket that listens or one that is connected, and
	// says what f is where it is something else. For a connection, EMFILE where only
	// the descriptors that are kept for others are left. ErrNotSupported where sockets
	// can't be passed.
	File(fd FD) (*os.File, error)
	Open(f *os.File, listening bool) (FD, error)
	// RemoveAtClose says whether Close removes the file of a listening Unix socket, as
	// it does for one of Listen's and does not for one of Open's.
	RemoveAtClose(fd FD, on bool)
}

// SocketOptions are those of a listening socket. Where its zero value says nothing, the
// system has its way.
type SocketOptions struct {
	// ReusePort lets other sockets of the same user that want it as well listen on
	// the same port (SO_REUSEPORT). Not for Unix sockets.
	ReusePort bool
	// Mode, Owner and Group are of a Unix socket's file, which nobody can connect to
	// before it has them. A mode of 0 is the one that the umask leaves, and an owner
	// or group, by name or number, of "" that of the process.
	Mode         os.FileMode
	Owner, Group string
	// LeaveKept fails, with EMFILE, rather than take a descriptor that connections leave to
	// others.
	LeaveKept bool
}

// Events is a set of readiness events, asked for or reported.
type Events uint8

// The events. A poller reports the last two whether they were asked for or not.
const (
	ReadEvent   Events = 1 << iota // readable, or a connection can be accepted, or end of file
	WriteEvent                     // writable, or a Connect has ended
	FinEvent                       // the peer has closed its writing side; bytes may wait before the end of file
	HangupEvent                    // both sides are closed; always reported
	ErrorEvent                     // the socket has an error (a reset); always reported
)

// Ready is one reported socket.
type Ready struct {
	Token  uint64 // as given to Add
	Events Events
}

// Poller waits for readiness, level-triggered: an event that was asked for is
// reported as long as it holds. All methods but Wake are for one goroutine.
type Poller interface {
	Add(fd FD, token uint64, want Events) error
	Modify(fd FD, token uint64, want Events) error
	Remove(fd FD) error

	// Wait fills ready and returns how many it has filled. A timeout of 0
	// does not block, a negative one has no limit. A Wake ends it early,
	// with 0. EINTR is not returned.
	Wait(ready []Ready, timeout time.Duration) (int, error)
	// Wake ends the current or the next Wait that blocks. Any goroutine.
	Wake() error
	Close() error
}
