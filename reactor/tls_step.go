package reactor

import (
	"runtime"
	"time"
)

// A handshake goes in steps: its goroutine computes until it waits for its peer, and the
// loop sends what it has written. The loop lets one a turn begin, or as many as take the
// time of the turn, and yields to each, so that no number of handshakes keeps it from its
// other connections, nor those it from its handshakes.

// parksBehind is how often a loop parks when it has nothing to do, behind each step.
const parksBehind = 64

// ready tells whether the handshake can go on: a whole record is there, or what is none,
// or nothing will come. mu is held.
func (p *pipe) ready() bool {
	switch {
	case p.eof, p.gone:
		return true
	case p.left > 0:
		return len(p.in) > 0
	}
	return len(p.in) >= recordHeader && (len(p.in) >= recordHeader+recordSize(p.in) || strange(p.in))
}

// strange tells whether a header is none that crypto/tls waits for the record of.
func strange(header []byte) bool {
	const first, last, version, most = 20, 23, 3, 16<<10 + 256
	return header[0] < first || header[0] > last || header[1] != version || recordSize(header) > most
}

// goOn has the handshake compute when its turn comes, if it can. Loop.
func (p *pipe) goOn() {
	if p.busy {
		return
	}
	p.mu.Lock()
	able := !p.gone && p.ready()
	p.mu.Unlock()
	if able {
		p.queueStep()
	}
}

func (p *pipe) queueStep() {
	l := p.c.loop
	p.busy = true
	if l.steps == nil {
		l.steps = p
	} else {
		l.lastStep.after = p
	}
	l.lastStep = p
}

// stepTime is about what a step takes.
const stepTime = 300 * time.Microsecond

// runSteps has a handshake compute, and more of them behind a turn that has taken longer:
// where callbacks take long, handshakes would else have next to no time.
func (l *Loop) runSteps(turn time.Duration) (progress bool) {
	for n := 1 + turn/stepTime; n > 0 && l.runStep(); n-- {
		progress = true
	}
	return progress
}

// runStep has the first of the queued handshakes compute, and yields to it.
func (l *Loop) runStep() bool {
	for l.steps != nil {
		p := l.steps
		l.steps, p.after = p.after, nil
		if l.steps == nil {
			l.lastStep = nil
		}
		if p.c.ended() {
			continue
		}
		p.beginStep()
		l.parks = parksBehind
		runtime.Gosched()
		return true
	}
	return false
}

// beginStep begins a step. Loop.
func (p *pipe) beginStep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out == nil {
		p.out = p.c.loop.takeFlight()
	}
	if p.start == nil {
		p.wake()
		return
	}
	p.c.loop.r.handshaking.begin()
	go p.start()
	p.start = nil
}

// wake has Read, if it waits, look again. mu is held.
func (p *pipe) wake() {
	if p.idle {
		p.idle = false
		p.c.loop.r.handshaking.begin()
		p.cond.Signal()
	}
}

// endStep waits for the next step. It is the handshake's goroutine; mu is held.
func (p *pipe) endStep() {
	p.idle = true
	// A loop that has ended has ended this pipe too.
	_ = p.c.loop.CallFromThread(p.stepped)
	p.c.loop.r.handshaking.rest()
	for p.idle {
		p.cond.Wait()
	}
}

// stepped is the end of a step that waits for more. Loop.
func (p *pipe) stepped() {
	p.busy = false
	p.flushHandshake()
	if p.c.ended() {
		return
	}
	p.c.unhold()
	p.goOn()
}

// flushHandshake moves the handshake's records to the connection. Loop, while no step
// computes.
func (p *pipe) flushHandshake() {
	c := p.c
	p.mu.Lock()
	out := p.out[p.flushed:]
	p.flushed = len(p.out)
	p.mu.Unlock()
	if len(out) > 0 && !c.ended() {
		c.tls.send(c, out)
	}
}

// Buffers of handshakes' records, both ways, that a loop keeps for the next ones: so many, of
// so many bytes at most.
const (
	spareFlights = 32
	flightSize   = 4 << 10
	largeFlight  = 16 << 10
)

func (l *Loop) takeFlight() []byte {
	if k := len(l.flights); k > 0 {
		b := l.flights[k-1]
		l.flights = l.flights[:k-1]
		return b
	}
	return make([]byte, 0, flightSize)
}

func (l *Loop) giveFlight(b []byte) {
	if len(l.flights) < spareFlights && cap(b) > 0 && cap(b) <= largeFlight {
		l.flights = append(l.flights, b[:0])
	}
}
