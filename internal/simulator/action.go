package simulator

import (
	"errors"
	"time"

	"github.com/wirehost/wirehost/reactor"
)

// actions does up to n random things.
func (p *protocol) actions(n int) {
	for range p.w.c.n(n + 1) {
		if p.w.budget--; p.w.budget < 0 || len(p.w.broken) > 0 {
			return
		}
		p.action()
	}
	p.maybePanic()
}

func (p *protocol) maybePanic() {
	if p.w.c.oneIn(p.w.style.panics) && !p.w.ending {
		p.w.tracef("%v: panics", p)
		p.panicked = true
		panic(simulatedPanic)
	}
}

func (p *protocol) action() {
	w := p.w
	switch {
	case w.c.oneIn(w.style.lose):
		p.loseConnection()
	case w.c.oneIn(2 * w.style.lose):
		p.loseWriteConnection()
	case w.c.oneIn(w.style.abort):
		p.abort()
	case w.c.oneIn(w.style.connect):
		p.connect()
	case w.c.oneIn(w.style.timer):
		p.callLater()
	case w.c.oneIn(w.style.pause):
		p.pauseOrResume()
	case w.c.oneIn(w.style.produce):
		p.produce()
	case w.c.oneIn(30):
		d := time.Duration(w.c.n(3)) * time.Second
		w.tracef("%v: set timeout %v", p, d)
		// else it may have been idle before
		if p.idle, p.idleAt = d, w.sys.Now(); p.t.State()&reactor.StateClosing == 0 {
			p.active = w.sys.Now()
		}
		p.transport(func() { p.t.SetTimeout(d) })
	case w.c.oneIn(20):
		if q := w.anyOn(p.loop); q != nil && q != p {
			w.tracef("%v: acts on %v", p, q)
			q.action()
		}
	case w.c.oneIn(10):
		p.getters()
	default:
		p.write(w.c.size(w.style.maxWrite))
	}
}

// getters must answer at any time.
func (p *protocol) getters() {
	p.transport(func() {
		s := p.t.State()
		if got := s&reactor.StateProducer != 0; got != (p.producer != nil && !p.producer.stopped) {
			p.w.violated("%v: state %b, and its producer is %v", p, s, p.producer)
		}
		if got := s&reactor.StateOutgoing != 0; got != p.outgoing {
			p.w.violated("%v: state %b", p, s)
		}
		if p.t.Loop() != p.loop {
			p.w.violated("%v: another loop", p)
		}
		if name := p.t.Peer(); !p.outgoing && p.w.id(name) != p.id {
			p.w.violated("%v: found peer %s", p, name)
		}
		p.t.Host()
	})
}

// dropsWrites is when the transport drops output: closing waits for a producer,
// so what it writes counts.
func (p *protocol) dropsWrites() bool {
	if p.lost || p.ended || p.overLimit || p.writeLost || p.frozen {
		return true
	}
	closing := p.losing || p.losingWrite || p.t.State()&reactor.StateClosing != 0 // that of an end of file too
	return closing && p.producer == nil
}

// write writes n bytes of the stream, in one piece or several.
func (p *protocol) write(n int) {
	w := p.w
	n = min(n, p.limit-p.taken)
	buf := make([]byte, n)
	out(p.id).fill(buf, p.taken)
	drops, pieces := p.dropsWrites(), 1+w.c.n(3)
	before := p.t.Stats()
	var queued int
	var err error
	p.transport(func() { queued, err = p.writePieces(buf, pieces) })
	for i := range buf { // the caller's again
		buf[i] = 0xee
	}
	after := p.t.Stats()
	w.tracef("%v: write %d at %d: queued %d, %v; %d written", p, n, p.taken, queued, err, after.Out)
	if drops {
		if queued != 0 || err != nil || !p.lost && after != before && !p.ended && !p.overLimit {
			w.violated("%v: a write that is to be dropped: %d, %v, %+v, then %+v", p, queued, err, before, after)
		}
		return
	}
	if p.late && queued == 0 && err == nil && after == before { // it was over already
		return
	}
	p.checkWrite(n, queued, err, before.Queued, after.Queued)
	p.taken += n
	if before.Queued == 0 && n > 0 && !p.closing && !p.losingWrite {
		p.moved = w.sys.Now()
	}
	p.progress, p.idleAt = w.sys.Now(), w.sys.Now()
}

// writePieces gives the transport buf in so many pieces, cut anywhere.
func (p *protocol) writePieces(buf []byte, pieces int) (int, error) {
	if pieces == 1 {
		return p.t.Write(buf)
	}
	var list [][]byte
	for rest := buf; pieces > 0; pieces-- {
		k := p.w.c.n(len(rest) + 1)
		if pieces == 1 {
			k = len(rest)
		}
		list = append(list, rest[:k:k])
		rest = rest[k:]
	}
	return p.t.WriteSequence(list)
}

