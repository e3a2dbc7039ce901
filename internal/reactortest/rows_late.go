package reactortest

import (
	"io"

	"github.com/wirehost/wirehost/internal/script"
	"github.com/wirehost/wirehost/reactor"
)

// held makes a connection whose protocol is late.
func (r *rig) held() *client {
	r.t.Helper()
	if !r.b.Holds {
		r.t.Skip("the script can't hold connections back")
	}
	r.send("hold on")
	c := r.dial()
	r.want(c, "held")
	r.send("hold off")
	return c
}

// built has the protocol of c built, and waits until TLS is up.
func (r *rig) built(c *client) {
	r.t.Helper()
	r.wantQuiet(c)
	r.do(c, "build")
	r.want(c, "made")
	r.wantHandshake(c)
}

// Bytes that came before the protocol are its first, on TLS the handshake's, and
// it can answer. To build again what is built does nothing.
func rowHeld(r *rig) {
	c := r.held()
	if !r.b.TLS { // there the handshake is what came
		c.send(script.Pattern(0, 1000))
	}
	r.built(c)
	if r.b.TLS {
		c.send(script.Pattern(0, 1000))
	}
	r.wantData(c, script.Pattern(0, 1000))
	r.do(c, "build")
	r.wantQuiet(c)
	r.write(c, 5000)
	c.wantSome(0, 5000)
	c.finish()
	r.want(c, "readlost")
	r.do(c, "lose")
	r.wantLost(c, reactor.Done)
}

// A FIN does not end the wait: who half-closes wants an answer.
func rowHeldFin(r *rig) {
	if r.b.TLS {
		r.t.Skip("the handshake comes first")
	}
	c := r.held()
	c.send(script.Pattern(0, 1000))
	c.finish()
	r.built(c)
	r.wantLastWords(c)
}

// One that is refused after its wait ends, and nothing is told.
func rowHeldRefused(r *rig) {
	c := r.held()
	r.do(c, "refuse")
	_, _ = io.Copy(io.Discard, c) // it has an end, of whatever kind
	r.wantQuiet(c)
}

// A reset ends the wait; where it is told late, the protocol may be told.
func rowHeldReset(r *rig) {
	c := r.held()
	switch {
	case r.b.Unix:
		r.t.Skip("there is no reset")
	case r.b.LateReset:
		c.reset()
		r.do(c, "build")
		if e := r.next(c); e != "gone" { // it may have been noticed
			r.wantLost(c, reactor.Lost)
		}
	default:
		c.reset()
		r.want(c, "gone")
		r.do(c, "build")
		r.wantQuiet(c)
	}
}

// The wait is bounded.
func rowHeldTimeout(r *rig) {
	if r.b.TLS {
		r.t.Skip("the limit is the control connection's handshake's too")
	}
	c := r.held()
	r.pass(short)
	r.want(c, "gone")
	_, _ = io.Copy(io.Discard, c)
	r.wantQuiet(c)
}
