package reactortest

import (
	"time"
)

func rowLoseStopsReading(r *rig) {
	r.send("on data write 12582912")
	r.send("on data lose")
	c := r.made()
	c.send(patternPart(0, 10))
	r.wantData(c, patternPart(0, 10))
	r.wantWrote(c)
	c.send(patternPart(10, 10))
	r.wantQuiet(c)
	c.wantAll(much) // though bytes of ours were not read
	r.wantLost(c, 0)
}

// rowSlowReader takes many times close_timeout, with a piece read in each.
// On real sockets it is only a reader of small pieces: nothing sleeps.
func rowSlowReader(r *rig) {
	c := r.made()
	const n = 1 << 20
	r.do(c, "write 1048576")
	r.wantWrote(c)
	r.do(c, "lose")
	for at := 0; at < n; at += 16 << 10 {
		c.wantSome(at, 16<<10)
		r.pass(short / 10)
	}
	c.wantAll(0)
	r.wantLost(c, 0)
}

func rowCloseTimeout(r *rig) {
	c := r.made()
	r.do(c, "write 12582912")
	r.wantWrote(c)
	r.do(c, "lose")
	if r.s.Advance != nil {
		r.pass(short - time.Millisecond)
		r.wantQuiet(c)
	}
	r.pass(time.Millisecond)
	r.wantLost(c, 3)
	r.wantReset(c)
}

func rowLoseProducer(r *rig) {
	r.send("on made push")
	c := r.dial()
	r.want(c, "made", "registered")
	if r.b.TLS {
		r.want(c, "handshake")
	}
	r.do(c, "write 1000")
	r.wantWrote(c)
	r.do(c, "lose")
	r.do(c, "write 500") // what a producer writes counts
	r.wantWrote(c)
	c.wantSome(0, 1500)
	r.wantQuiet(c)
	r.do(c, "unregister")
	c.wantAll(0)
	r.wantLost(c, 0)
}

func rowLoseProducerTimeout(r *rig) {
	r.send("on made push")
	c := r.dial()
	r.want(c, "made", "registered")
	if r.b.TLS {
		r.want(c, "handshake")
	}
	r.do(c, "lose")
	r.pass(short)
	r.want(c, "stop")
	r.wantLost(c, 3)
}

func rowLoseProducerHalfClosed(r *rig) {
	c := r.made()
	r.do(c, "losewrite")
	r.want(c, "writelost")
	r.do(c, "push")
	r.want(c, "registered")
	r.do(c, "lose")
	r.pass(short)
	r.want(c, "stop")
	r.wantLost(c, 3)
}

func rowAbort(r *rig) {
	c := r.made()
	r.do(c, "write 12582912")
	r.wantWrote(c)
	r.do(c, "abort")
	r.wantLost(c, 2)
	r.wantReset(c)
}

// rowAbortInLost has a protocol abort when it is told that all is with the
// system: the client still gets it.
func rowAbortInLost(r *rig) {
	r.send("on lost abort")
	c := r.made()
	c.finish()
	r.want(c, "readlost")
	r.do(c, "write 12582912")
	r.wantWrote(c)
	r.do(c, "lose")
	c.wantAll(much)
	r.wantLost(c, 0)
}

func rowFin(r *rig) {
	r.send("half off")
	r.send("on data write 12582912")
	c := r.made()
	c.send(patternPart(0, 10))
	r.wantData(c, patternPart(0, 10))
	r.wantWrote(c)
	c.finish()
	c.wantAll(much)
	r.wantLost(c, 0)
}

func rowHalfClose(r *rig) {
	c := r.made()
	c.finish()
	r.want(c, "readlost")
	r.wantQuiet(c)
	r.do(c, "write 12582912")
	r.wantWrote(c)
	r.do(c, "lose")
	c.wantAll(much)
	r.wantLost(c, 0)
}

func rowFinWithData(r *rig) {
	const n = 300_000
	for range 5 {
		c := r.dial()
		wait := c.start(true, patternPart(0, n))
		r.want(c, "made")
		if r.b.TLS {
			r.want(c, "handshake")
		}
		r.wantData(c, patternPart(0, n))
		r.want(c, "readlost")
		wait()
		r.do(c, "losewrite")
		r.want(c, "writelost")
		r.wantLost(c, 0)
		c.wantAll(0)
	}
}

func rowFinPaused(r *rig) {
	r.send("on made pause")
	c := r.made()
	c.send(patternPart(0, 100))
	c.finish()
	r.wantQuiet(c)
	r.do(c, "resume")
	r.wantData(c, patternPart(0, 100))
	r.want(c, "readlost")
	r.do(c, "lose")
	r.wantLost(c, 0)
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
	r.wantLost(c, 1)
}

func rowClosedTimeout(r *rig) {
	r.send("on made pause")
	c := r.made()
	c.send(patternPart(0, 100))
	c.finish()
	r.pass(short)
	r.wantLost(c, 3)
}

func rowLoseWrite(r *rig) {
	c := r.made()
	r.do(c, "write 12582912")
	r.wantWrote(c)
	r.do(c, "losewrite")
	r.do(c, "write 1000")
	r.want(c, "wrote 0")
	c.wantAll(much)
	r.want(c, "writelost")
	c.send(patternPart(0, 100)) // reading goes on
	r.wantData(c, patternPart(0, 100))
	r.do(c, "lose")
	r.wantLost(c, 0)
}

func rowLoseWriteProducer(r *rig) {
	c := r.made()
	r.do(c, "push")
	r.want(c, "registered")
	r.do(c, "losewrite")
	r.do(c, "write 100")
	r.wantWrote(c)
	c.wantSome(0, 100)
	r.wantQuiet(c)
	r.do(c, "unregister")
	r.want(c, "writelost")
	c.wantAll(0)
}

func rowBothClosed(r *rig) {
	c := r.made()
	r.do(c, "losewrite")
	r.want(c, "writelost")
	c.wantAll(0)
	c.finish()
	r.want(c, "readlost")
	r.wantLost(c, 0)
	d := r.made()
	d.finish()
	r.want(d, "readlost")
	r.do(d, "losewrite")
	r.want(d, "writelost")
	r.wantLost(d, 0)
	d.wantAll(0)
}

func rowLoseWriteAtOnce(r *rig) {
	r.send("on made losewrite")
	c := r.dial()
	r.want(c, "made")
	if r.b.TLS {
		r.want(c, "handshake")
	}
	r.want(c, "writelost")
	c.wantAll(0)
	c.send(patternPart(0, 100)) // reading goes on
	r.wantData(c, patternPart(0, 100))
	c.finish()
	r.want(c, "readlost")
	r.wantLost(c, 0)
}

func rowPause(r *rig) {
	r.send("on data pause")
	c := r.made()
	const n = 1 << 20
	defer c.start(false, patternPart(0, n))()
	got := 0
	for got < n { // one piece, and no more until the resume
		got = r.piece(c, n)
		r.wantQuiet(c)
		r.do(c, "resume")
	}
}
