package reactortest

import (
	"github.com/wirehost/wirehost/internal/script"
	"github.com/wirehost/wirehost/reactor"
)

func rowWater(r *rig) {
	r.send("on made push")
	c := r.dial()
	r.want(c, "made", "registered")
	r.wantHandshake(c)
	if q := r.write(c, much); q < 64<<10 {
		r.t.Fatalf("%d bytes queued of %d that nobody reads", q, much)
	}
	r.want(c, "pause")
	c.send(script.Pattern(0, 10)) // is not read until the output is below low water
	r.wantQuiet(c)
	c.wantSome(0, much)
	// Both come at low water; which one first is the system's choice.
	r.want(c, "resume")
	r.wantData(c, script.Pattern(0, 10))
	r.do(c, "unregister")
	r.do(c, "lose")
	r.wantLost(c, reactor.Done)
}

func rowSeparatePauses(r *rig) {
	r.send("on made pause")
	c := r.made()
	r.write(c, much)
	c.send(script.Pattern(0, 10))
	c.wantSome(0, much)
	r.wantQuiet(c)
	r.do(c, "resume")
	r.wantData(c, script.Pattern(0, 10))
}

func rowCap(r *rig) {
	c := r.made()
	r.do(c, "write %d", 64<<20)
	r.want(c, "wrote error")
	r.wantLost(c, reactor.OverLimit)
	r.wantReset(c)
}

func rowWriteTimeout(r *rig) {
	c := r.made()
	r.write(c, much)
	r.pass(short)
	r.wantLost(c, reactor.Timeout)
	r.wantReset(c)
}

func rowSequence(r *rig) {
	c := r.made()
	r.do(c, "sequence 1 0 300 20000 70000 5")
	r.wantWrote(c)
	r.do(c, "lose")
	c.wantAll(90306)
	r.wantLost(c, reactor.Done)
}
