package reactortest

import (
	"fmt"
	"time"

	"github.com/wirehost/wirehost/internal/script"
	"github.com/wirehost/wirehost/reactor"
)

func rowOneProducer(r *rig) {
	c := r.made()
	r.do(c, "push")
	r.want(c, "registered")
	r.do(c, "push")
	r.want(c, "busy")
	r.do(c, "pull 1")
	r.want(c, "busy")
	r.do(c, "unregister")
	r.do(c, "push")
	r.want(c, "registered")
	r.wantQuiet(c) // it starts unpaused
}

func rowPull(r *rig) {
	c := r.made()
	r.do(c, "pull 50")
	r.want(c, "registered")
	for range 50 {
		r.want(c, "resume")
		if q := r.wantWrote(c); q > 2000 { // of TLS, with its records
			r.t.Errorf("asked for more with %d bytes queued", q-1000)
		}
	}
	r.do(c, "lose")
	c.wantAll(50_000)
	r.wantLost(c, reactor.Done)
}

// rowPullAndRead has bytes come in and a producer pulled in the same turn: on
// TLS the bytes are with us already.
func rowPullAndRead(r *rig) {
	r.send("on data pause")
	c := r.made()
	c.send(script.Pattern(0, 60_000))
	total := r.piece(c, 60_000)
	for total < 60_000 {
		r.sync()
		r.do(c, "pull 1")
		r.do(c, "resume")
		for seen := 0; seen < 4; seen++ {
			switch e := r.next(c); {
			case e == "registered", e == "resume", len(e) > 5 && e[:5] == "wrote":
			default:
				if k, err := fmt.Sscanf(e, "data %d %d", new(int), &total); k != 2 {
					r.t.Fatalf("found %q, %v", e, err)
				}
			}
		}
	}
}

// rowProducerInHandshake has a protocol write before its peer has begun TLS.
func rowProducerInHandshake(r *rig) {
	if !r.b.TLS {
		r.t.Skip("there is no handshake")
	}
	r.send("on made push")
	r.send("on made write 1048576")
	r.sync()
	raw, err := r.s.Dial()
	r.must(err)
	r.t.Cleanup(func() { raw.Close() })
	r.must(raw.SetDeadline(time.Now().Add(patience)))
	r.dialled++
	c := &client{Conn: raw, raw: raw, t: r.t, number: r.dialled}
	r.want(c, "made", "registered")
	if q := r.wantWrote(c); q != 1<<20 {
		r.t.Errorf("found %d bytes queued, wanted %d", q, 1<<20)
	}
	r.want(c, "pause")
	c.secure(r.s.Client, r.b.Cut)
	c.wantSome(0, 1<<20)
	if e := r.next(c); e != "handshake" {
		r.t.Errorf("found %q", e)
	}
	r.want(c, "resume")
}

func rowStopProducing(r *rig) {
	for _, kind := range []string{"push", "pull 1000000"} {
		c := r.made()
		r.do(c, "%s", kind)
		r.want(c, "registered")
		c.reset()
		for { // what a pull producer was asked before
			e := r.next(c)
			if e == "stop" {
				break
			}
			if r.b.Unix && e == "readlost" || r.b.LateReset && e == "readlost" {
				r.do(c, "abort")
				continue
			}
			if e[:4] == "lost" {
				r.t.Fatalf("found %q before stop", e)
			}
		}
		if e := r.next(c); len(e) < 4 || e[:4] != "lost" {
			r.t.Errorf("found %q, wanted the loss", e)
		}
		r.wantQuiet(c)
	}
}
