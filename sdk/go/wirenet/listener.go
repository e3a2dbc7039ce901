package wirenet

import (
	"net"
	"slices"
	"sync"
	"syscall"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// Listener gives connections to Accept: the plugin's listener those of the
// configuration, one of Listen its own.
type Listener struct {
	server  *Server
	network string
	own     job // of one of Listen: its port; else nil, so that the linker leaves ports out

	acceptable sync.Cond // backlog, closed, fault or opened changed
	backlog    []*Conn   // made, not yet accepted
	closed     bool      // nothing is accepted any more
	addr       net.Addr  // of the first connection; of one of Listen, its own
	fault      error     // why the server opens none
	opened     bool      // it does
}

func (s *Server) newListener(network string) *Listener {
	l := &Listener{server: s, network: network}
	l.acceptable.L = &s.mu
	return l
}

// Listen opens a listener of the plugin's own, as net.Listen does: network is tcp,
// tls or unix, and the server must allow the endpoint (the plugin's allow.listen). Its
// connections come to this instance, and end with it. It may be called from a
// goroutine only, never in Options.Start.
func (s *Server) Listen(network, address string) (net.Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.newListener(network)
	l.own = &port{Listener: l, endpoint: endpointText(network, address)}
	s.ask(l.own)
	for !l.opened && l.fault == nil {
		l.acceptable.Wait()
	}
	if l.fault != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: endpoint{network, address}, Err: l.fault}
	}
	return l, nil
}

// port is what a Listener of Listen has on the server, and the factory of its connections. It
// is the callbacks' goroutine's own.
type port struct {
	*Listener
	endpoint string
	port     *wirehost.Port // nil until it is opened
	stopped  bool
}

// job opens or closes it. mu is held.
func (p *port) job() {
	s := p.server
	switch {
	case p.port == nil && !p.closed:
		p.open()
		p.acceptable.Broadcast()
	case p.port != nil && p.closed && !p.stopped:
		p.stopped = true
		s.ports = slices.DeleteFunc(s.ports, func(l *Listener) bool { return l == p.Listener })
		s.told("end of a listener", p.port.StopListening())
	}
}

func (p *port) open() {
	s := p.server
	opened, err := s.reactor.Listen(p.endpoint, p)
	if err != nil {
		p.fault = listenFault(err)
		return
	}
	host, err := opened.Host()
	s.told("address of a listener", err)
	p.port, p.addr, p.opened = opened, address(host), true
	s.ports, s.isStray = append(s.ports, p.Listener), isStray
}

// BuildProtocol makes the protocol of a connection that has come to it.
func (p *port) BuildProtocol(*wirehost.Transport) wirehost.Protocol {
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	return p.protocol()
}

// isStray tells whether a connection that comes to nobody's port is none of the
// configuration's listeners either, such as that of a port that moved here in a reload.
func isStray(t *wirehost.Transport) bool {
	handle, err := t.Listener()
	return err != nil || handle != 0
}

// listenFault is a status of reactor.listen in the words of package net.
func listenFault(err error) error {
	if err == wirehost.ErrBusy {
		return syscall.EADDRINUSE
	}
	return err
}

// protocol makes that of a connection for Accept; nil refuses it. mu is held.
func (l *Listener) protocol() wirehost.Protocol {
	if l.closed {
		return nil
	}
	c := l.server.newConn()
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
	if l.own != nil {
		l.server.ask(l.own)
	}
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
	return &net.OpError{Op: op, Net: l.network, Addr: l.address(), Err: net.ErrClosed}
}

// Addr is where a listener of Listen listens. That of the plugin's listener is the
// local address of the first connection; before one came, a guest does not know its
// address, and Addr is 0.0.0.0:0.
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
