package reactor

import (
	"net/netip"
	"time"
)

// flags are facts about a connection that do not depend on one another, nor,
// but where it is said, on its stage.
type flags uint32

const (
	// Where it is queued.
	flagPending   flags = 1 << iota // in Loop.pending
	flagNext                        // in Loop.next
	flagDirty                       // in Loop.dirty
	flagPostponed                   // in its share's queue
	flagAgain                       // in there for again
	// Its socket.
	flagUnix    // a Unix socket
	flagNamed   // a PROXY header has named its peer
	flagOrphan  // accepted by a listener that is not here
	flagBlocked // queued output waits for a WriteEvent
	flagHangup  // both sides are closed, and bytes are not read: out of the poller
	flagReset   // to be reset, whatever the reason
	flagRetired // closes behind its output, for a reason of time
	// Its rates.
	flagReadLater  // it is read again at limits.inAt
	flagWriteLater // queued output goes on at limits.outAt
	// Reading.
	flagPaused     // by the protocol
	flagAutoPaused // while output is above high water
	// The producer.
	flagStreaming  // a push producer
	flagPull       // the pull producer is to get its ResumeProducing
	flagTellPause  // the push producer is to get PauseProducing
	flagTellResume // the push producer is to get ResumeProducing
	// TLS.
	flagTellUp   // HandshakeCompleted is to be told
	flagNotified // close_notify was sent
	// In stageAwaiting.
	flagBuild // BuildAgain was called
	flagBegun // another protocol has had it: the listener begins no TLS
)

// flagsStuck tell that queued output does not go out now.
const flagsStuck = flagBlocked | flagWriteLater

// connection is one connection: the Transport of every backend, all of it its loop's.
type connection struct {
	loop     *Loop
	proto    Protocol
	buffered BufferedProtocol // proto, where it is one
	share    *Share           // whose time its protocol takes; nil = nobody's
	listener *Listener        // nil for outgoing connections
	producer Producer
	timer    *DelayedCall
	tls      *tlsConn
	limits   *limits   // nil = its listener has none of connections
	client   *outgoing // while it connects
	link     *linkEnd  // nil = it is the system's
	proxied  []byte    // the PROXY header as far as it has come, then bytes behind it
	out      output
	peer     netip.AddrPort // zero on Unix sockets
	local    netip.AddrPort // of a PROXY header
	err      error

	fd        FD
	slot      uint32
	gen       uint32
	flags     flags
	want      Events // what the poller was told
	events    Events // what it has reported and what waits for the share
	polled    bool   // the poller knows fd
	stage     stage
	reached   stage // the last one before stageOver
	readSide  side
	writeSide side
	reason    Reason

	opened   time.Duration
	active   time.Duration // last byte read or written
	progress time.Duration // last byte that the socket took or has sent, or since when there is something to take
	looked   time.Duration // when the socket was last asked what it has sent
	finAt    time.Duration // since when a FIN that is known waits for the protocol, less what it has waited before
	finSum   time.Duration // how long it has waited, at the protocol's last resume
	pullAt   time.Duration // when the pull producer is to be asked; 0 = when there is nothing queued
	asked    uint64        // sent when it was last asked, and 1 more
	setupBy  time.Duration // deadline of connect, handshake, header, linger; 0 = none. Frozen: since when
	idle     time.Duration
	idleFrom time.Duration // when idle was set
	in, sent uint64
	arrived  int64 // of sent, what the peer had when looked; of a Unix socket only its changes count
}

var _ Transport = (*connection)(nil)

func (c *connection) token() uint64 { return uint64(c.gen)<<32 | uint64(c.slot) }

// settleLater has settle called when the running callback has returned.
func (c *connection) settleLater() {
	if c.flags&flagPending == 0 {
		c.flags |= flagPending
		c.loop.pending = append(c.loop.pending, c)
	}
}

// takeTurnLater has takeTurn called in the next turn.
func (c *connection) takeTurnLater() {
	if c.flags&flagNext == 0 {
		c.flags |= flagNext
		c.loop.next = append(c.loop.next, c)
	}
}

// settle does what a callback, or an event, has left to do.
func (c *connection) settle() {
	if c.ended() {
		switch {
		case c.stage < stageLost && c.mayTell():
			c.stopProducer()
		case c.stage == stageHanding && c.mayTell():
			c.leave()
		}
		return
	}
	if c.flags&flagTellUp != 0 && c.mayTell() {
		c.flags &^= flagTellUp
		if h, ok := c.proto.(HandshakeListener); ok {
			h.HandshakeCompleted()
		}
		if len(c.loop.behind) > 0 {
			c.linkBehind()
		}
	}
	if c.flags&flagTellPause != 0 && c.mayTell() {
		c.flags &^= flagTellPause
		if c.producer != nil {
			c.producer.PauseProducing()
		}
	}
	if c.flags&flagTellResume != 0 && c.mayTell() {
		c.flags &^= flagTellResume
		if c.producer != nil {
			c.producer.ResumeProducing()
		}
	}
	if c.writeSide != sideEnding || c.mayTell() {
		c.advanceClose()
		if c.ended() && !c.share.Late() { // it is told at once, and its socket goes
			return
		}
	}
	c.updatePoller()
	c.armTimer()
}

// takeTurn is the next turn of a connection that asked for one.
func (c *connection) takeTurn() {
	if c.stage == stageConnecting || c.ended() {
		return
	}
	if c.flags&flagBuild != 0 {
		c.flags &^= flagBuild
		c.buildProtocol()
		return
	}
	if c.flags&flagPull != 0 {
		c.flags &^= flagPull
		if c.producer != nil && c.queued() == 0 {
			c.asked, c.pullAt = c.sent+1, 0
			c.producer.ResumeProducing()
			c.loop.settle()
			if c.share.Late() {
				c.takeTurnLater()
				return
			}
		}
	}
	if c.reading() {
		c.readAhead()
	}
}
