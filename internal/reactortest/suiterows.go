package reactortest

import (
	"testing"
	"time"
)

// short is a limit of time for rows that wait until it has passed.
const short = 200 * time.Millisecond

// much is more than the system buffers of a connection take, and less than the
// default hard cap.
const much = 12 << 20

// Suite runs every row of what a connection promises, each as a subtest with the
// row's name. Rows with limits of time wait for them on real sockets, and turn
// the clock where there is one; no row sleeps.
func Suite(t *testing.T, b Backend) {
	rows := []struct {
		name     string
		settings Settings
		run      func(*rig)
	}{
		{"connectionMade/before any read", Settings{}, rowMade},
		{"connectionMade/a fault in it aborts", Settings{alone: true}, rowMadeFault},
		{"dataReceived/chunks", Settings{}, rowData},
		{"connectionLost/once, last, not nested", Settings{}, rowLostOnce},
		{"write/high water pauses reading and the producer", Settings{}, rowWater},
		{"write/the producer's and the protocol's pause are separate", Settings{}, rowSeparatePauses},
		{"write/over the hard cap", Settings{MaxQueued: 1 << 20}, rowCap},
		{"write/without progress for write_timeout", Settings{WriteTimeout: short}, rowWriteTimeout},
		{"write/writeSequence", Settings{}, rowSequence},
		{"write after loseConnection", Settings{}, rowWriteAfterLose},
		{"loseConnection/flushes", Settings{}, rowLoseFlushes},
		{"loseConnection/stops reading", Settings{}, rowLoseStopsReading},
		{"loseConnection/a slow reader gets everything", Settings{CloseTimeout: short}, rowSlowReader},
		{"loseConnection/close_timeout", Settings{CloseTimeout: short}, rowCloseTimeout},
		{"loseConnection with a producer/waits", Settings{}, rowLoseProducer},
		{"loseConnection with a producer/within close_timeout", Settings{CloseTimeout: short}, rowLoseProducerTimeout},
		{"loseConnection with a producer/within close_timeout, half-closed", Settings{CloseTimeout: short}, rowLoseProducerHalfClosed},
		{"abortConnection", Settings{}, rowAbort},
		{"abortConnection/inside connectionLost does nothing", Settings{}, rowAbortInLost},
		{"peer closes its writing side/not half-closeable", Settings{}, rowFin},
		{"peer closes its writing side/half-closeable", Settings{}, rowHalfClose},
		{"FIN together with data", Settings{}, rowFinWithData},
		{"FIN or reset while reading is paused/FIN", Settings{}, rowFinPaused},
		{"FIN or reset while reading is paused/reset", Settings{}, rowResetPaused},
		{"FIN or reset while reading is paused/closed_timeout", Settings{ClosedTimeout: short}, rowClosedTimeout},
		{"loseWriteConnection/flushes", Settings{}, rowLoseWrite},
		{"loseWriteConnection/waits for a producer", Settings{}, rowLoseWriteProducer},
		{"loseWriteConnection/both sides closed", Settings{}, rowBothClosed},
		{"loseWriteConnection/waits for the handshake", Settings{}, rowLoseWriteAtOnce},
		{"pause and resume reading", Settings{}, rowPause},
		{"pause and resume reading/resume after loseConnection", Settings{}, rowResumeAfterLose},
		{"producers/one at a time", Settings{}, rowOneProducer},
		{"producers/pull", Settings{}, rowPull},
		{"producers/pull, with bytes to be delivered", Settings{}, rowPullAndRead},
		{"producers/push before TLS is up", Settings{}, rowProducerInHandshake},
		{"producers/stopped on loss", Settings{}, rowStopProducing},
		{"protocol that is late/what came before it", Settings{}, rowHeld},
		{"protocol that is late/half-closed before it", Settings{}, rowHeldFin},
		{"protocol that is late/refused", Settings{}, rowHeldRefused},
		{"protocol that is late/reset before it", Settings{}, rowHeldReset},
		{"protocol that is late/handshake_timeout", Settings{HandshakeTimeout: short}, rowHeldTimeout},
		{"timers", Settings{}, rowTimers},
		{"timers and closing", Settings{}, rowTimerAfterLoss},
		{"idle timeout", Settings{}, rowIdle},
		{"listening stops", Settings{alone: true}, rowStopListening},
		{"shutdown/lets connections finish", Settings{alone: true}, rowShutdownDrains},
		{"shutdown/ends the rest", Settings{alone: true}, rowShutdownEnds},
		{"out of file descriptors", Settings{alone: true}, rowDescriptors},
		{"handler fault", Settings{alone: true}, rowFault},
	}
	servers := map[Settings]*Server{}
	for _, row := range rows {
		passed := t.Run(row.name, func(one *testing.T) {
			if !b.Share || row.settings.alone {
				row.run(newRig(one, b, b.Serve(one, row.settings), false))
				return
			}
			if servers[row.settings] == nil {
				servers[row.settings] = b.Serve(t, row.settings)
			}
			row.run(newRig(one, b, servers[row.settings], true))
		})
		if !passed { // nobody knows what it has left behind
			delete(servers, row.settings)
		}
	}
}

