package reactor

import (
	"crypto/tls"
	"net"
	"net/netip"
	"syscall"
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
	flagBlocked // queued output waits for a WriteEvent
	flagHangup  // both sides are closed, and bytes are not read: out of the poller
	flagReset   // to be reset, whatever the reason
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
	// In stageLate.
	flagBuild // BuildAgain was called
)

// Conn is one connection: the Transport of every backend.
type Conn struct {
	loop     *Loop
	proto    Protocol
	buffered BufferedProtocol // proto, where it is one
	share    *Share           // whose time its protocol takes; nil = nobody's
	listener *Listener        // nil for outgoing connections
	producer Producer
	timer    *DelayedCall
	tls      *tlsConn
	client   *connecting // while it connects
	proxied  []byte      // the PROXY header as far as it has come, then bytes behind it
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
	progress time.Duration // last byte that the socket took or is known to have sent, or since when there is something to take
	looked   time.Duration // when the socket was last asked what it has sent
	finAt    time.Duration // since when a FIN that is known waits for the protocol, less what it has waited before
	finSum   time.Duration // how long it has waited, at the protocol's last resume
	pullAt   time.Duration // when the pull producer is to be asked; 0 = when there is nothing queued
	asked    uint64        // sent when it was last asked, and 1 more
	setupBy  time.Duration // deadline of connect, handshake, header, linger; 0 = none
	idle     time.Duration
	idleFrom time.Duration // when idle was set
	in, sent uint64
	arrived  int64 // of sent, what the peer had when looked; of a Unix socket only its changes count
}

var _ Transport = (*Conn)(nil)

func (c *Conn) token() uint64 { return uint64(c.gen)<<32 | uint64(c.slot) }

// pend has tell called when the running callback has returned.
func (c *Conn) pend() {
	if c.flags&flagPending == 0 {
		c.flags |= flagPending
		c.loop.pending = append(c.loop.pending, c)
	}
}

// pendNext has again called in the next turn.
func (c *Conn) pendNext() {
	if c.flags&flagNext == 0 {
		c.flags |= flagNext
		c.loop.next = append(c.loop.next, c)
	}
}

// fail ends the connection: the protocol is told after the running callback.
func (c *Conn) fail(reason Reason, err error) {
	switch c.stage {
	case stageOver, stageStopping:
		c.pend() // a panic may have come before it was told
		return
	case stageLingering:
		c.closeRead()
		return
	case stageLost, stageGone:
		return
	}
	c.enter(stageOver)
	c.reason, c.err = reason, err
	c.pend()
}

