package guest

import (
	"cmp"
	"iter"
	"slices"

	"github.com/wirehost/wirehost/reactor"
)

// Place is where instances of a guest run: one event loop, which alone uses it, until
// StopLoop.
type Place struct {
	Guest *Guest
	Loop  *reactor.Loop
	Share *reactor.Share // of the loop's turns
	Took  *Callbacks     // where callbacks are counted
	// Lost is told, inside a callback, of an instance that listened and can't go on; nil = nobody is.
	Lost func()

	all     map[*Instance]struct{}
	pool    pool
	scratch []byte // see trash; made when first needed
	closing bool   // its instances end with their last connection
	over    bool   // and the time for that is over
	stopped bool   // the loop has ended
}

// trash is where the last bytes of connections go whose instance is dead. The loop's
// alone: others read at the same time.
func (p *Place) trash() []byte {
	if p.scratch == nil {
		p.scratch = make([]byte, trashSize)
	}
	return p.scratch
}

const trashSize = 64 << 10

// Instances are those that were committed to the place and are not closed, in no order.
func (p *Place) Instances() iter.Seq[*Instance] {
	return func(yield func(*Instance) bool) {
		for i := range p.all {
			if !yield(i) {
				return
			}
		}
	}
}

// Len is how many instances there are.
func (p *Place) Len() int { return len(p.all) }

// Connections are the connections of all instances, in no order.
func (p *Place) Connections() iter.Seq[Connection] {
	return func(yield func(Connection) bool) {
		for i := range p.all {
			for c := range i.conns.all() {
				if !yield(Connection{c.handle, c.t, c.stage == stageConnecting}) {
					return
				}
			}
		}
	}
}

// OpenedSocket is a socket for datagrams that a guest has opened, for who looks at it.
type OpenedSocket struct {
	Handle int32
	On     *reactor.DatagramSocket
}

// Opened are those of all instances whose names are resolved, in no order. On its loop.
func (p *Place) Opened() iter.Seq[OpenedSocket] {
	return func(yield func(OpenedSocket) bool) {
		for i := range p.all {
			for _, s := range i.sockets {
				if s.owner == nil && s.d != nil && s.stage == stageOpen && !yield(OpenedSocket{s.handle, s.d}) {
					return
				}
			}
		}
	}
}

// Connection is a connection as others see it.
type Connection struct {
	Handle     int32
	Transport  reactor.Transport
	Connecting bool // it is outgoing, and not made yet
}

// ConnectionOf is the connection that p is the Protocol of, with its guest and that one's
// account; false: it is no guest's. On its loop.
func ConnectionOf(p reactor.Protocol) (c Connection, of *Guest, ok bool) {
	own, ok := p.(*conn)
	if !ok {
		return c, nil, false
	}
	return Connection{own.handle, own.t, own.stage == stageConnecting}, own.in.guest, true
}

// Guest is what the instance is one of.
func (i *Instance) Guest() *Guest { return i.guest }

// Name is what the guest is called in log lines and traps; AccountName is its account's.
func (g *Guest) Name() string { return g.name }

// AccountName is the name of the guest's account.
func (g *Guest) AccountName() string { return g.account.name }

// CountConnections counts them.
func (p *Place) CountConnections() (n int) {
	for i := range p.all {
		n += i.conns.len()
	}
	return n
}

// PagedOut counts the instances that are written down, until something happens to them.
func (p *Place) PagedOut() (n int) {
	for i := range p.all {
		if i.cell == nil {
			n++
		}
	}
	return n
}

// Memory is the linear memory of all instances, in bytes: of those that have been paged
// out, what they have written.
func (p *Place) Memory() (n uint64) {
	for i := range p.all {
		n += i.Memory()
	}
	return n
}

// Largest are the instances that may be discarded, those with the largest linear
// memory first.
func Largest(places []*Place) []*Instance {
	var list []*Instance
	for _, p := range places {
		for i := range p.all {
			if i.dead == nil {
				list = append(list, i)
			}
		}
	}
	slices.SortFunc(list, func(a, b *Instance) int { return cmp.Compare(b.Memory(), a.Memory()) })
	return list
}

// FollowWatch has the instances be traced and profiled as their account says now.
func (p *Place) FollowWatch() {
	w := p.Guest.account.watch.Load()
	for i := range p.all {
		i.watch = w
	}
}

// RetireIdle retires the instances that have neither connections nor sockets.
func (p *Place) RetireIdle() {
	for i := range p.all {
		if i.conns.len() == 0 && len(i.sockets) == 0 {
			i.retire()
		}
	}
}

// CloseListeners closes those of all instances.
func (p *Place) CloseListeners() {
	for i := range p.all {
		i.dropListeners()
		i.settle()
	}
}

// BeginClosing says that no new connections come, or few: instances without connections
// retire now, the others, those that are committed later too, with their last one. Those that listen go on until their
// listeners are taken, or closed.
func (p *Place) BeginClosing() {
	p.closing = true
	for i := range p.all {
		i.settle()
	}
	p.drain()
}

// Closing tells whether BeginClosing was called. On its loop.
func (p *Place) Closing() bool { return p.closing }

// Over tells whether the time for closing is over: see Abort. On its loop.
func (p *Place) Over() bool { return p.over }

// Abort ends all connections, and the sockets that guests have opened, with a reason. Where
// the place is closing, its instances begin nothing new from then on, and what they listen on
// is closed: nothing keeps them.
func (p *Place) Abort(reason reactor.Reason) {
	for c := range p.Connections() {
		c.Transport.Abort(reason, nil)
	}
	if p.over = p.closing; p.over {
		p.CloseListeners()
	}
	for i := range p.all {
		for _, s := range i.sockets {
			if s.owner == nil {
				s.d.Abort(reason, nil)
			}
		}
	}
}

// StopLoop says that the loop has ended: what happens from here on happens on one
// other goroutine. The instances are closed, those without connections after their
// stopFactory, as long as inTime says so.
func (p *Place) StopLoop(inTime func() bool) {
	p.closing, p.stopped = true, true
	p.Share = nil // the loop has none any more, and others end beside this one
	for i := range p.all {
		if i.conns.len() == 0 && inTime() {
			i.callStopFactory()
		}
		i.Close() // the turn of the loop in which it was to be never comes
	}
	p.drain()
}
