package memnet

import (
	"net"
	"slices"
	"syscall"

	"github.com/wirehost/wirehost/reactor"
)

// descriptor is what an FD stands for: a socket may have several, each with a poller of its
// own. Sys.mu guards it.
type descriptor struct {
	*socket
	fd     reactor.FD
	poller *poller
	token  uint64
	want   reactor.Events
}

// socket is a listening socket or one end of a connection. Sys.mu guards it.
type socket struct {
	descriptors   int // 0: a Peer's
	number        int // of its tickets: see File
	network       string
	local, remote net.Addr

	listening bool
	options   reactor.SocketOptions
	key       string
	queue     []*socket // connections that wait for Accept

	mail       *mailbox // of a datagram socket
	peer       *socket  // the other end, also when it is closed; nil if there never was one
	in         []byte   // sent by the other end; unread from head on
	head       int
	fin        bool // the other end has closed its writing side
	shut       bool // this end has closed its writing side
	reset      bool // the connection was reset, or could not be made
	connecting bool
	closed     bool
	err        syscall.Errno // pending; 0 = none
	faulted    bool          // a simulated fault has hit the connection
}

func (k *socket) unread() int { return len(k.in) - k.head }

func (k *socket) takeError() error {
	if k.err == 0 {
		return nil
	}
	err := k.err
	k.err = 0
	return err
}

// events is what holds now. As on Linux, a socket polls writable when a third of
// its buffer is free.
func (k *socket) events(buffer int) reactor.Events {
	var ev reactor.Events
	if k.mail != nil {
		return k.mailEvents()
	}
	if k.listening {
		if len(k.queue) > 0 {
			ev = reactor.ReadEvent
		}
		return ev
	}
	if k.connecting {
		return 0
	}
	if k.unread() > 0 || k.fin || k.reset || k.err != 0 {
		ev |= reactor.ReadEvent
	}
	if k.shut || k.reset || k.err != 0 || k.peer.closed || 3*(buffer-k.peer.unread()) >= buffer {
		ev |= reactor.WriteEvent
	}
	if k.fin || k.reset {
		ev |= reactor.FinEvent
	}
	if k.fin && k.shut || k.reset || k.network == "unix" && k.peer.closed {
		ev |= reactor.HangupEvent
	}
	if k.err != 0 {
		ev |= reactor.ErrorEvent
	}
	return ev
}

func (k *socket) read(p []byte) (int, error) {
	switch {
	case k.unread() > 0:
		n := copy(p, k.in[k.head:])
		if k.head += n; k.head == len(k.in) {
			k.in, k.head = k.in[:0], 0
		}
		return n, nil
	case k.err != 0:
		return 0, k.takeError()
	case k.fin || k.reset:
		return 0, nil
	}
	return 0, syscall.EAGAIN
}

func (k *socket) write(p []byte, buffer int) (int, error) {
	o := k.peer
	switch {
	case k.shut:
		return 0, syscall.EPIPE
	case k.err != 0:
		return 0, k.takeError()
	case k.reset:
		return 0, syscall.EPIPE
	case k.connecting:
		return 0, syscall.EAGAIN
	case len(p) == 0:
		return 0, nil
	case o.closed && k.network == "unix":
		return 0, syscall.EPIPE
	case o.closed: // its system answers with RST
		k.breakOff(syscall.ECONNRESET)
		return len(p), nil
	}
	n := min(len(p), buffer-o.unread())
	if n == 0 {
		return 0, syscall.EAGAIN
	}
	if o.head > 0 && len(o.in)+n > cap(o.in) {
		o.in = o.in[:copy(o.in, o.in[o.head:])]
		o.head = 0
	}
	o.in = append(o.in, p[:n]...)
	return n, nil
}

// shutdown closes the writing side.
func (k *socket) shutdown() error {
	if k.reset || k.connecting {
		return syscall.ENOTCONN
	}
	k.shut = true
	k.peer.fin = true
	return nil
}

// breakOff is the arrival of RST.
func (k *socket) breakOff(err syscall.Errno) {
	if k.reset || k.closed {
		return
	}
	if k.fin && err == syscall.ECONNRESET {
		err = syscall.EPIPE // as Linux does in CLOSE_WAIT
	}
	k.reset, k.err = true, err
	k.in, k.head = nil, 0
}

