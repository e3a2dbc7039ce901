package reactor

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"
)

// Frozen is a connection that Freeze has stopped, as values for Adopt: all of it but its
// socket, its protocol and its producer. Another version of this package may read it, so a
// field keeps its name and its meaning. Times are ages at the moment of Freeze, since
// processes' clocks differ; bytes are in the stream's order.
type Frozen struct {
	Unix, Outgoing bool
	Peer, Local    netip.AddrPort // those of a PROXY header too; zero on Unix sockets, and where there is no header

	Closing     bool   // LoseConnection was called
	Retired     bool   // it is closing since its time is over
	Why         string // then: which
	Named       bool   // Peer is of a PROXY header
	Read, Write uint8  // sides: 0 open, 1 ending, 2 ended (see type side)

	Paused, AutoPaused, Blocked bool // reading, by the protocol and by itself; the socket takes no more
	Turn                        bool // the next turn was asked for

	Producer, Streaming, Pull bool // a producer is registered; of which kind; it is to be asked
	TellPause, TellResume     bool // the push producer is to be told

	Queued []byte // output
	Unread []byte // read from the socket, and not delivered
	Ahead  []byte // read ahead by the portable backend
	Behind []byte // taken by the portable backend, and not given to the system

	In, Sent, Asked uint64
	Arrived         int64

	Idle time.Duration // 0 = none

	Age, SinceActive, SinceProgress, SinceLooked, SinceFin, FinBefore, SinceIdle time.Duration
	PullIn                                                                       time.Duration // 0 = not set
	// until its rates are as good as new
	InDebt, OutDebt time.Duration

	TLS *FrozenTLS // nil = none, or not yet
	// Link is FreezeLink's of a connection inside the process, which has no file; Freeze gives
	// its number alone. nil = it is none.
	Link *FrozenLink
}

// bufferedSys is a Sys that reads ahead and writes behind. halt ends that until resume,
// and tells what was read and not taken, taken and not written; refill is for the new
// socket of another's halt, before resume.
type bufferedSys interface {
	halt(fd FD) (ahead, behind []byte, err error)
	refill(fd FD, ahead, behind []byte) error
	resume(fd FD)
}

// Freeze stops a connection: no callback, read, write or timer comes until Thaw, and
// Transport calls do nothing, or are heard of after Thaw. What its peer does meanwhile the
// system keeps. It is for a connection that is to go on in another reactor, as a rule in
// another process: that one's Adopt gets what is returned, and what File returns; then
// this one calls Forget, or, if it came to nothing, Thaw.
//
// An error says why the connection can't be moved; then nothing has changed. What has no
// protocol yet can't, what is over, and TLS in its handshake or with crypto/tls's own
// records. What is returned has a copy of a session's secrets: see [Frozen.Wipe]. What a
// running function has written to the connection is sent first. A connection inside the
// process is to be frozen at both ends, and then FreezeLink be asked. Loop only, and not
// inside one of the connection's callbacks.
func (l *Loop) Freeze(t Transport) (Frozen, error) {
	c, ok := t.(*connection)
	if !ok || c.loop != l {
		return Frozen{}, errors.New("reactor: freeze: found another loop's transport")
	}
	if l.gatherConn == c {
		l.flushGather()
	}
	var why string
	switch {
	case l.current == c:
		why = "it is in a callback"
	case c.stage != stageOpen && c.stage != stageClosing:
		why = "it is " + c.stage.String()
	case c.tls != nil:
		why = c.tls.unmovable()
	}
	if why != "" {
		return Frozen{}, errors.New("can't be moved: " + why)
	}
	var ahead, behind []byte
	if b, ok := l.sys.(bufferedSys); ok && c.link == nil {
		var err error
		if ahead, behind, err = b.halt(c.fd); err != nil {
			return Frozen{}, fmt.Errorf("can't be moved: %w", err)
		}
	}
	if c.link != nil {
		c.link.keepLanded()
	}
	c.unqueue()
	c.enter(stageFrozen)
	c.setupBy = l.sys.Now()
	if c.pullAt > 0 && c.pullAt <= c.setupBy { // its timer was due
		c.pullAt = 0
		c.flags |= flagAgain
	}
	s := c.frozen()
	s.Ahead, s.Behind = ahead, behind
	return s, nil
}

