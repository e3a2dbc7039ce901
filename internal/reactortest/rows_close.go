package reactortest

import (
	"time"

	"github.com/wirehost/wirehost/internal/script"
	"github.com/wirehost/wirehost/reactor"
)

func rowWriteAfterLose(r *rig) {
	c := r.made()
	r.write(c, much) // so that the flush has not ended
	r.do(c, "lose")
	r.do(c, "write 1000")
	r.want(c, "wrote 0")
	c.wantAll(much)
	r.wantLost(c, reactor.Done)
}

func rowLoseFlushes(r *rig) {
	r.send("on made write %d", much)
	r.send("on made lose")
	c := r.dial()
	r.want(c, "made")
	r.wantWrote(c)
	c.wantAll(much)
	if e := r.next(c); e != lost(reactor.Done) && !(r.b.TLS && e == "handshake") {
		r.t.Errorf("found %q, wanted the loss", e)
	}
}

func rowLoseStopsReading(r *rig) {
	r.send("on data write %d", much)
	r.send("on data lose")
	c := r.made()
	c.send(script.Pattern(0, 10))
	r.wantData(c, script.Pattern(0, 10))
	r.wantWrote(c)
	c.send(script.Pattern(10, 10))
	r.wantQuiet(c)
	c.wantAll(much) // though bytes of ours were not read
	r.wantLost(c, reactor.Done)
}

// rowSlowReader takes many times close_timeout, with a piece read in each.
// On real sockets it is only a reader of small pieces: nothing sleeps.
func rowSlowReader(r *rig) {
	c := r.made()
	const n = 1 << 20
	r.write(c, 1<<20)
	r.do(c, "lose")
	for at := 0; at < n; at += 16 << 10 {
		c.wantSome(at, 16<<10)
		r.pass(short / 10)
	}
	c.wantAll(0)
	r.wantLost(c, reactor.Done)
}

func rowCloseTimeout(r *rig) {
	c := r.made()
	r.write(c, much)
	r.do(c, "lose")
	if r.s.Advance != nil {
		r.pass(short - time.Millisecond)
		r.wantQuiet(c)
	}
	r.pass(time.Millisecond)
	r.wantLost(c, reactor.Timeout)
	r.wantReset(c)
}

func rowLoseProducer(r *rig) {
	r.send("on made push")
	c := r.dial()
	r.want(c, "made", "registered")
	r.wantHandshake(c)
	r.write(c, 1000)
	r.do(c, "lose")
	r.write(c, 500) // what a producer writes counts
	c.wantSome(0, 1500)
	r.wantQuiet(c)
	r.do(c, "unregister")
	c.wantAll(0)
	r.wantLost(c, reactor.Done)
}

func rowLoseProducerTimeout(r *rig) {
	r.send("on made push")
	c := r.dial()
	r.want(c, "made", "registered")
	r.wantHandshake(c)
	r.do(c, "lose")
	r.pass(short)
	r.want(c, "stop")
	r.wantLost(c, reactor.Timeout)
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
	r.wantLost(c, reactor.Timeout)
}

func rowAbort(r *rig) {
	c := r.made()
	r.write(c, much)
	r.do(c, "abort")
	r.wantLost(c, reactor.Aborted)
	r.wantReset(c)
}

// rowAbortInLost has a protocol abort when it is told that all is with the
// system: the client still gets it.
func rowAbortInLost(r *rig) {
	r.send("on lost abort")
	c := r.made()
	c.finish()
	r.want(c, "readlost")
	r.write(c, much)
	r.do(c, "lose")
	c.wantAll(much)
	r.wantLost(c, reactor.Done)
}

func rowLoseWrite(r *rig) {
	c := r.made()
	r.write(c, much)
	r.do(c, "losewrite")
	r.do(c, "write 1000")
	r.want(c, "wrote 0")
	c.wantAll(much)
	r.want(c, "writelost")
	c.send(script.Pattern(0, 100)) // reading goes on
	r.wantData(c, script.Pattern(0, 100))
	r.do(c, "lose")
	r.wantLost(c, reactor.Done)
}

func rowLoseWriteProducer(r *rig) {
	c := r.made()
	r.do(c, "push")
	r.want(c, "registered")
	r.do(c, "losewrite")
	r.write(c, 100)
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
	r.wantLost(c, reactor.Done)
	d := r.made()
	d.finish()
	r.want(d, "readlost")
	r.do(d, "losewrite")
	r.want(d, "writelost")
	r.wantLost(d, reactor.Done)
	d.wantAll(0)
}

func rowLoseWriteAtOnce(r *rig) {
	r.send("on made losewrite")
	c := r.dial()
	r.want(c, "made")
	r.wantHandshake(c)
	r.want(c, "writelost")
	c.wantAll(0)
	c.send(script.Pattern(0, 100)) // reading goes on
	r.wantData(c, script.Pattern(0, 100))
	c.finish()
	r.want(c, "readlost")
	r.wantLost(c, reactor.Done)
}