// closeSocket closes sock. A close with unread bytes resets (RFC 9293, 3.10.4).
func (s *Sys) closeSocket(sock *socket, reset bool) {
	sock.closed = true
	delete(s.tickets, sock.number)
	s.changed.Broadcast()
	if sock.mail != nil {
		s.mail = slices.DeleteFunc(s.mail, func(k *socket) bool { return k == sock })
		return
	}
	if sock.listening {
		if s.bound[sock.key] == sock {
			delete(s.bound, sock.key)
		}
		for _, q := range sock.queue {
			s.closeSocket(q, true)
		}
		return
	}
	o := sock.peer
	if o == nil || sock.reset {
		return
	}
	if sock.connecting { // its other end still waits behind the backlog
		o.connecting = false
	}
	switch {
	case sock.network == "unix":
		if o.fin = true; sock.unread() > 0 {
			o.err = syscall.ECONNRESET
		}
	case reset || sock.unread() > 0:
		o.breakOff(syscall.ECONNRESET)
	default:
		o.fin = true
	}
	sock.in, sock.head = nil, 0
}

// Read takes what the other end has sent.
func (s *Sys) Read(fd reactor.FD, p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sock := s.socket(fd, "read")
	if sock == nil {
		return 0, syscall.EBADF
	}
	if len(p) == 0 {
		s.misused("read of FD %d into no buffer", fd)
	}
	n, err := sock.read(p)
	if n > 0 {
		s.changed.Broadcast()
	}
	return n, err
}

// Write sends what there is room for.
func (s *Sys) Write(fd reactor.FD, p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sock := s.socket(fd, "write")
	if sock == nil {
		return 0, syscall.EBADF
	}
	s.changed.Broadcast()
	return sock.write(p, s.o.Buffer)
}

// Writev is Write for several pieces.
func (s *Sys) Writev(fd reactor.FD, pieces [][]byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sock := s.socket(fd, "write")
	if sock == nil {
		return 0, syscall.EBADF
	}
	s.changed.Broadcast()
	total := 0
	for _, p := range pieces {
		if len(p) == 0 {
			continue
		}
		n, err := sock.write(p, s.o.Buffer)
		total += n
		if err != nil && total == 0 {
			return 0, err
		}
		if err != nil || n < len(p) {
			break
		}
	}
	return total, nil
}

// Unsent is what the other end has not read.
func (s *Sys) Unsent(fd reactor.FD) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	sock := s.socket(fd, "ioctl")
	if sock == nil || sock.peer == nil {
		return 0
	}
	return sock.peer.unread()
}

// ShutdownWrite sends FIN.
func (s *Sys) ShutdownWrite(fd reactor.FD) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sock := s.socket(fd, "shutdown")
	if sock == nil {
		return syscall.EBADF
	}
	s.changed.Broadcast()
	return sock.shutdown()
}

// SocketError takes the pending error.
func (s *Sys) SocketError(fd reactor.FD) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sock := s.socket(fd, "getsockopt")
	if sock == nil {
		return syscall.EBADF
	}
	return sock.takeError()
}

// Close closes a socket.
func (s *Sys) Close(fd reactor.FD) error { return s.closeFD(fd, false) }

// Reset closes a socket with RST; Unix sockets know none.
func (s *Sys) Reset(fd reactor.FD) error { return s.closeFD(fd, true) }

func (s *Sys) closeFD(fd reactor.FD, reset bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sock := s.socket(fd, "close")
	if sock == nil {
		return syscall.EBADF
	}
	if sock.poller != nil {
		s.misused("close of FD %d, which is polled", sock.fd)
		sock.poller.remove(sock)
	}
	s.fds[fd] = nil
	s.open--
	if sock.descriptors--; sock.descriptors == 0 {
		s.closeSocket(sock.socket, reset)
	}
	return nil
}

// LocalAddr is nil for a closed descriptor.
func (s *Sys) LocalAddr(fd reactor.FD) net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sock := s.socket(fd, "getsockname"); sock != nil {
		return sock.local
	}
	return nil
}

// RemoteAddr is nil for a closed descriptor and for one that was reset.
func (s *Sys) RemoteAddr(fd reactor.FD) net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sock := s.socket(fd, "getpeername"); sock != nil && !sock.reset {
		return sock.remote
	}
	return nil
}

// SetNoDelay is for TCP.
func (s *Sys) SetNoDelay(fd reactor.FD, _ bool) error { return s.option(fd) }

// SetKeepAlive is for TCP.
func (s *Sys) SetKeepAlive(fd reactor.FD, _ bool) error { return s.option(fd) }

func (s *Sys) option(fd reactor.FD) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sock := s.socket(fd, "setsockopt")
	switch {
	case sock == nil:
		return syscall.EBADF
	case sock.network == "unix":
		return syscall.EOPNOTSUPP
	}
	return nil
}
