package reactor

import (
	"net"
	"sync"
	"syscall"
)

// linkSize is how many bytes each direction of a link holds, as a socket's buffer does.
const linkSize = 64 << 10

// insideFD is the FD of a connection inside the process. No Sys has a negative one.
const insideFD FD = -1

// link is a connection inside the process. Its ends are Sys and Poller of their
// connections, and behave as the sockets of a Unix connection do, so that a connection is
// the same whatever it goes over.
type link struct {
	number uint64     // see ConnStats.Link
	apart  bool       // the ends are on two loops
	mu     sync.Mutex // where they are, each look at them takes it
	ends   [2]linkEnd // who connects, who accepts
}

// linkEnd is one end. What is not said to be its loop's belongs to both ends' loops.
type linkEnd struct {
	Sys    // its loop's: clock, and what is no socket's
	poll   linkPoller
	link   *link
	other  *linkEnd
	loop   *Loop
	conn   *connection // its loop's
	lander Lander      // its loop's; nil = its protocol is none, or not there yet
	facts  linkFacts   // immutable

	in         ring // from the other end
	fin        bool // the other end has closed its writing side
	shut       bool // this end has
	reset      bool // the connection was reset, or could not be made
	refused    bool // it could not
	closed     bool
	connecting bool // the other end has no protocol yet
	err        syscall.Errno

	polled bool
	want   Events
	listed bool // in loop.links; its loop's
	waking bool // its loop was told to look at it
}

// linkFacts are what one end knows of the connection.
type linkFacts struct {
	peer, host string // endpoints
	cert       []byte // of ConnectOptions.As: its peer's leaf certificate, or nil
	protocol   string // of ConnectOptions.As: what ALPN chose
	depth      int    // ConnectOptions.Depth
}

// newLink makes a link from one loop to another, or the same.
func newLink(from, to *Loop) *link {
	p := &link{number: from.r.links.number(), apart: from != to}
	p.join(0, from).connecting = true
	p.join(1, to)
	return p
}

func (p *link) lock() {
	if p.apart {
		p.mu.Lock()
	}
}

func (p *link) unlock() {
	if p.apart {
		p.mu.Unlock()
	}
}

// sys is where the connection's socket is.
func (c *connection) sys() Sys {
	if c.link != nil {
		return c.link
	}
	return c.loop.sys
}

// poller is who tells of it.
func (c *connection) poller() Poller {
	if c.link != nil {
		return &c.link.poll
	}
	return c.loop.poller
}

// ConnectResult is how Connect has gone.
func (e *linkEnd) ConnectResult(FD) error {
	e.link.lock()
	defer e.link.unlock()
	switch {
	case e.connecting:
		return syscall.EINPROGRESS
	case e.refused:
		return syscall.ECONNREFUSED
	}
	return nil // what has happened since is told behind it
}

// establish tells the end that has connected that the other one has its protocol.
func (e *linkEnd) establish() {
	e.lander, _ = e.conn.proto.(Lander)
	e.link.lock()
	defer e.link.unlock()
	if o := e.other; o.connecting {
		o.connecting = false
		o.changed()
	}
}

func (e *linkEnd) takeError() error {
	if e.err == 0 {
		return nil
	}
	err := e.err
	e.err = 0
	return err
}

// Read takes what the other end has written.
func (e *linkEnd) Read(_ FD, p []byte) (int, error) {
	e.link.lock()
	defer e.link.unlock()
	switch {
	case e.in.n > 0:
		n := e.in.read(p, e.loop.r)
		if o := e.other; o.want&WriteEvent != 0 {
			o.changed()
		}
		return n, nil
	case e.err != 0:
		return 0, e.takeError()
	case e.fin || e.reset:
		return 0, nil
	}
	return 0, syscall.EAGAIN
}

