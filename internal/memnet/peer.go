package memnet

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/wirehost/wirehost/reactor"
)

// Peer is the other end of a connection: the test's. Its calls return at once.
type Peer struct {
	sys  *Sys
	sock *socket
}

// Dial connects to a listening socket. It fails with ECONNREFUSED, ENOENT, or
// EAGAIN where the backlog is full.
func (s *Sys) Dial(network, address string) (*Peer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sock, err := s.connect(network, address)
	switch {
	case err != nil:
		return nil, err
	case sock.err != 0:
		return nil, sock.err
	case sock.connecting:
		s.closeSocket(sock, true)
		return nil, syscall.EAGAIN
	}
	return &Peer{s, sock}, nil
}

// Addr is the address that RemoteAddr of the other end tells.
func (p *Peer) Addr() net.Addr { return p.sock.local }

// RemoteAddr is the address that Host of the other end tells.
func (p *Peer) RemoteAddr() net.Addr { return p.sock.remote }

// Read returns syscall.EAGAIN when there is nothing, io.EOF at the end, and
// syscall.ECONNRESET, once, after a reset.
func (p *Peer) Read(b []byte) (int, error) {
	p.sys.mu.Lock()
	defer p.sys.mu.Unlock()
	if p.sock.closed {
		return 0, net.ErrClosed
	}
	n, err := p.sock.read(b)
	if n == 0 && err == nil && len(b) > 0 {
		err = io.EOF
	}
	if n > 0 {
		p.sys.changed.Broadcast()
	}
	return n, err
}

// Write takes what there is room for; syscall.EAGAIN comes with 0 alone.
func (p *Peer) Write(b []byte) (int, error) {
	p.sys.mu.Lock()
	defer p.sys.mu.Unlock()
	if p.sock.closed {
		return 0, net.ErrClosed
	}
	p.sys.changed.Broadcast()
	return p.sock.write(b, p.sys.o.Buffer)
}

// CloseWrite sends FIN.
func (p *Peer) CloseWrite() error {
	p.sys.mu.Lock()
	defer p.sys.mu.Unlock()
	if p.sock.closed {
		return net.ErrClosed
	}
	p.sys.changed.Broadcast()
	return p.sock.shutdown()
}

// Close closes both sides, with RST if bytes are unread. A second one does
// nothing.
func (p *Peer) Close() error {
	p.closeEnd(false)
	return nil
}

// Reset sends RST.
func (p *Peer) Reset() { p.closeEnd(true) }

func (p *Peer) closeEnd(reset bool) {
	p.sys.mu.Lock()
	defer p.sys.mu.Unlock()
	if !p.sock.closed {
		p.sys.closeSocket(p.sock, reset)
	}
}

// PeerListener is a listening socket of the test's, for a reactor to connect to.
type PeerListener struct {
	sys  *Sys
	sock *socket
}

// ListenPeer makes one. It takes no descriptor.
func (s *Sys) ListenPeer(network, address string) (*PeerListener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.listen(network, address, reactor.SocketOptions{})
	if err != nil {
		return nil, err
	}
	return &PeerListener{s, l}, nil
}

// Addr is where it listens.
func (l *PeerListener) Addr() net.Addr { return l.sock.local }

// Accept returns syscall.EAGAIN when no connection waits.
func (l *PeerListener) Accept() (*Peer, error) {
	l.sys.mu.Lock()
	defer l.sys.mu.Unlock()
	if len(l.sock.queue) == 0 {
		return nil, syscall.EAGAIN
	}
	return &Peer{l.sys, l.sys.dequeue(l.sock)}, nil
}

// Close resets what waits.
func (l *PeerListener) Close() {
	l.sys.mu.Lock()
	defer l.sys.mu.Unlock()
	if !l.sock.closed {
		l.sys.closeSocket(l.sock, true)
	}
}

// Conn is p as a net.Conn whose calls block, for a reactor that was started.
func (p *Peer) Conn() net.Conn { return &peerConn{p: p} }

// peerConn is a Peer that blocks. Its deadlines are real time, since they are
// there for tests that hang.
type peerConn struct {
	p           *Peer
	mu          sync.Mutex
	read, write time.Time
}

// wait calls try until it returns something other than EAGAIN, or until the
// deadline has passed.
func (c *peerConn) wait(deadline *time.Time, try func() (int, error)) (int, error) {
	s := c.p.sys
	c.mu.Lock()
	end := *deadline
	c.mu.Unlock()
	if !end.IsZero() {
		t := time.AfterFunc(time.Until(end), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.changed.Broadcast()
		})
		defer t.Stop()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if c.p.sock.closed {
			return 0, net.ErrClosed
		}
		n, err := try()
		if n > 0 || err != syscall.EAGAIN {
			s.changed.Broadcast()
			return n, err
		}
		if !end.IsZero() && !time.Now().Before(end) {
			return 0, os.ErrDeadlineExceeded
		}
		s.changed.Wait()
	}
}

func (c *peerConn) Read(b []byte) (int, error) {
	n, err := c.wait(&c.read, func() (int, error) { return c.p.sock.read(b) })
	if n == 0 && err == nil && len(b) > 0 {
		err = io.EOF
	}
	return n, err
}

func (c *peerConn) Write(b []byte) (int, error) {
	total := 0
	for total < len(b) {
		n, err := c.wait(&c.write, func() (int, error) { return c.p.sock.write(b[total:], c.p.sys.o.Buffer) })
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

func (c *peerConn) Close() error         { return c.p.Close() }
func (c *peerConn) CloseWrite() error    { return c.p.CloseWrite() }
func (c *peerConn) Reset()               { c.p.Reset() }
func (c *peerConn) LocalAddr() net.Addr  { return c.p.sock.local }
func (c *peerConn) RemoteAddr() net.Addr { return c.p.sock.remote }

func (c *peerConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read, c.write = t, t
	return nil
}

func (c *peerConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = t
	return nil
}

func (c *peerConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.write = t
	return nil
}
