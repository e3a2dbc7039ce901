package reactortest

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

// piece wants one piece of the pattern's first n bytes, and returns how many have
// come in all.
func (r *rig) piece(c *client, n int) (total int) {
	r.t.Helper()
	var size int
	var sum uint32
	e := r.next(c)
	k, err := fmt.Sscanf(e, "data %d %d %d", &size, &total, &sum)
	if k != 3 || err != nil || total > n || sum != crc32.ChecksumIEEE(patternPart(0, total)) {
		r.t.Fatalf("connection %d: found %q, wanted data", c.number, e)
	}
	return total
}

func rowResumeAfterLose(r *rig) {
	r.send("on made pause")
	c := r.made()
	r.do(c, "write 12582912")
	r.wantWrote(c)
	c.send(patternPart(0, 100))
	r.do(c, "lose")
	r.do(c, "resume")
	r.wantQuiet(c)
	c.wantAll(much)
	r.wantLost(c, 0)
}

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
	r.wantLost(c, 0)
}

// rowPullAndRead has bytes come in and a producer pulled in the same turn: on
// TLS the bytes are with us already.
func rowPullAndRead(r *rig) {
	r.send("on data pause")
	c := r.made()
	c.send(patternPart(0, 60_000))
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
	c.secure(r.s.Client)
	c.wantSome(0, 1<<20)
	if e := r.next(c); e != "handshake" {
		r.t.Errorf("found %q", e)
	}
	r.want(c, "resume")
}

func rowStopProducing(r *rig) {
	for _, kind := range []string{"push", "pull 1000000"} {
		c := r.made()
		r.do(c, kind)
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
	r.want(c, "lost 2")
	r.pass(50 * time.Millisecond)
	r.want(c, "timer") // a delayed call may outlive its connection
	r.wantQuiet(c)
}

func rowIdle(r *rig) {
	c := r.made()
	r.do(c, "timeout 100")
	r.sync()
	r.pass(99 * time.Millisecond)
	c.send([]byte("x"))
	r.want(c, "data 1 1 2363233923")
	r.pass(99 * time.Millisecond)
	if r.s.Advance != nil {
		r.wantQuiet(c)
	}
	r.pass(time.Millisecond)
	r.wantLost(c, 3)
	r.wantReset(c)
}

func rowStopListening(r *rig) {
	c := r.made()
	r.must(r.s.StopListening())
	if conn, err := r.s.Dial(); err == nil {
		conn.Close()
		r.t.Error("connected where nobody should listen")
	}
	c.send(patternPart(0, 10))
	r.wantData(c, patternPart(0, 10))
	r.do(c, "write 10")
	r.wantWrote(c)
	c.wantSome(0, 10)
}

// rowShutdownDrains shuts down with a flush that has not ended, and with bytes
// of the peer's that nobody reads.
func rowShutdownDrains(r *rig) {
	c := r.made()
	r.do(c, "write 12582912")
	r.wantWrote(c)
	r.do(c, "lose")
	c.send(patternPart(0, 100))
	r.sync()
	ended := make(chan error, 1)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	go func() { ended <- r.s.Shutdown(ctx) }()
	c.wantAll(much)
	r.want(c, "lost 0")
	c.raw.Close()
	r.control.raw.Close() // the last connection
	r.must(<-ended)
}

func rowShutdownEnds(r *rig) {
	c := r.made()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		r.t.Errorf("found %v, wanted the context's error", err)
	}
	c.wantAll(0)
}

func rowDescriptors(r *rig) {
	if r.s.LimitFDs == nil {
		r.t.Skip("this system's descriptors can't be limited here; the probes do that in a child process")
	}
	c := r.made()
	r.s.LimitFDs(1)
	refused, err := r.s.Dial()
	r.must(err)
	defer refused.Close()
	r.must(refused.SetDeadline(time.Now().Add(patience)))
	if n, err := refused.Read(make([]byte, 1)); n != 0 || err == nil {
		r.t.Errorf("read %d, %v from a connection for which there was no descriptor", n, err)
	}
	r.pass(0) // until it has refused all that wait
	c.send(patternPart(0, 10))
	r.wantData(c, patternPart(0, 10))
	r.s.LimitFDs(0)
	d := r.dial()
	r.pass(time.Second) // the longest that a listener rests
	r.want(d, "made")
	if r.b.TLS {
		r.want(d, "handshake")
	}
	d.send(patternPart(0, 10))
	r.wantData(d, patternPart(0, 10))
}

func rowFault(r *rig) {
	r.skipTraps()
	other := r.made()
	for _, event := range []string{"data", "readlost", "timer", "lost"} {
		r.send("clear")
		r.send("on %s panic", event)
		c := r.made()
		switch event {
		case "timer":
			r.do(c, "later 0")
			r.want(c, "timer") // of no connection
			r.do(c, "abort")
			r.wantLost(c, 2)
			continue
		case "lost":
			r.do(c, "abort")
			r.wantLost(c, 2)
			r.wantReset(c)
			continue
		case "data":
			c.send([]byte("x"))
			r.want(c, "data 1 1 2363233923")
		default:
			c.finish()
			r.want(c, event)
		}
		r.wantLost(c, 8)
		r.wantReset(c)
	}
	other.send(patternPart(0, 10))
	r.wantData(other, patternPart(0, 10))
}
