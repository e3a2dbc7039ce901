package memnet

import (
	"slices"
	"syscall"

	"github.com/wirehost/wirehost/reactor"
)

// SocketState is what a check may want to know of the reactor's end of a
// connection: what the loop could read, write or hear of now.
type SocketState struct {
	Ready  reactor.Events // what a poller that wants everything would report
	Unread int            // bytes that the loop has not read
	Fin    bool           // the Peer has closed its writing side
	Reset  bool
	Closed bool // by the loop
	Polled bool // a poller knows it
}

// OtherEnd looks at the end of the connection that is the reactor's.
func (p *Peer) OtherEnd() SocketState {
	p.sys.mu.Lock()
	defer p.sys.mu.Unlock()
	k := p.sock.peer
	return SocketState{
		Ready: k.events(p.sys.o.Buffer), Unread: k.unread(),
		Fin: k.fin, Reset: k.reset, Closed: k.closed,
		Polled: slices.ContainsFunc(p.sys.fds, func(d *descriptor) bool {
			return d != nil && d.socket == k && d.poller != nil
		}),
	}
}

// Unread is how many bytes wait for Read.
func (p *Peer) Unread() int {
	p.sys.mu.Lock()
	defer p.sys.mu.Unlock()
	return p.sock.unread()
}

// Broken tells whether Sys.Break has hit the connection.
func (p *Peer) Broken() bool {
	p.sys.mu.Lock()
	defer p.sys.mu.Unlock()
	return p.sock.faulted
}

// Waiting is how many connections Accept has not yet taken.
func (l *PeerListener) Waiting() int {
	l.sys.mu.Lock()
	defer l.sys.mu.Unlock()
	return len(l.sock.queue)
}

// Descriptors is one more than the highest descriptor that was ever open.
func (s *Sys) Descriptors() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.fds)
}

// Break has the network reset the connection of fd: its own end hears err, the
// other one ECONNRESET. Nothing happens to a descriptor that is closed or
// listens, nor on a Unix socket, which has no network under it.
func (s *Sys) Break(fd reactor.FD, err syscall.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sock := s.fds[fd]
	if sock == nil || sock.listening || sock.network != "tcp" {
		return
	}
	sock.breakOff(err)
	if o := sock.peer; o != nil {
		o.breakOff(syscall.ECONNRESET)
		o.faulted = true
	}
	sock.faulted = true
}

// Connecting tells whether fd is a connection that is not yet made.
func (s *Sys) Connecting(fd reactor.FD) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fds[fd] != nil && s.fds[fd].connecting
}
