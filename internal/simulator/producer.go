package simulator

import (
	"time"

	"github.com/wirehost/wirehost/reactor"
)

// producer is a push or a pull producer of a simulated protocol.
type producer struct {
	p         *protocol
	streaming bool
	paused    bool
	stopped   bool
	left      int // bytes that it has to write

	registered time.Duration
}

// patienceOfPull is when a pull producer has been asked for certain.
const patienceOfPull = 10 * time.Millisecond

// produce registers a producer, or lets it write or end.
func (p *protocol) produce() {
	w := p.w
	if p.stopped {
		return
	}
	if r := p.producer; r != nil {
		if w.c.oneIn(4) || p.limit == p.taken {
			p.unregister()
		} else if r.streaming && !r.paused {
			r.write()
		}
		return
	}
	if p.losingWrite && !p.writeLost { // it may be closed, and not every protocol is told
		return
	}
	r := &producer{p: p, streaming: w.c.oneIn(2), left: w.c.size(w.style.total), registered: w.sys.Now()}
	if p.writeLost { // what a pull producer writes is dropped, and so there is no emptying
		r.streaming = true
	}
	w.tracef("%v: register producer, push %v, %d bytes", p, r.streaming, r.left)
	p.producer = r
	p.late = p.late || p.t.State()&reactor.StateClosing != 0
	p.progress = w.sys.Now()
	p.transport(func() {
		if err := p.t.RegisterProducer(r, r.streaming); err != nil {
			w.violated("%v: register producer: %v", p, err)
		}
		if err := p.t.RegisterProducer(r, r.streaming); err != reactor.ErrBusy {
			w.violated("%v: register a second producer: %v", p, err)
		}
	})
	if r.streaming && w.c.oneIn(2) {
		r.write()
	}
}

func (p *protocol) unregister() {
	p.w.tracef("%v: unregister producer", p)
	p.producer = nil
	p.transport(p.t.UnregisterProducer)
}

// write writes a piece, and ends with the last.
func (r *producer) write() {
	n := min(r.left, 1+r.p.w.c.size(r.p.w.style.maxWrite))
	r.left -= n
	r.p.write(n)
	if r.left == 0 || r.p.limit == r.p.taken {
		if r.p.producer == r {
			r.p.unregister()
		}
		if r.p.w.c.oneIn(2) && r.p.live() {
			r.p.loseConnection()
		}
	}
}

func (r *producer) told(what string, f func()) {
	p := r.p
	if p.producer != r || r.stopped {
		p.w.violated("%v: %s, for a producer that is not registered", p, what)
		return
	}
	p.told(what, f)
}

func (r *producer) PauseProducing() {
	if !r.streaming || r.paused {
		r.p.w.violated("%v: PauseProducing, push %v, paused %v", r.p, r.streaming, r.paused)
	}
	r.paused = true
	r.told("pause producing", func() { r.p.actions(1) })
}

func (r *producer) ResumeProducing() {
	if r.streaming != r.paused {
		r.p.w.violated("%v: ResumeProducing, push %v, paused %v", r.p, r.streaming, r.paused)
	}
	if q := r.p.t.Stats().Queued; !r.streaming && q != 0 {
		r.p.w.violated("%v: a pull producer is asked for more with %d bytes queued", r.p, q)
	}
	r.paused = false
	r.told("resume producing", func() {
		if r.p.w.c.oneIn(10) {
			r.p.actions(2)
		}
		if r.p.producer == r {
			r.write()
		}
	})
}

func (r *producer) StopProducing() {
	p := r.p
	p.w.tracef("%v: stop producing", p)
	if p.producer != r || r.stopped {
		p.w.violated("%v: StopProducing for a producer that is not registered", p)
	}
	r.stopped, p.stopped = true, true
	p.callback(func() {
		p.transport(func() {
			if err := p.t.RegisterProducer(r, r.streaming); err != reactor.ErrNotConnected {
				p.w.violated("%v: register producer, on a connection that is gone: %v", p, err)
			}
		})
		p.maybePanic()
	})
}