// checkWrite holds a write's outcome against the cap and the counters.
func (p *protocol) checkWrite(n, queued int, err error, before, after int) {
	w := p.w
	switch {
	case err != nil:
		p.overLimit = errors.Is(err, reactor.ErrOverLimit) // a part may have been sent
		if !p.overLimit {
			w.violated("%v: write: %v", p, err)
		}
		if before+n <= w.cfg.MaxQueued {
			w.violated("%v: write: over the limit with %d queued and %d more", p, before, n)
		}
	case queued > w.cfg.MaxQueued:
		w.violated("%v: write: %d queued, and the cap is %d", p, queued, w.cfg.MaxQueued)
	case queued != after && queued != 0:
		w.violated("%v: write: found %d queued, and Stats say %d", p, queued, after)
	}
}

func (p *protocol) loseConnection() {
	p.w.tracef("%v: lose connection", p)
	p.transport(p.t.LoseConnection)
	if !p.losing && !p.closing {
		p.progress, p.moved = p.w.sys.Now(), p.w.sys.Now()
	}
	p.losing = true
}

func (p *protocol) loseWriteConnection() {
	p.w.tracef("%v: lose write connection", p)
	p.transport(p.t.LoseWriteConnection)
	if !p.losingWrite && !p.closing {
		p.progress, p.moved = p.w.sys.Now(), p.w.sys.Now()
	}
	p.losingWrite = true
}

func (p *protocol) abort() {
	reason := reactor.Aborted
	if p.w.c.oneIn(3) {
		reasons := []reactor.Reason{reactor.ProtocolFailed, reactor.Replaced, reactor.OverLimit, reactor.Lost,
			reactor.ShuttingDown}
		reason = reasons[p.w.c.n(len(reasons))]
	}
	p.w.tracef("%v: abort, %v", p, reason)
	p.transport(func() {
		if reason == reactor.Aborted {
			p.t.AbortConnection()
		} else {
			p.t.Abort(reason, nil)
		}
	})
	p.ended = true
}

func (p *protocol) pauseOrResume() {
	if p.w.c.oneIn(2) {
		p.w.tracef("%v: pause", p)
		p.transport(p.t.PauseProducing)
		if !p.paused {
			p.pausedAt = p.w.sys.Now()
		}
		p.paused, p.finQuiet = true, 0
		return
	}
	p.resume()
}

func (p *protocol) resume() {
	p.w.tracef("%v: resume", p)
	p.transport(p.t.ResumeProducing)
	if p.paused {
		p.pausedSum += p.w.sys.Now() - p.pausedAt
	}
	p.paused, p.finQuiet = false, 0
}

// callLater makes a timer that acts on the connection, if it is still there.
func (p *protocol) callLater() {
	w := p.w
	d := time.Duration(w.c.n(1500)) * time.Millisecond
	if w.c.oneIn(3) {
		d = 0
	}
	due := w.sys.Now() + d
	ran, cancelled := false, false
	w.tracef("%v: call later, %v", p, d)
	call := p.delay(d, func() {
		w.tracef("%v: delayed call", p)
		if ran || cancelled || w.sys.Now() < due {
			w.violated("%v: a delayed call: ran %v, cancelled %v, due %v", p, ran, cancelled, due)
		}
		ran = true
		if p.live() && !p.frozen {
			p.callback(func() { p.actions(3) })
		}
	})
	switch w.c.n(6) {
	case 0:
		cancelled = call.Cancel()
	case 1:
		due = w.sys.Now() + d/2
		call.Reset(d / 2)
	}
}

func (p *protocol) connect() {
	w := p.w
	if w.serial > 60 || w.ending {
		return
	}
	q := w.newProto()
	q.outgoing, q.loop = true, p.loop
	var share *reactor.Share
	if q.owner = w.anyOwner(p.loop); q.owner != nil {
		share = q.owner.share
	}
	ep := w.outEP
	switch w.c.n(4) {
	case 0:
		ep.Port, ep.Path = 11, "/sim/nowhere" // nobody listens
	case 1:
		if ep.Scheme == "tcp" {
			ep.Port = 13 // nobody answers
		}
	}
	timeout := time.Duration(1+w.c.n(4)) * time.Second
	q.connectBy = w.sys.Now() + timeout
	w.tracef("%v: connects %v to %v", p, q, ep)
	w.protos = append(w.protos, q)
	p.transport(func() {
		q.t = p.loop.Connect(ep, q.dressed(), reactor.ConnectOptions{Timeout: timeout, Share: share})
	})
	if w.c.oneIn(8) {
		w.tracef("%v: cancelled", q)
		p.transport(q.t.LoseConnection)
		q.ended = true
	}
}
