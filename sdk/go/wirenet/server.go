package wirenet

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// Defaults of Options.
const (
	defaultBuffer = 64 << 10
	defaultTick   = 100 * time.Millisecond
	defaultBudget = 20 * time.Millisecond
)

// Options are a Server's. The zero value is good.
type Options struct {
	// Name is the plugin's in log lines; "" is the configuration's.
	Name string
	// Start is called once, before the server, to read the configuration. An error
	// refuses to start. It may not block.
	Start func(r *wirehost.Reactor) error
	// ServePacket is called for each datagram socket of the configuration, in a
	// goroutine of its own, when the socket is bound: once in each instance that has
	// one. The socket, a *PacketConn, is closed when it returns; what it returns is
	// logged, unless the server closed the socket. It needs package datagram to be
	// imported.
	ServePacket func(net.PacketConn) error

	// ReadBuffer is how many unread bytes of a connection stop the reading from its
	// peer; up to 64 KiB more may be held. 0 is 64 KiB.
	ReadBuffer int
	// WriteBuffer is how many bytes of a connection are taken from Write before it
	// waits, once here and once on the server. 0 is 64 KiB.
	WriteBuffer int

	// Tick is how far ahead the timers of Go's runtime are served while no
	// connection is open, and how often they are looked after at least where it is
	// not known when they are due. 0 is 100 ms; below 0 they are never served by
	// themselves: what is due runs during the next callback.
	Tick time.Duration
	// Background has them served while no connection is open, for servers with
	// work of their own. With `isolation: connection` the instance then never ends
	// while there are any.
	Background bool
	// Budget is how long one callback goes on while goroutines have work; then
	// other connections of the event loop have their turn. A goroutine that
	// does not wait is not interrupted. 0 is 20 ms.
	Budget time.Duration
}

func (o Options) withDefaults() Options {
	if o.ReadBuffer <= 0 {
		o.ReadBuffer = defaultBuffer
	}
	if o.WriteBuffer <= 0 {
		o.WriteBuffer = defaultBuffer
	}
	if o.Tick == 0 {
		o.Tick = defaultTick
	}
	if o.Budget <= 0 {
		o.Budget = defaultBudget
	}
	return o
}

// Server is a wirehost.Factory whose connections come out of a net.Listener.
//
// Its fields and those of its connections are guarded by mu, which goroutines
// hold for moments only. The callbacks' goroutine alone calls the server: what
// others want of it they put into work.
type Server struct {
	options Options
	serve   func(net.Listener) error
	now     func() int64 // a monotonic clock, in ns; in a guest that of Go's runtime
	wake    func()       // natively: there is work; nil in a guest, where a callback waits for it

	mu        sync.Mutex
	listener  *Listener
	ports     []*Listener // those of Listen
	ended     bool        // serve has returned
	fault     error       // what it returned
	open      int         // connections and sockets
	work      []*Conn     // with something for the callbacks' goroutine
	jobs      []job       // what else is for it
	early     []*Conn     // to be dialled when this version has its place
	spare     [][]byte    // empty output buffers
	deadlines deadlines
	moved     []*deadline // set, and not yet sorted in

	// isStray is set where Listen was called, so that the linker leaves it out elsewhere.
	isStray func(*wirehost.Transport) bool

	clock // the callbacks' goroutine's own
	waiting
}

// Serve makes a Factory that calls serve once, in a goroutine, when the plugin
// starts. When serve returns, connections are refused; what it returns is logged,
// unless the plugin is being stopped.
func Serve(serve func(net.Listener) error, o Options) *Server {
	s := &Server{options: o.withDefaults(), serve: serve, now: nanos}
	s.listener = s.newListener("tcp")
	return s
}

// ServePacket makes a Factory for a plugin of datagram sockets alone: serve is
// Options.ServePacket, and connections are refused.
func ServePacket(serve func(net.PacketConn) error, o Options) *Server {
	o.ServePacket = serve
	return Serve(nil, o)
}

// ServeConn makes a Factory that calls serve for each connection in a goroutine
// of its own, and closes the connection when it returns.
func ServeConn(serve func(net.Conn), o Options) *Server {
	return Serve(func(l net.Listener) error {
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}, o)
}

// LogPrefix is Options.Name.
func (s *Server) LogPrefix() string { return s.options.Name }

// StartFactory starts the server.
func (s *Server) StartFactory(r *wirehost.Reactor) error {
	s.reactor = r
	s.begin.at, s.begin.now = time.Now(), s.now()
	if s.options.Start != nil {
		if err := s.options.Start(r); err != nil {
			return err
		}
	}
	if s.serve == nil {
		s.listener.closed = true
	} else {
		go func() {
			err := s.serve(s.listener)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.ended, s.fault = true, err
			s.listener.shut()
		}()
	}
	s.turnActive()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return fmt.Errorf("the server ended at once: %w", orClosed(s.fault))
	}
	return nil
}

// StopFactory closes the listeners.
func (s *Server) StopFactory() {
	s.mu.Lock()
	s.stopping = true
	s.listener.shut()
	for _, l := range s.ports {
		l.shut()
	}
	s.mu.Unlock()
	s.turn()
}

// BuildProtocol makes the protocol of an accepted connection.
func (s *Server) BuildProtocol(t *wirehost.Transport) wirehost.Protocol {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isStray != nil && s.isStray(t) {
		return nil
	}
	return s.listener.protocol()
}

// orClosed is err, or where there is none net.ErrClosed.
func orClosed(err error) error {
	if err == nil {
		return net.ErrClosed
	}
	return err
}

// stir calls wake. mu is held.
func (s *Server) stir() {
	if s.wake != nil {
		s.wake()
	}
}

// told logs what went wrong with a call to the server. That a connection has
// ended is no news.
func (s *Server) told(what string, err error) {
	if err != nil && !errors.Is(err, wirehost.ErrNoConnection) {
		// where even that fails nobody is left to tell
		_ = s.reactor.Log(wirehost.LevelWarn, "wirenet: "+what+": "+err.Error())
	}
}
