package reactor

import (
	"errors"
	"net/netip"
	"time"
)

// Router says who gets a connection that a listener has accepted, by where it is from and
// what its peer sends first.
type Router interface {
	// Route says who gets it, or with more that it must see more of it: it is asked again
	// when more has come, and last with Final set. An error refuses the connection. Loops
	// call it, several at a time; it must not block.
	Route(Head) (to Destination, more bool, err error)
}

// Head is what is known of a connection that has no protocol yet.
type Head struct {
	Peer  netip.AddrPort // that of a PROXY header, where there is one; zero on Unix sockets
	Bytes []byte         // that have come first, at most MaxHead; decrypted, with TLS. Valid for the call
	Final bool           // there will be no more: the peer has closed, or the time is over, or these are MaxHead

	// Kept is the Router's own: what it keeps of this connection from one call to the next, nil
	// at the first.
	Kept *any

	// TLS is set where the listener has ended TLS. ServerName is what the client asked for, and
	// Protocol the one that ALPN chose; "" = none.
	TLS        bool
	ServerName string
	Protocol   string
}

const (
	// MaxHead is how many bytes of a connection a Router gets to see.
	MaxHead = 16 << 10
	// routeTimeout is the default.
	routeTimeout = 5 * time.Second
)

// routing is the protocol of a connection as long as a Router looks at it. It never gets as
// far as to write anything.
type routing struct {
	c      *connection
	router Router
	head   []byte // that has come before; nil while nothing has
	kept   any    // of the router
	timer  *DelayedCall
}

// setRoutes has the looks at a listener's connections take a share of the loops' turns, which is theirs alone.
func (ln *Listener) setRoutes(o *ListenOptions) {
	if o.Router == nil || ln.routes.Load() != nil {
		return
	}
	var list []*Share
	for _, l := range ln.r.loops {
		list = append(list, l.NewShare())
	}
	ln.routes.Store(&list)
}

// routings makes them.
type routings struct{ Router }

// BuildProtocol makes one.
func (r routings) BuildProtocol(t Transport) (Protocol, error) {
	return &routing{c: t.(*connection), router: r.Router}, nil
}

// ConnectionMade asks for the first time, unless there is a handshake to wait for.
func (r *routing) ConnectionMade(Transport) {
	if r.c.tls == nil {
		r.ask(nil, false)
	}
}

// HandshakeCompleted asks for the first time.
func (r *routing) HandshakeCompleted() { r.ask(nil, false) }

// ReceiveBuffer is the loop's, as long as there is something to look at.
func (r *routing) ReceiveBuffer() []byte { return r.c.loop.buffer()[:MaxHead-len(r.head)] }

// DataReceived asks again.
func (r *routing) DataReceived(p []byte) {
	if r.head != nil {
		r.head = append(r.head, p...)
		p = r.head
	}
	r.ask(p, len(p) == MaxHead)
}

// ReadConnectionLost is the peer's end: it sends no more.
func (r *routing) ReadConnectionLost() { r.ask(r.head, true) }

// WriteConnectionLost does not come.
func (r *routing) WriteConnectionLost() {}

// ConnectionLost comes when the next protocol has the connection, too.
func (r *routing) ConnectionLost(Reason, error) {
	if r.timer != nil {
		r.timer.Cancel()
	}
}

// ask asks who is to have the connection, and gives it away, with all that has come.
func (r *routing) ask(head []byte, final bool) {
	c := r.c
	if c.stage != stageOpen { // its time is over
		return
	}
	h := Head{Peer: c.peer, Bytes: head, Final: final, Kept: &r.kept}
	if c.tls != nil {
		h.TLS, h.ServerName, h.Protocol = true, c.tls.facts.serverName, c.tls.facts.protocol
	}
	began := c.loop.sys.Now()
	to, more, err := r.router.Route(h)
	c.share.Spent(max(callbackCost, c.loop.sys.Now()-began))
	switch {
	case err != nil:
	case !more:
		err = c.HandOver(to, head)
	case final:
		err = errRouted
	default:
		r.wait(head)
	}
	if err != nil {
		c.refuseRoute(err)
	}
}

// wait keeps what has come for the next time, of which the listener bounds when it is.
func (r *routing) wait(head []byte) {
	if r.head == nil && len(head) > 0 {
		r.head = append(make([]byte, 0, 2*len(head)), head...)
	}
	if r.timer == nil {
		r.timer = r.c.loop.newCall(func() { r.ask(r.head, true) })
		r.timer.share = r.c.share
		r.timer.schedule(r.c.listener.options.Load().RouteTimeout)
	}
}

// errRouted is an error of a Router's that was asked for the last time, and wants more.
var errRouted = errors.New("reactor: a router has not decided")

// refuseRoute closes a connection that nobody gets, and counts it.
func (c *connection) refuseRoute(err error) {
	c.listener.refused[refusedRoute].Add(1)
	c.loop.r.logRefusal(c.listener, c.Peer(), err)
	c.endWith(Refused, err)
}
