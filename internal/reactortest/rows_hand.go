package reactortest

import (
	"github.com/wirehost/wirehost/internal/script"
	"github.com/wirehost/wirehost/reactor"
)

// handedOver has the protocol of c hand it over, with n bytes of the pattern from offset on;
// from then on c is the next connection of the script.
func (r *rig) handedOver(c *client, offset, n int) {
	r.t.Helper()
	r.do(c, "hand %d %d", offset, n)
	r.arrived(c)
}

// arrived waits until c, which is handed over, has its next protocol.
func (r *rig) arrived(c *client) {
	r.t.Helper()
	r.wantLost(c, reactor.HandedOver)
	r.dialled++
	c.number = r.dialled
	r.want(c, "made")
	r.wantHandshake(c)
}

// rowHandOver: what was written before comes before what is written after, whether the peer
// reads or not; so do the bytes that were given, and those that come.
func rowHandOver(r *rig) {
	c := r.made()
	wait := c.start(false, script.Pattern(0, 1000))
	r.wantData(c, script.Pattern(0, 1000))
	wait()
	if r.write(c, much) == 0 {
		r.t.Fatal("nothing is queued")
	}
	r.handedOver(c, 0, 1000)
	r.write(c, 5000)
	c.wantSome(0, much) // until it does, nothing is delivered
	c.wantSome(0, 5000)
	r.wantData(c, script.Pattern(0, 1000))
	c.send(script.Pattern(1000, 200_000))
	r.wantData(c, script.Pattern(0, 201_000)) // the first of them again, in the sum
	c.finish()
	r.want(c, "readlost")
	r.do(c, "lose")
	r.wantLost(c, reactor.Done)
}

// rowHandOverHalfClosed: the peer's end is told to both.
func rowHandOverHalfClosed(r *rig) {
	c := r.made()
	c.send(script.Pattern(0, 1000))
	c.finish()
	r.wantData(c, script.Pattern(0, 1000))
	r.want(c, "readlost")
	r.handedOver(c, 0, 1000)
	r.wantLastWords(c)
}

// rowHandOverPaused: a pause ends with it, and what has come meanwhile comes there.
func rowHandOverPaused(r *rig) {
	c := r.made()
	r.do(c, "pause")
	r.sync()
	c.send(script.Pattern(100, 900))
	r.wantQuiet(c)
	r.handedOver(c, 0, 100)
	r.wantData(c, script.Pattern(0, 1000))
	r.do(c, "abort")
	r.wantLost(c, reactor.Aborted)
}

// rowHandOverNothingFollows: what else the callback asks for does nothing.
func rowHandOverNothingFollows(r *rig) {
	for _, command := range []string{"write 70", "hand 0 10", "write 100", "pause", "losewrite", "lose", "abort",
		"push", "timeout 1"} {
		r.send("on data " + command)
	}
	c := r.made()
	r.send("clear")
	r.sync()
	c.send(script.Pattern(0, 10))
	r.wantData(c, script.Pattern(0, 10))
	r.wantWrote(c)
	if queued := r.wantWrote(c); queued != 0 {
		r.t.Errorf("found %d bytes queued, wanted none", queued)
	}
	r.want(c, "busy")
	r.arrived(c)
	r.wantData(c, script.Pattern(0, 10))
	r.write(c, 50)
	c.wantSome(0, 70)
	c.wantSome(0, 50)
	r.do(c, "lose")
	r.wantLost(c, reactor.Done)
}

// rowHandOverAgain: from one to the next.
func rowHandOverAgain(r *rig) {
	c := r.made()
	for n := range 5 {
		r.handedOver(c, 0, 100*n)
		c.send(script.Pattern(100*n, 1000))
		r.wantData(c, script.Pattern(0, 100*n+1000))
		r.write(c, 1000)
		c.wantSome(0, 1000)
	}
	c.reset()
	if !r.b.Unix && !r.b.LateReset {
		r.wantLost(c, reactor.Lost)
	}
}

// rowHandOverMoments: when it can't be.
func rowHandOverMoments(r *rig) {
	refused := r.refuses("hand 0 10", "hand error")
	c := r.made()
	r.do(c, "push")
	r.want(c, "registered")
	refused(c)
	r.do(c, "lose") // the producer keeps it
	refused(c)
	r.do(c, "unregister")
	r.wantLost(c, reactor.Done)
	if r.b.TLS {
		return
	}
	shaking := r.made()
	r.do(shaking, "tlsclient localhost")
	r.want(shaking, "tlsclient begun")
	refused(shaking)
	r.do(shaking, "abort")
	r.wantLost(shaking, reactor.Aborted)
}
