package reactortest

import (
	"time"

	"github.com/wirehost/wirehost/reactor"
)

func rowTimers(r *rig) {
	c := r.made()
	r.do(c, "later 30")
	r.do(c, "later 0")
	r.want(c, "timer")
	r.pass(30 * time.Millisecond)
	r.want(c, "timer")
	r.wantQuiet(c)
}

func rowTimerAfterLoss(r *rig) {
	c := r.made()
	r.do(c, "later 50")
	r.do(c, "abort")
	r.want(c, lost(reactor.Aborted))
	r.pass(50 * time.Millisecond)
	r.want(c, "timer") // a delayed call may outlive its connection
	r.wantQuiet(c)
}

func rowIdle(r *rig) {
	c := r.made()
	if r.s.Advance != nil {
		r.do(c, "timeout 100")
	} else {
		r.do(c, "timeout 1000") // the client is to send before it has passed
	}
	r.sync()
	r.pass(99 * time.Millisecond)
	c.send([]byte("x"))
	r.wantData(c, []byte("x"))
	r.pass(99 * time.Millisecond)
	if r.s.Advance != nil {
		r.wantQuiet(c)
	}
	r.pass(time.Millisecond)
	r.wantLost(c, reactor.Timeout)
	c.wantAll(0) // in order
}

// rowIdleFlushes has a client that does not read in time: it gets all of what was
// written, and an orderly end.
func rowIdleFlushes(r *rig) {
	c := r.made()
	r.do(c, "timeout 100")
	r.write(c, much)
	for range 5 { // at the first look the client may be taking it
		r.pass(60 * time.Millisecond)
	}
	r.wantQuiet(c)
	c.wantAll(much)
	r.wantLost(c, reactor.Timeout)
}