// unqueue takes the connection from the poller, from its timer and from each queue. What
// the poller has reported it reports again.
func (c *connection) unqueue() {
	l := c.loop
	if c.polled {
		c.polled = false
		if err := c.poller().Remove(c.fd); err != nil {
			l.r.log.Warn("poller: remove", "fd", c.fd, "err", err)
		}
	}
	if c.timer != nil {
		c.timer.Cancel()
		c.timer = nil
	}
	forget := func(list []*connection, flag flags) { // settle and flushDirty pass over nil
		if c.flags&flag != 0 {
			if i := slices.Index(list, c); i >= 0 {
				list[i] = nil
			}
		}
	}
	forget(l.pending, flagPending)
	forget(l.dirty, flagDirty)
	if c.flags&flagPostponed != 0 {
		c.share.dropPostponed(c)
	}
	if c.flags&flagNext != 0 {
		is := func(x *connection) bool { return x == c }
		l.next = slices.DeleteFunc(l.next, is)
		l.spare = append(l.spare[:l.spareAt], slices.DeleteFunc(l.spare[l.spareAt:], is)...)
		c.flags |= flagAgain // what Thaw asks for
	}
	c.events = 0
	c.want = 0
	c.flags &^= flagPending | flagDirty | flagPostponed | flagNext | flagHangup
}

// dropPostponed takes a connection from what waits for its owner's share.
func (s *Share) dropPostponed(c *connection) {
	for i := s.head; i < len(s.queue); i++ {
		if s.queue[i].conn == c {
			s.queue = slices.Delete(s.queue, i, i+1)
			s.loop.postponed--
			break
		}
	}
	if s.head == len(s.queue) {
		s.queue, s.head = s.queue[:0], 0
	}
}

// frozen is what Adopt needs. The connection's queues stay as they are.
func (c *connection) frozen() Frozen {
	now := c.setupBy
	has := func(f flags) bool { return c.flags&f != 0 }
	s := Frozen{
		Unix: has(flagUnix), Outgoing: c.outgoing(), Peer: c.peer, Local: c.local,
		Closing: c.closing(), Retired: has(flagRetired), Named: has(flagNamed), Read: uint8(c.readSide),
		Write:  uint8(c.writeSide),
		Paused: has(flagPaused), AutoPaused: has(flagAutoPaused), Blocked: has(flagBlocked), Turn: has(flagAgain),
		Producer: c.producer != nil, Streaming: has(flagStreaming), Pull: has(flagPull),
		TellPause: has(flagTellPause), TellResume: has(flagTellResume),
		Queued: slices.Concat(c.out.pieces(make([][]byte, 0, len(c.out.chunks)))...), Unread: slices.Clone(c.proxied),
		In: c.in, Sent: c.sent, Asked: c.asked, Arrived: c.arrived, Idle: c.idle,
		Age: now - c.opened, SinceActive: now - c.active, SinceProgress: now - c.progress,
		SinceLooked: now - c.looked, SinceFin: now - c.finAt, FinBefore: c.finSum, SinceIdle: now - c.idleFrom,
	}
	if c.pullAt > 0 {
		s.PullIn = c.pullAt - now
	}
	if s.Retired && c.err != nil {
		s.Why = c.err.Error()
	}
	if c.tls != nil {
		s.TLS = c.tls.frozen(c)
	}
	if c.link != nil {
		s.Link = &FrozenLink{Number: c.link.link.number}
	}
	if c.limits != nil {
		s.InDebt = max(0, time.Duration(c.limits.in)-now)
		s.OutDebt = max(0, time.Duration(c.limits.out)-now)
	}
	return s
}

// File is a duplicate of t's socket, closed on exec, for Adopt in another process. The
// caller closes it. Loop only.
func (l *Loop) File(t Transport) (*os.File, error) {
	c, ok := t.(*connection)
	if !ok || c.loop != l || c.fd == 0 {
		return nil, ErrNotConnected
	}
	f, err := l.sys.File(c.fd)
	if err != nil {
		return nil, fmt.Errorf("reactor: the socket of %s: %w", c.Peer(), err)
	}
	return f, nil
}

// Adopt makes a connection of another reactor's, as it was when that one's Freeze
// returned s. f is what File returned there, nil for a connection inside the process, both
// ends of which are to be adopted before one is thawed; the caller keeps it and closes it. p is its
// protocol: it gets no ConnectionMade, since it was told where the connection comes from,
// and the next callback is the one that would have come there. producer is for s.Producer,
// else nil. ln is the listener that it counts to, nil for none, and share whose time p
// takes. It counts to each number of connections, and is beyond none of them: those that
// come after it are.
//
// The connection is frozen until Thaw starts it, or Forget lets go of it. Loop only.
func (l *Loop) Adopt(f *os.File, s Frozen, p Protocol, producer Producer, ln *Listener, share *Share,
) (Transport, error) {
	defer s.Wipe()
	switch {
	case l.stopped:
		return nil, ErrStopped
	case s.Producer != (producer != nil):
		return nil, fmt.Errorf("reactor: adopt: found a producer: %t, wanted %t", producer != nil, s.Producer)
	case s.Outgoing && ln != nil:
		return nil, errors.New("reactor: adopt: found a listener, wanted none for an outgoing connection")
	}
	c := s.connection(l.sys.Now())
	c.loop, c.share, c.listener, c.producer, c.proto = l, share, ln, producer, p
	c.buffered, _ = p.(BufferedProtocol)
	err := c.adoptTLS(s.TLS)
	switch {
	case err != nil:
	case s.Link != nil:
		err = c.adoptEnd(s.Link)
	default:
		err = c.adoptSocket(f, s)
	}
	if err != nil {
		return nil, fmt.Errorf("reactor: adopt: %w", err)
	}
	c.out.push(l, s.Queued)
	if ln != nil {
		ln.count.Add(1)
		c.adoptLimits(s)
	} else if !s.Outgoing {
		c.flags |= flagOrphan
	}
	l.count.Add(1)
	l.r.countConn(c.link != nil, 1)
	l.addConn(c)
	return c, nil
}