// Write copies what there is room for.
func (e *linkEnd) Write(_ FD, p []byte) (int, error) {
	e.link.lock()
	defer e.link.unlock()
	o := e.other
	switch {
	case e.err != 0:
		return 0, e.takeError()
	case e.shut || e.reset || o.closed:
		return 0, syscall.EPIPE
	case e.connecting:
		return 0, syscall.EAGAIN
	case len(p) == 0:
		return 0, nil
	}
	n := min(len(p), o.room())
	if n == 0 {
		return 0, syscall.EAGAIN
	}
	o.in.write(p[:n], e.loop.r)
	o.changed()
	return n, nil
}

// room is how many bytes it takes from the other end, with those that have landed.
func (e *linkEnd) room() int {
	room := linkSize - e.in.n
	if !e.link.apart && e.loop.landing == e {
		room -= len(e.loop.landed)
	}
	return room
}

// Writev is Write for several pieces.
func (e *linkEnd) Writev(fd FD, pieces [][]byte) (int, error) {
	total := 0
	for _, p := range pieces {
		n, err := e.Write(fd, p)
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
func (e *linkEnd) Unsent(FD) int {
	e.link.lock()
	defer e.link.unlock()
	return e.other.in.n
}

// ShutdownWrite has the other end read to its end.
func (e *linkEnd) ShutdownWrite(FD) error {
	e.link.lock()
	defer e.link.unlock()
	if e.reset || e.connecting {
		return syscall.ENOTCONN
	}
	e.shut = true
	e.other.fin = true
	e.other.changed()
	return nil
}

// SocketError takes the pending error.
func (e *linkEnd) SocketError(FD) error {
	e.link.lock()
	defer e.link.unlock()
	return e.takeError()
}

// Close lets go of the end; what was written is still read.
func (e *linkEnd) Close(FD) error { return e.close(false) }

// Reset drops what was written and not read.
func (e *linkEnd) Reset(FD) error { return e.close(true) }

func (e *linkEnd) close(reset bool) error {
	e.link.lock()
	defer e.link.unlock()
	o := e.other
	e.closed = true
	e.in.clear(e.loop.r)
	switch {
	case o.closed || e.reset:
		return nil
	case o.connecting: // it was refused
		o.connecting, o.refused, o.reset = false, true, true
	case reset || e.connecting:
		o.reset, o.err = true, syscall.ECONNRESET
		o.in.clear(o.loop.r)
	default:
		o.fin = true
	}
	o.changed()
	return nil
}

// LocalAddr and RemoteAddr are none: Host and Peer tell the endpoints.
func (e *linkEnd) LocalAddr(FD) net.Addr  { return nil }
func (e *linkEnd) RemoteAddr(FD) net.Addr { return nil }

// ring is a queue of at most linkSize bytes. It holds no memory while it is empty.
type ring struct {
	buf  *[linkSize]byte
	head int
	n    int
}

// write puts p behind what there is; there must be room.
func (q *ring) write(p []byte, r *Reactor) {
	q.reserve(r)
	at := (q.head + q.n) % linkSize
	q.n += len(p)
	rest := copy(q.buf[at:], p)
	copy(q.buf[:], p[rest:])
}

// prepend puts p before what there is; there must be room.
func (q *ring) prepend(p []byte, r *Reactor) {
	q.reserve(r)
	q.head = (q.head - len(p) + linkSize) % linkSize
	q.n += len(p)
	rest := copy(q.buf[q.head:], p)
	copy(q.buf[:], p[rest:])
}

func (q *ring) reserve(r *Reactor) {
	if q.buf == nil {
		q.head = 0
		if q.buf, _ = r.rings.Get().(*[linkSize]byte); q.buf == nil {
			q.buf = new([linkSize]byte)
		}
	}
}

func (q *ring) read(p []byte, r *Reactor) int {
	n := copy(p, q.buf[q.head:min(linkSize, q.head+q.n)])
	if n < len(p) && n < q.n {
		n += copy(p[n:], q.buf[:q.n-n])
	}
	q.head = (q.head + n) % linkSize
	if q.n -= n; q.n == 0 {
		q.clear(r)
	}
	return n
}

func (q *ring) clear(r *Reactor) {
	if q.buf != nil {
		r.rings.Put(q.buf)
	}
	*q = ring{}
}
