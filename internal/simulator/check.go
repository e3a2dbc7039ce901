package simulator

import (
	"errors"
	"strings"
	"syscall"
	"time"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/reactor"
)

// maxSteps is how many turns a reactor may take at one moment, with nobody acting
// on it, without a byte being read or written.
const maxSteps = 2000

// bytesMoved is what all connections have read and written.
func (w *world) bytesMoved() (n uint64) {
	for _, l := range w.r.Loops() {
		st := l.Stats()
		n += st.BytesIn + st.BytesOut
	}
	return n
}

// checkAll is after each turn.
func (w *world) checkAll() {
	for _, p := range w.protos {
		if p.live() {
			p.look()
		}
	}
}

// quiesce lets the loops do all that they have to do, without faults, and looks
// whether anything was left undone.
func (w *world) quiesce() {
	on := w.sys.on
	w.sys.on = false
	w.budget = 400
	steps, idle, moved := 0, 0, w.bytesMoved()
	for w.newTurn(); w.r.Step(); w.newTurn() {
		w.checkAll()
		steps++
		idle++
		if now := w.bytesMoved(); now != moved {
			moved, idle = now, 0
		}
		if idle > maxSteps {
			w.violated("the loops spin: %d turns at one moment", steps)
			return
		}
	}
	w.tracef("quiet after %d turns", steps)
	if w.posted != 0 {
		w.violated("%d calls from other goroutines were not made", w.posted)
	}
	for _, p := range w.protos {
		switch {
		case p.frozen:
		case p.live():
			p.checkQuiet()
		case !p.made && !p.failed && (p.ended || w.sys.Now() > p.connectBy):
			w.violated("%v: not made and not failed, by %v", p, p.connectBy)
		}
	}
	w.sys.on = on
}

// checkQuiet is for a live connection whose loop has nothing to do.
func (p *protocol) checkQuiet() {
	w, now, st, state := p.w, p.w.sys.Now(), p.t.Stats(), p.t.State()
	if p.ended || p.overLimit {
		w.violated("%v: aborted, and not lost", p)
	}
	closing := state&reactor.StateClosing != 0
	if closing && st.Queued == 0 && p.producer == nil {
		w.violated("%v: closing, with nothing to wait for, and not lost", p)
	}
	p.checkProducer(st.Queued)
	switch wait := now - p.lastMoved(p.progress); {
	case (closing || p.losingWrite && !p.writeLost && st.Queued > 0) && wait > w.cfg.CloseTimeout:
		w.violated("%v: closing without progress for %v", p, wait)
	case st.Queued > 0 && wait > w.cfg.WriteTimeout:
		w.violated("%v: %d bytes queued without progress for %v", p, st.Queued, wait)
	}
	if wait := now - p.lastMoved(p.idleAt); p.idle > 0 && !closing && wait > p.idle && !p.drains() {
		w.violated("%v: idle for %v, and its timeout is %v", p, wait, p.idle)
	}
	if p.readLost && p.writeLost {
		w.violated("%v: both sides are closed, and it is not lost", p)
	}
	if p.peer != nil {
		p.checkSocket(p.peer.peer.OtherEnd(), st.Queued, closing)
	}
}

// drains tells whether a connection that seems idle need not be, which the loop has found
// out by now: its peer has read since, or has something to read and was not looked at
// before since the last byte.
func (p *protocol) drains() bool {
	q := p.peer
	st := p.t.Stats()
	unread, moved := q == nil || st.Out > uint64(q.received), st.In+st.Out+1
	hasRead := q != nil && q.readAt > p.idleAt
	if !hasRead && (!unread || p.doubted == moved) {
		return false
	}
	p.idleAt, p.doubted = p.w.sys.Now(), moved
	return true
}

// lastMoved is at, or when the loop, which is quiet, may last have seen that the
// peer has read.
func (p *protocol) lastMoved(at time.Duration) time.Duration {
	if now := p.w.sys.Now(); p.lookBy > 0 {
		if p.looked = now; now > p.lookBy {
			p.lookBy = 0
		}
	}
	return max(at, p.looked)
}

func (p *protocol) checkProducer(queued int) {
	r := p.producer
	switch {
	case r == nil:
	case r.stopped:
		p.w.violated("%v: its producer was stopped, and it is not lost", p)
	case !r.streaming && queued == 0 && p.w.sys.Now()-r.registered >= patienceOfPull:
		p.w.violated("%v: a pull producer waits, with nothing queued", p)
	case r.streaming && r.paused && queued <= p.w.cfg.LowWater:
		p.w.violated("%v: the push producer is paused at %d bytes, and low water is %d", p, queued, p.w.cfg.LowWater)
	case r.streaming && !r.paused && queued > p.w.cfg.HighWater:
		p.w.violated("%v: the push producer is not paused at %d bytes, and high water is %d", p, queued,
			p.w.cfg.HighWater)
	}
}

// checkSocket looks whether the socket has something that the loop missed.
func (p *protocol) checkSocket(k memnet.SocketState, queued int, closing bool) {
	w := p.w
	state := p.t.State()
	if k.Closed {
		w.violated("%v: its socket is closed, and it is not lost", p)
		return
	}
	if queued > 0 && k.Ready&reactor.WriteEvent != 0 {
		w.violated("%v: %d bytes queued, and the socket takes more", p, queued)
	}
	if k.Reset && k.Polled {
		w.violated("%v: the socket was reset, and it is not lost", p)
	}
	reading := !p.paused && !closing && state&reactor.StatePeerClosed == 0 && queued <= w.cfg.LowWater
	if reading && (k.Unread > 0 || k.Fin) {
		w.violated("%v: not read: %d bytes, end of file %v", p, k.Unread, k.Fin)
	}
	if reading && p.received != p.peer.sent {
		w.violated("%v: received %d bytes, and all of %d were read from the socket", p, p.received, p.peer.sent)
	}
	if p.paused && k.Fin && !closing && state&reactor.StatePeerClosed == 0 {
		switch {
		case p.finQuiet == 0:
			p.finQuiet = w.sys.Now()
		case w.sys.Now()-p.finQuiet > w.cfg.ClosedTimeout:
			w.violated("%v: a FIN is unread for %v", p, w.sys.Now()-p.finQuiet)
		}
	}
}

