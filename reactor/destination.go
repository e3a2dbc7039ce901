package reactor

import (
	"errors"
	"fmt"
)

// Destination is who gets a connection that another protocol has had.
type Destination struct {
	// Factory makes its protocol, as one of a listener does: ConnectionMade comes first,
	// and HandshakeCompleted after it where TLS is up.
	Factory Factory
	// Loop is the index of the loop to which the connection goes first; -1 = it stays.
	Loop int
	// Share is whose time the protocol takes on a loop; nil = nobody's.
	Share func(*Loop) *Share
}

// MaxUnread is how many bytes a connection may have that were read and are not delivered,
// for HandOver to take it.
const MaxUnread = 1 << 20

// HandOver gives the connection to another protocol, with bytes that are its first: behind
// them comes what the peer has sent since. This protocol is told when the running callback
// has returned, by ConnectionLost with reason HandedOver; until then its Transport takes
// nothing more. What is queued stays queued, a peer's end is told anew, and SetTimeout is as
// at the start. Where the factory refuses, the connection is closed.
//
// The error is ErrNotSupported for an outgoing connection and, where it is inside the process,
// for another loop; ErrNotConnected where it is
// closing, over, or handed over already, ErrBusy while a producer is registered or a TLS
// handshake runs, and ErrOverLimit for more bytes than MaxUnread; nothing has changed then.
func (c *connection) HandOver(to Destination, first []byte) error {
	switch {
	case c.outgoing(), c.link != nil && to.Loop >= 0 && to.Loop != c.loop.index:
		return ErrNotSupported
	case c.stage != stageOpen:
		return ErrNotConnected
	case c.producer != nil, c.tls != nil && !c.tls.up():
		return ErrBusy
	case len(first)+len(c.proxied) > MaxUnread:
		return ErrOverLimit
	case to.Loop >= len(c.loop.r.loops):
		return fmt.Errorf("reactor: hand over: found loop %d, wanted -1 to %d", to.Loop, len(c.loop.r.loops)-1)
	}
	if c.loop.gatherConn == c {
		if c.loop.flushGather(); c.ended() { // the protocol is told
			return nil
		}
	}
	c.enter(stageHanding)
	c.await(handed{to})
	c.proxied = append(append(make([]byte, 0, len(first)+len(c.proxied)), first...), c.proxied...)
	c.settleLater()
	return nil
}

// handed is whom a connection waits for that was handed over: its new protocol is built in
// a turn of its own, so that no two protocols hold a loop that hand one to each other.
type handed struct{ Destination }

func (handed) Error() string { return errHanded.Error() }

// BuildProtocol asks the factory.
func (h handed) BuildProtocol(t Transport) (Protocol, error) { return h.Factory.BuildProtocol(t) }

// Gone has nothing to do.
func (handed) Gone() {}

var errHanded = errors.New("the connection is handed over")

// leave tells the protocol that has handed its connection over, and has the next one built.
func (c *connection) leave() {
	p := c.proto
	if p == nil { // told already; it waits for its loop
		return
	}
	c.proto, c.buffered = nil, nil
	if c.link != nil {
		c.link.lander = nil
	}
	p.ConnectionLost(HandedOver, nil)
	if c.stage != stageHanding { // a panic's end
		return
	}
	if c.flags&flagPostponed != 0 {
		c.share.dropPostponed(c)
	}
	c.events = 0
	c.flags = c.flags&^(flagPostponed|flagAgain|flagPaused|flagTellUp|flagHangup) | flagBegun
	if c.readSide == sideEnded { // to be read once more
		c.readSide = sideOpen
	}
	c.finSum, c.pullAt, c.idle = 0, 0, 0
	if c.listener != nil {
		c.idle = c.listener.options.Load().IdleTimeout
	}
	to := c.loop.awaiting[c].(handed)
	if to.Loop < 0 || to.Loop == c.loop.index {
		c.arrive(to)
		return
	}
	// Not from here: who has called may look at the connection once more.
	if c.loop.post(call{fn: func() { c.changeLoop(to) }}) != nil {
		c.endWith(ShuttingDown, nil)
	}
}

// arrive has the protocol of a connection built that is on the loop where it is to be.
func (c *connection) arrive(to handed) {
	c.share = nil
	if to.Share != nil {
		c.share = to.Share(c.loop)
	}
	c.idleFrom = c.loop.sys.Now()
	c.enter(stageAwaiting)
	c.flags |= flagBuild
	c.takeTurnLater()
	c.updatePoller()
	c.armTimer()
	if c.out.n > 0 {
		c.markDirty()
	}
}

// changeLoop takes a connection without a protocol to another loop. Nothing up the stack
// may know of it.
func (c *connection) changeLoop(to handed) {
	if c.stage != stageHanding { // it has ended meanwhile
		return
	}
	from, l := c.loop, c.loop.r.loops[to.Loop]
	c.unqueue()
	c.flags &^= flagAgain
	c.endWait()
	if c.tls != nil {
		if r, ok := c.tls.layer.(*records); ok {
			from.forgetSession(r)
		}
	}
	from.vacate(c)
	from.chunksOut -= len(c.out.chunks)
	from.count.Add(-1)
	l.count.Add(1)
	c.loop = l
	if l.post(call{fn: func() {
		l.addConn(c)
		l.chunksOut += len(c.out.chunks)
		c.await(to)
		c.arrive(to)
	}}) == nil {
		return // from here on it is the other loop's
	}
	l.count.Add(-1)
	from.count.Add(1)
	c.loop = from
	from.addConn(c)
	from.chunksOut += len(c.out.chunks)
	c.await(to)
	c.endWith(ShuttingDown, nil)
}