// tell does what a callback, or an event, has left to do.
func (c *Conn) tell() {
	if c.ended() {
		if c.stage < stageLost && c.mayTell() {
			c.tellLoss()
		}
		return
	}
	if c.flags&flagTellUp != 0 && c.mayTell() {
		c.flags &^= flagTellUp
		if h, ok := c.proto.(HandshakeListener); ok {
			h.HandshakeCompleted()
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
		c.advance()
	}
	c.watch()
	c.arm()
}

// tellLoss tells the producer of a connection that is over, and then, whatever that
// does, the protocol.
func (c *Conn) tellLoss() {
	p := c.producer
	if p == nil {
		c.end()
		return
	}
	c.producer = nil
	c.enter(stageStopping)
	defer func() {
		if c.mayTell() {
			c.end()
		}
	}()
	p.StopProducing()
}

// advance takes closing a step further once the output has drained and no
// producer is left.
func (c *Conn) advance() {
	if c.stage != stageClosing && (c.stage != stageOpen || c.writeSide == sideOpen) || c.producer != nil || c.queued() > 0 {
		return
	}
	if c.tls != nil && !c.tls.notify(c) {
		return
	}
	if c.stage == stageClosing {
		c.fail(Done, nil)
		return
	}
	if c.writeSide == sideEnded {
		return
	}
	c.writeSide = sideEnded
	if err := c.loop.sys.ShutdownWrite(c.fd); err != nil {
		c.fail(Lost, err)
		return
	}
	if h, ok := c.proto.(HalfCloseable); ok {
		h.WriteConnectionLost()
	}
	if c.readSide == sideEnded {
		c.fail(Done, nil)
	}
}

// end tells the protocol and lets go of the socket, whatever the protocol's
// callbacks do.
func (c *Conn) end() {
	l := c.loop
	c.enter(stageLost)
	if l.gatherConn == c {
		if len(l.gather) > 0 {
			c.flags |= flagReset
		}
		l.gatherConn, l.gather = nil, l.gather[:0]
	}
	linger := c.reason == Done && c.fd != 0 && c.readSide != sideEnded && !c.unbuilt() && c.flags&flagReset == 0
	if linger && c.writeSide != sideEnded {
		if err := l.sys.ShutdownWrite(c.fd); err != nil {
			linger = false
		}
	}
	if c.tls != nil {
		c.tls.stop()
	}
	defer c.letGo(linger)
	c.tellLost()
}

// tellLost is the protocol's last callback.
func (c *Conn) tellLost() {
	switch {
	case c.proto != nil:
		c.proto.ConnectionLost(c.reason, c.err)
	case c.client != nil:
		c.client.failed(c)
	}
}

// letGo is the end of a connection whose protocol was told. Where output was
// dropped, the peer must not take the end for an orderly one.
func (c *Conn) letGo(linger bool) {
	l := c.loop
	reset := resets(c.reason) || c.flags&flagReset != 0 || c.out.n > 0
	c.out.clear(l)
	c.flags &^= flagBlocked
	c.proto, c.buffered, c.proxied = nil, nil, nil
	switch {
	case linger && !l.stop:
		c.linger()
	case l.stop && !reset:
		c.closeRead()
	default:
		c.release(reset)
	}
}

// closeRead closes a socket whose input is read first, as far as it has come:
// unread bytes would make the close a reset, and take away what we have sent.
func (c *Conn) closeRead() {
	if c.fd != 0 {
		c.discard()
	}
	c.release(false)
}

// resets tells the reasons that end a connection with RST.
func resets(r Reason) bool {
	return r == Aborted || r == Timeout || r == OverLimit || r == ProtocolFailed
}

// linger keeps a socket that we have closed in an orderly way until the peer
// has closed too, for at most the close timeout. Closed at once, it would
// answer bytes that still arrive with RST, and the peer could lose what it has
// not read yet (RFC 1122, 4.2.2.13; nginx's lingering_close).
func (c *Conn) linger() {
	c.enter(stageLingering)
	c.loop.lingering.Add(1)
	c.setupBy = c.loop.sys.Now() + c.loop.r.cfg.CloseTimeout
	c.watch()
	c.arm()
}

func (c *Conn) drainLinger() {
	if c.discard() {
		c.release(false)
	}
}

// discard reads what has come, but no more than a turn's share, and reports
// whether that was all there will be.
func (c *Conn) discard() (ended bool) {
	buf := c.loop.buffer()
	for range maxDeliveries {
		n, err := c.loop.sys.Read(c.fd, buf)
		if err != nil && again(err) {
			return false
		}
		if n == 0 || err != nil {
			return true
		}
		if n < len(buf) {
			return false
		}
	}
	return false
}

// release closes the socket and gives the slot back.
func (c *Conn) release(reset bool) {
	l := c.loop
	if c.stage == stageLingering {
		l.lingering.Add(-1)
	}
	c.enter(stageGone)
	if c.timer != nil {
		c.timer.Cancel()
		c.timer = nil
	}
	if c.fd != 0 {
		closing := l.sys.Close
		if reset {
			closing = l.sys.Reset
		}
		c.dropSocket(closing)
	}
	if c.listener != nil {
		c.listener.count.Add(-1)
	}
	c.tls = nil
	l.removeConn(c)
	if c.reached == stageLate {
		c.takeLater().Gone()
	}
}

// dropSocket takes the socket from the poller and closes it.
func (c *Conn) dropSocket(closing func(FD) error) {
	l := c.loop
	if c.polled {
		c.polled = false
		if err := l.poller.Remove(c.fd); err != nil {
			l.r.log.Warn("poller: remove", "fd", c.fd, "err", err)
		}
	}
	if err := closing(c.fd); err != nil {
		l.r.log.Debug("close", "fd", c.fd, "err", err)
	}
	c.fd = 0
}

// reading tells whether the protocol is to get bytes now.
func (c *Conn) reading() bool {
	return (c.stage == stageOpen || c.stage == stageUnbuilt) && c.flags&(flagPaused|flagAutoPaused) == 0 && c.readSide != sideEnded
}

// wantsRead tells whether the socket is to be read now: TLS needs it for its
// handshake whatever the protocol wants.
func (c *Conn) wantsRead() bool {
	if c.stage == stageLingering {
		return true
	}
	if c.tls != nil {
		if c.tls.eof {
			return false
		}
		if !c.tls.up {
			return !c.tls.held && !c.ended()
		}
	}
	return c.reading()
}

// interest is what the poller is to report.
func (c *Conn) interest() Events {
	if c.stage == stageConnecting {
		return WriteEvent
	}
	var want Events
	if c.wantsRead() {
		want |= ReadEvent
	} else if c.readSide == sideOpen && !c.closing() {
		want |= FinEvent
	}
	if c.flags&flagBlocked != 0 {
		want |= WriteEvent
	}
	return want
}

// watch tells the poller what has changed.
func (c *Conn) watch() {
	if c.fd == 0 {
		return
	}
	want := c.interest()
	var err error
	switch {
	case c.polled && want == 0 && c.flags&flagHangup != 0:
		// The hang-up would be reported for ever.
		c.polled = false
		err = c.loop.poller.Remove(c.fd)
	case c.polled && want != c.want:
		err = c.loop.poller.Modify(c.fd, c.token(), want)
	case !c.polled && !(want == 0 && c.flags&flagHangup != 0):
		err = c.loop.poller.Add(c.fd, c.token(), want)
		c.polled = err == nil
	}
	c.want = want
	if err != nil {
		c.fail(Lost, err)
	}
}

// ready takes what the poller reports.
func (c *Conn) ready(ev Events) {
	switch c.stage {
	case stageConnecting:
		c.connected()
		return
	case stageLingering:
		c.drainLinger()
		return
	case stageOver, stageStopping, stageLost, stageGone:
		return
	}
	if ev&(WriteEvent|HangupEvent|ErrorEvent) != 0 && c.flags&flagBlocked != 0 {
		c.flush()
		if c.ended() {
			return
		}
	}
	if c.wantsRead() {
		if ev&(ReadEvent|FinEvent|HangupEvent|ErrorEvent) != 0 {
			c.read(ev)
		}
		return
	}
	switch {
	case ev&ErrorEvent != 0:
		err := c.loop.sys.SocketError(c.fd)
		if err == nil {
			err = syscall.ECONNRESET
		}
		c.fail(Lost, err)
	case ev&HangupEvent != 0:
		c.flags |= flagHangup
		c.fin()
	case ev&FinEvent != 0:
		c.fin()
	}
}

// fin notes a FIN behind unread bytes. It must be read within the closed
// timeout, so that no socket stays in CLOSE_WAIT for ever.
func (c *Conn) fin() {
	if c.readSide == sideOpen {
		c.readSide = sideEnding
		c.finAt, c.finSum = c.loop.now, 0
	}
	c.pend()
}

// again is the next turn of a connection that asked for one.
func (c *Conn) again() {
	if c.stage == stageConnecting || c.ended() {
		return
	}
	if c.flags&flagBuild != 0 {
		c.flags &^= flagBuild
		c.made()
		return
	}
	if c.flags&flagPull != 0 {
		c.flags &^= flagPull
		if c.producer != nil && c.queued() == 0 {
			c.asked, c.pullAt = c.sent+1, 0
			c.producer.ResumeProducing()
			c.loop.settle()
			if c.share.Late() {
				c.pendNext()
				return
			}
		}
	}
	if c.reading() {
		c.readAhead()
	}
}

func (c *Conn) unixAddr(a net.Addr) string {
	if a == nil {
		return "unix://"
	}
	return "unix://" + a.String()
}

// Peer is the remote endpoint: that of the PROXY header, where there is one.
// On TLS its scheme is tcp as well.
func (c *Conn) Peer() string {
	switch {
	case c.flags&flagUnix != 0 && !c.peer.IsValid():
		if c.client != nil {
			return c.client.ep.String()
		}
		return c.unixAddr(c.loop.sys.RemoteAddr(c.fd))
	case c.peer.IsValid():
		return "tcp://" + c.peer.String()
	case c.client != nil:
		return "tcp://" + c.client.ep.address()
	}
	return "tcp://"
}

// Host is our endpoint.
func (c *Conn) Host() string {
	if c.local.IsValid() {
		return "tcp://" + c.local.String()
	}
	if c.fd == 0 {
		return ""
	}
	a := c.loop.sys.LocalAddr(c.fd)
	if c.flags&flagUnix != 0 {
		return c.unixAddr(a)
	}
	if a == nil {
		return "tcp://"
	}
	return "tcp://" + a.String()
}

// Loop is the event loop that owns the connection.
func (c *Conn) Loop() *Loop { return c.loop }

// Share is whose time its protocol takes; nil is nobody's.
func (c *Conn) Share() *Share { return c.share }

// Stats counts the connection's bytes.
func (c *Conn) Stats() ConnStats {
	return ConnStats{In: c.in, Out: c.sent, Queued: c.queued(), Opened: c.opened}
}

// State describes the connection.
func (c *Conn) State() State {
	var s State
	set := func(on bool, bit State) {
		if on {
			s |= bit
		}
	}
	set(c.flags&flagPaused != 0, StatePaused)
	set(c.readSide == sideEnded, StatePeerClosed)
	set(c.writeSide != sideOpen, StateWriteClosed)
	set(c.closing(), StateClosing)
	set(c.listener == nil, StateOutgoing)
	set(c.producer != nil, StateProducer)
	set(c.tls != nil, StateTLS)
	return s
}

// PeerCertificate is the DER of the peer's leaf certificate, or nil.
func (c *Conn) PeerCertificate() []byte {
	if s := c.tlsState(); len(s.PeerCertificates) > 0 {
		return s.PeerCertificates[0].Raw
	}
	return nil
}

// NegotiatedProtocol is the one that ALPN chose, or "".
func (c *Conn) NegotiatedProtocol() string { return c.tlsState().NegotiatedProtocol }

func (c *Conn) tlsState() tls.ConnectionState {
	if c.tls == nil || !c.tls.up {
		return tls.ConnectionState{}
	}
	return c.tls.conn.ConnectionState()
}

// SetTCPNoDelay sets TCP_NODELAY.
func (c *Conn) SetTCPNoDelay(on bool) error { return c.setTCP(c.loop.sys.SetNoDelay, on) }

// SetTCPKeepAlive sets SO_KEEPALIVE.
func (c *Conn) SetTCPKeepAlive(on bool) error { return c.setTCP(c.loop.sys.SetKeepAlive, on) }

func (c *Conn) setTCP(set func(FD, bool) error, on bool) error {
	if c.flags&flagUnix != 0 || c.fd == 0 {
		return ErrNotSupported
	}
	return set(c.fd, on)
}
