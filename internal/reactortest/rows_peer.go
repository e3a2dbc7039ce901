package reactortest

import (
	"github.com/wirehost/wirehost/internal/script"
	"github.com/wirehost/wirehost/reactor"
)

func rowFin(r *rig) {
	r.send("half off")
	r.send("on data write %d", much)
	c := r.made()
	c.send(script.Pattern(0, 10))
	r.wantData(c, script.Pattern(0, 10))
	r.wantWrote(c)
	c.finish()
	c.wantAll(much)
	r.wantLost(c, reactor.Done)
}

func rowHalfClose(r *rig) {
	c := r.made()
	c.finish()
	r.want(c, "readlost")
	r.wantQuiet(c)
	r.write(c, much)
	r.do(c, "lose")
	c.wantAll(much)
	r.wantLost(c, reactor.Done)
}

func rowFinWithData(r *rig) {
	const n = 300_000
	for range 5 {
		c := r.dial()
		wait := c.start(true, script.Pattern(0, n))
		r.want(c, "made")
		r.wantHandshake(c)
		r.wantData(c, script.Pattern(0, n))
		r.want(c, "readlost")
		wait()
		r.do(c, "losewrite")
		r.want(c, "writelost")
		r.wantLost(c, reactor.Done)
		c.wantAll(0)
	}
}

func rowFinPaused(r *rig) {
	r.send("on made pause")
	c := r.made()
	c.send(script.Pattern(0, 100))
	c.finish()
	r.wantQuiet(c)
	r.do(c, "resume")
	r.wantData(c, script.Pattern(0, 100))
	r.want(c, "readlost")
	r.do(c, "lose")
	r.wantLost(c, reactor.Done)
}

func rowResetPaused(r *rig) {
	r.send("on made pause")
	c := r.made()
	c.reset()
	switch {
	case r.b.Unix: // an end like any other
		r.wantQuiet(c)
		r.do(c, "resume")
		r.want(c, "readlost")
		return
	case r.b.LateReset:
		r.sync()
		r.do(c, "resume")
	}
	r.wantLost(c, reactor.Lost)
}

func rowClosedTimeout(r *rig) {
	r.send("on made pause")
	c := r.made()
	c.send(script.Pattern(0, 100))
	c.finish()
	r.pass(short)
	r.wantLost(c, reactor.Timeout)
}
