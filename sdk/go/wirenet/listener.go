package wirenet

import (
	"net"
	"sync"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// Listener is the plugin's listener. Accept gives its connections.
type Listener struct {
	server *Server

	acceptable sync.Cond // backlog or closed changed
	backlog    []*Conn   // made, not yet accepted
	closed     bool      // nothing is accepted any more
	addr       net.Addr  // of the first connection
}

func (s *Server) newListener() *Listener {
	l := &Listener{server: s}
	l.acceptable.L = &s.mu
	return l
}

// BuildProtocol makes the protocol of an accepted connection.
func (l *Listener) BuildProtocol(*wirehost.Transport) wirehost.Protocol {
	s := l.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.closed {
		return nil
	}
	c := s.newConn()
	c.listener = l
	return &protocol{conn: c}
}

// take queues a connection for Accept. mu is held.
func (l *Listener) take(c *Conn) {
	if l.addr == nil {
		l.addr = c.local
	}
	if l.closed {
		c.close()
		return
	}
	l.backlog = append(l.backlog, c)
	l.acceptable.Signal()
}

// shut closes the listener. mu is held.
func (l *Listener) shut() {
	l.closed = true
	l.server.stir()
	for _, c := range l.backlog {
		c.close()
	}
	l.backlog = nil
	l.acceptable.Broadcast()
}

// Accept waits for a connection. After Close the error is a net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	l.server.mu.Lock()
	defer l.server.mu.Unlock()
	for len(l.backlog) == 0 {
		if l.closed {
			return nil, l.error("accept")
		}
		l.acceptable.Wait()
	}
	c := l.backlog[0]
	l.backlog[0] = nil
	l.backlog = l.backlog[1:]
	return c, nil
}

// Close refuses connections from now on, and closes those that Accept has not
// given. The others go on.
func (l *Listener) Close() error {
	l.server.mu.Lock()
	defer l.server.mu.Unlock()
	if l.closed {
		return l.error("close")
	}
	l.shut()
	return nil
}

func (l *Listener) error(op string) error {
	return &net.OpError{Op: op, Net: "tcp", Addr: l.address(), Err: net.ErrClosed}
}

// Addr is the local address of the first connection; before one came, a guest
// does not know its address, and Addr is 0.0.0.0:0.
func (l *Listener) Addr() net.Addr {
	l.server.mu.Lock()
	defer l.server.mu.Unlock()
	return l.address()
}

func (l *Listener) address() net.Addr {
	if l.addr == nil {
		return &net.TCPAddr{IP: net.IPv4zero}
	}
	return l.addr
}
