package reactor

import (
	"sync/atomic"
)

// refusal is why a connection was refused.
type refusal uint8

const (
	refusedDraining refusal = iota
	refusedOverload
	refusedAll
	refusedListener
	refusedDescriptors
	refusedPeerConnections
	refusedPeerRate
	refusedHeader
	refusedProtocol
	refusedRoute
	refusals // how many there are
)

// refusalTexts are settings' names where one is the reason.
var refusalTexts = [refusals]string{
	refusedDraining: "shutting down", refusedOverload: "overload", refusedAll: "reactor.max_connections",
	refusedListener: "max_connections", refusedDescriptors: "out of file descriptors",
	refusedPeerConnections: "per_peer.connections", refusedPeerRate: "per_peer.new_per_second",
	refusedHeader: "PROXY header", refusedProtocol: "no protocol", refusedRoute: "route",
}

func (w refusal) String() string { return refusalTexts[w] }

// refusalCounts are a listener's refusals ever, by their reason.
type refusalCounts [refusals]atomic.Uint64

// by are they by what they are called, and their sum.
func (n *refusalCounts) by() (by map[string]uint64, sum uint64) {
	by = map[string]uint64{}
	for w := range n {
		count := n[w].Load()
		by[refusalTexts[w]] = count
		sum += count
	}
	return by, sum
}

// refuse counts a refused connection and says so, at most once in refusalLog: what comes
// meanwhile is told then. On the acceptor.
func (ln *Listener) refuse(fd FD, why refusal) {
	ln.countRefusal(why)
	if err := ln.r.sys.Close(fd); err != nil {
		ln.r.log.Debug("close", "err", err)
	}
}

func (ln *Listener) countRefusal(why refusal) {
	ln.refused[why].Add(1)
	ln.toLog++
	ln.why = why
	if ln.telling == nil {
		ln.tellRefusals()
	}
}

// tellRefusals logs the refusals that were not logged yet.
func (ln *Listener) tellRefusals() {
	ln.telling = nil
	if ln.toLog == 0 {
		return
	}
	ln.r.log.Warn("connections refused", "endpoint", ln.Endpoint().String(), "why", ln.why.String(), "count", ln.toLog)
	ln.toLog = 0
	if !ln.closed {
		ln.telling = ln.r.acceptor.CallLater(refusalLog, ln.tellRefusals)
	}
}

// refuseConnection closes a connection that has no protocol yet, and logs why.
func (c *connection) refuseConnection(why refusal, err error) {
	if ln := c.listener; ln != nil {
		ln.refused[why].Add(1)
		c.loop.r.logRefusal(ln, c.Peer(), err)
	}
	c.reason, c.err = Refused, err
	c.tellEnded()
	reset := c.out.n > 0 // of one that was handed over
	c.out.clear(c.loop)
	c.releaseSlot(reset)
}
