package reactortest

import (
	"github.com/wirehost/wirehost/internal/script"
	"github.com/wirehost/wirehost/reactor"
)

func rowMade(r *rig) {
	c := r.dial()
	c.send(script.Pattern(0, 100))
	r.want(c, "made")
	r.wantHandshake(c)
	r.wantData(c, script.Pattern(0, 100))
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
	r.wantLost(c, reactor.ProtocolFailed)
	r.wantReset(c)
	other.send(script.Pattern(0, 10))
	r.wantData(other, script.Pattern(0, 10))
}

func rowLostOnce(r *rig) {
	for _, test := range []struct {
		event, command string
		reason         reactor.Reason
	}{
		{"made", "lose", reactor.Done}, {"made", "abort", reactor.Aborted},
		{"data", "lose", reactor.Done}, {"data", "abort", reactor.Aborted},
		{"readlost", "lose", reactor.Done}, {"readlost", "abort", reactor.Aborted},
		{"readlost", "losewrite", reactor.Done},
		{"timer", "abort", reactor.Aborted},
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
			r.wantHandshake(c)
			c.send([]byte("x"))
			r.wantData(c, []byte("x"))
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
			r.wantLost(c, reactor.Aborted)
			continue
		case "lost":
			r.do(c, "abort")
			r.wantLost(c, reactor.Aborted)
			r.wantReset(c)
			continue
		case "data":
			c.send([]byte("x"))
			r.wantData(c, []byte("x"))
		default:
			c.finish()
			r.want(c, event)
		}
		r.wantLost(c, reactor.ProtocolFailed)
		r.wantReset(c)
	}
	other.send(script.Pattern(0, 10))
	r.wantData(other, script.Pattern(0, 10))
}