// slack is more than the time that can pass in one turn of a simulation.
const slack = time.Second

// checkReason wants a loss to have its cause.
func (p *protocol) checkReason(reason reactor.Reason, err error) {
	w := p.w
	moved := p.moved
	if p.peer != nil && p.t.Stats().Queued > 0 {
		moved = max(moved, p.peer.readAt) // a slow reader gets everything
	}
	early := func(since, limit time.Duration) {
		if p.owner != nil { // it may be told long after
			return
		}
		if passed := w.sys.Now() - since; passed+slack < limit {
			w.violated("%v: %v after %v, and the limit is %v", p, err, passed, limit)
		}
	}
	switch {
	case reason == reactor.Lost && !p.ended:
		if q := p.peer; q != nil && !q.closed && !q.peer.Broken() && !errors.Is(err, syscall.ENOMEM) {
			w.violated("%v: lost, %v, and nothing has happened to its socket", p, err)
		}
	case reason != reactor.Timeout || err == nil:
	case strings.HasPrefix(err.Error(), "the peer closed"):
		if q := p.peer; q != nil && !q.fin && !q.closed || p.losing || p.readLost {
			w.violated("%v: %v, and it has not, or nothing is read any more", p, err)
		}
		early(p.pausedAt-p.pausedSum, w.cfg.ClosedTimeout)
	case strings.HasPrefix(err.Error(), "output made"):
		early(moved, w.cfg.WriteTimeout)
	case strings.HasPrefix(err.Error(), "closing made"):
		early(moved, w.cfg.CloseTimeout)
	case strings.HasPrefix(err.Error(), "idle") && !w.proxy: // bytes behind a header were read earlier
		early(p.active, p.idle)
	}
}

// finish has every connection end in order, and looks whether it does.
func (w *world) finish() {
	w.tracef("all connections are to end")
	w.ending = true
	w.thawAll()
	w.sys.SetMaxFDs(0)
	w.r.Shed(false)
	until := w.sys.Now() + 3*w.longest()
	for round := 0; len(w.broken) == 0; round++ {
		for w.acceptOut() {
		}
		got := 0
		for _, p := range w.peers {
			got -= p.received
			p.drain()
			got += p.received
			if p.over && round > 1 {
				p.close(false)
			} else if round > 0 && !p.closed {
				p.finish()
			}
		}
		w.loseAll()
		w.quiesce()
		if w.r.Connections() == 0 && w.sys.OpenFDs() == 1 && w.out.Waiting() == 0 {
			if n := w.r.Sockets(); n != 1 {
				w.violated("%d sockets are counted, and there is one", n)
			}
			break
		}
		if got > 0 { // a slow reader gets everything
			until = w.sys.Now() + 3*w.longest()
			continue
		}
		if w.sys.Now() > until {
			w.violated("%d connections and %d descriptors are left", w.r.Connections(), w.sys.OpenFDs())
		}
		d := 500 * time.Millisecond
		if next, ok := w.r.NextTimer(); ok && next < d {
			d = next
		}
		w.sys.Advance(d)
	}
	for _, p := range w.peers {
		p.drain()
		if p.clean && p.proto != nil && p.received != p.proto.taken && !p.proto.aborted() {
			w.violated("%v: got %d bytes of %d", p, p.received, p.proto.taken)
		}
	}
}

// loseAll has every protocol close its connection.
func (w *world) loseAll() {
	for _, l := range w.r.Loops() {
		w.posted++
		err := l.CallFromThread(func() {
			w.posted--
			w.unasked = true
			defer func() { w.unasked = false }()
			for _, p := range w.protos {
				if p.loop != l || !p.live() {
					continue
				}
				p.callback(func() {
					if p.producer != nil {
						p.unregister()
					}
					p.loseConnection()
				})
			}
		})
		if err != nil {
			w.violated("CallFromThread: %v", err)
		}
	}
}

// close ends the reactor, and looks whether anything is left.
func (w *world) close() {
	w.closing = true
	w.thawAll()
	w.budget = 400
	if err := w.r.Close(); err != nil {
		w.violated("close: %v", err)
	}
	for _, p := range w.protos {
		if p.made != p.lost || p.made == p.failed && p.outgoing {
			w.violated("%v: made %v, lost %v, failed %v, after the reactor has ended", p, p.made, p.lost, p.failed)
		}
	}
	if n := w.sys.OpenFDs(); n != 0 {
		w.violated("%d descriptors are left after the reactor has ended", n)
	}
	if n := w.r.Connections(); n != 0 {
		w.violated("%d connections are left after the reactor has ended", n)
	}
	if n := w.r.Sockets(); n != 0 {
		w.violated("%d sockets are counted after the reactor has ended", n)
	}
	var lost, by uint64
	for _, l := range w.r.Loops() { // they have ended
		lost += l.Stats().Lost
		for _, n := range l.Details().LostBy {
			by += n
		}
	}
	if by != lost || len(w.ended) != int(lost) {
		w.violated("%d connections have ended, %d of them with a reason, and %d ends were told", lost, by, len(w.ended))
	}
	for _, p := range w.peers {
		p.drain()
	}
	for _, text := range w.sys.Misuse() {
		w.violated("misuse: %s", text)
	}
}