func rowMade(r *rig) {
	c := r.dial()
	c.send(patternPart(0, 100))
	r.want(c, "made")
	if r.b.TLS {
		r.want(c, "handshake")
	}
	r.wantData(c, patternPart(0, 100))
}

func (r *rig) skipTraps() {
	if r.b.Traps {
		r.t.Skip("a fault ends the control connection too; another test is for it")
	}
}

func rowMadeFault(r *rig) {
	r.skipTraps()
	other := r.made()
	r.send("on made panic")
	c := r.dial()
	r.want(c, "made")
	r.wantLost(c, 8)
	r.wantReset(c)
	other.send(patternPart(0, 10))
	r.wantData(other, patternPart(0, 10))
}

func rowData(r *rig) {
	c := r.made()
	const n = 1 << 20
	p := patternPart(0, n)
	var pieces [][]byte
	for i := range 100 {
		pieces = append(pieces, p[i:i+1])
	}
	defer c.start(false, append(pieces, p[100:])...)()
	r.wantData(c, p)
	r.wantQuiet(c)
}

func rowLostOnce(r *rig) {
	for _, test := range []struct {
		event, command string
		reason         int
	}{
		{"made", "lose", 0}, {"made", "abort", 2}, {"data", "lose", 0}, {"data", "abort", 2}, {"readlost", "lose", 0}, {"readlost", "abort", 2},
		{"readlost", "losewrite", 0}, {"timer", "abort", 2},
	} {
		r.send("clear")
		r.send("on %s %s", test.event, test.command)
		if test.event == "timer" {
			r.send("on made later 0")
		}
		c := r.dial()
		r.want(c, "made")
		switch test.event {
		case "data", "readlost":
			if r.b.TLS {
				r.want(c, "handshake")
			}
			c.send([]byte("x"))
			r.want(c, "data 1 1 2363233923")
			if test.event == "readlost" {
				c.finish()
				r.want(c, "readlost")
			}
		case "timer":
			if e := r.next(c); e != "timer" {
				r.want(c, "timer") // after the handshake
			}
		}
		if test.command == "losewrite" {
			r.want(c, "writelost")
		}
		r.wantLost(c, test.reason)
		c.raw.Close()
		r.wantQuiet(c)
	}
}

func rowWater(r *rig) {
	r.send("on made push")
	c := r.dial()
	r.want(c, "made", "registered")
	if r.b.TLS {
		r.want(c, "handshake")
	}
	r.do(c, "write 12582912")
	if q := r.wantWrote(c); q < 64<<10 {
		r.t.Fatalf("%d bytes queued of %d that nobody reads", q, much)
	}
	r.want(c, "pause")
	c.send(patternPart(0, 10)) // is not read until the output is below low water
	r.wantQuiet(c)
	c.wantSome(0, much)
	// Both come at low water; which one first is the system's choice.
	r.want(c, "resume")
	r.wantData(c, patternPart(0, 10))
	r.do(c, "unregister")
	r.do(c, "lose")
	r.wantLost(c, 0)
}

func rowSeparatePauses(r *rig) {
	r.send("on made pause")
	c := r.made()
	r.do(c, "write 12582912")
	r.wantWrote(c)
	c.send(patternPart(0, 10))
	c.wantSome(0, much)
	r.wantQuiet(c)
	r.do(c, "resume")
	r.wantData(c, patternPart(0, 10))
}

func rowCap(r *rig) {
	c := r.made()
	r.do(c, "write 67108864")
	r.want(c, "wrote error")
	r.wantLost(c, 7)
	r.wantReset(c)
}

func rowWriteTimeout(r *rig) {
	c := r.made()
	r.do(c, "write 12582912")
	r.wantWrote(c)
	r.pass(short)
	r.wantLost(c, 3)
	r.wantReset(c)
}

func rowSequence(r *rig) {
	c := r.made()
	r.do(c, "sequence 1 0 300 20000 70000 5")
	r.wantWrote(c)
	r.do(c, "lose")
	c.wantAll(90306)
	r.wantLost(c, 0)
}

func rowWriteAfterLose(r *rig) {
	c := r.made()
	r.do(c, "write 12582912") // so that the flush has not ended
	r.wantWrote(c)
	r.do(c, "lose")
	r.do(c, "write 1000")
	r.want(c, "wrote 0")
	c.wantAll(much)
	r.wantLost(c, 0)
}

func rowLoseFlushes(r *rig) {
	r.send("on made write 12582912")
	r.send("on made lose")
	c := r.dial()
	r.want(c, "made")
	r.wantWrote(c)
	c.wantAll(much)
	if e := r.next(c); e != "lost 0" && !(r.b.TLS && e == "handshake") {
		r.t.Errorf("found %q, wanted the loss", e)
	}
}