// adoptSocket gives a connection a duplicate of its socket.
func (c *connection) adoptSocket(f *os.File, s Frozen) error {
	fd, err := c.loop.sys.Open(f, false)
	if err != nil {
		return err
	}
	if err := c.loop.refill(fd, s); err != nil {
		_ = c.loop.sys.Close(fd) // only a duplicate
		return err
	}
	c.fd = fd
	return nil
}

func (l *Loop) refill(fd FD, s Frozen) error {
	if b, ok := l.sys.(bufferedSys); ok {
		return b.refill(fd, s.Ahead, s.Behind)
	}
	if len(s.Ahead)+len(s.Behind) > 0 {
		return errors.New("found bytes of the portable backend, which this one can't take over")
	}
	return nil
}

// connection is one that is frozen, without what is not in s.
func (s Frozen) connection(now time.Duration) *connection {
	c := &connection{stage: stageFrozen, reached: stageOpen, setupBy: now,
		peer: s.Peer, local: s.Local, proxied: s.Unread, readSide: side(s.Read), writeSide: side(s.Write),
		in: s.In, sent: s.Sent, asked: s.Asked, arrived: s.Arrived, idle: s.Idle,
		opened: now - s.Age, active: now - s.SinceActive, progress: now - s.SinceProgress,
		looked: now - s.SinceLooked, finAt: now - s.SinceFin, finSum: s.FinBefore, idleFrom: now - s.SinceIdle,
	}
	if s.Closing {
		c.reached = stageClosing
	}
	if s.Why != "" {
		c.err = errors.New(s.Why)
	}
	if len(s.Unread) == 0 {
		c.proxied = nil
	}
	if s.PullIn > 0 {
		c.pullAt = now + s.PullIn
	}
	set := func(on bool, f flags) {
		if on {
			c.flags |= f
		}
	}
	set(s.Unix, flagUnix)
	set(s.Retired, flagRetired)
	set(s.Named, flagNamed)
	set(s.Paused, flagPaused)
	set(s.AutoPaused, flagAutoPaused)
	set(s.Blocked, flagBlocked)
	set(s.Turn, flagAgain)
	set(s.Streaming, flagStreaming)
	set(s.Pull, flagPull)
	set(s.TellPause, flagTellPause)
	set(s.TellResume, flagTellResume)
	return c
}

// Thaw lets a connection go on that is frozen or adopted. Its callbacks come when the
// running function has returned. The time for which it was frozen counts to none of its
// limits: its peer may have sent meanwhile, and was not read. Loop only.
func (l *Loop) Thaw(t Transport) {
	c, ok := t.(*connection)
	if !ok || c.loop != l || c.stage != stageFrozen {
		return
	}
	now := l.sys.Now()
	by := now - c.setupBy
	c.setupBy = 0
	for _, at := range []*time.Duration{&c.active, &c.progress, &c.looked, &c.finAt, &c.idleFrom} {
		*at += by
	}
	if c.pullAt > 0 {
		c.pullAt += by
	}
	if c.limits != nil {
		c.limits.begun, c.limits.taking = 0, 0
	}
	c.enter(c.reached)
	if b, ok := l.sys.(bufferedSys); ok && c.link == nil {
		b.resume(c.fd)
	}
	if c.flags&flagAgain != 0 {
		c.flags &^= flagAgain
		c.takeTurnLater()
	}
	if c.out.n > 0 {
		c.markDirty() // nothing where it is blocked: the poller tells
	}
	c.settleLater()
}

// Forget lets go of a connection that is frozen and that another reactor has from now
// on: its peer notices nothing, and its protocol and producer hear nothing more. Loop only.
func (l *Loop) Forget(t Transport) {
	if c, ok := t.(*connection); ok && c.loop == l && c.stage == stageFrozen {
		if c.link != nil {
			l.r.forgetEnd(c.link.link)
		}
		c.forget()
	}
}

func (c *connection) forget() {
	c.out.clear(c.loop)
	c.proto, c.buffered, c.producer, c.proxied = nil, nil, nil, nil
	c.reason = Replaced // for the counts: it has not ended, so nobody is told
	c.releaseSlot(false)
}
