package reactor

import "time"

// turnBounds are the upper bounds of LoopDetails.Turns but for the last, which has none.
var turnBounds = [...]time.Duration{
	100 * time.Microsecond, time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond,
	20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond,
	500 * time.Millisecond, time.Second, 5 * time.Second,
}

// TurnBounds are the upper bounds of LoopDetails.Turns but for the last, which has none.
func TurnBounds() []time.Duration { return turnBounds[:len(turnBounds):len(turnBounds)] }

// LoopDetails are what a loop has counted, ever, for itself alone.
type LoopDetails struct {
	// Turns is a histogram of how long turns took that had something to do, by TurnBounds:
	// for so long another ready connection may have waited. TurnTime is their sum.
	Turns    [len(turnBounds) + 1]uint64
	TurnTime time.Duration
	LostBy   [len(reasonTexts)]uint64 // connections that have ended, by Reason
}

// Details are the loop's. Loop only.
func (l *Loop) Details() LoopDetails { return l.details }

func (d *LoopDetails) addTurn(took time.Duration) {
	n := 0
	for n < len(turnBounds) && took > turnBounds[n] {
		n++
	}
	d.Turns[n]++
	d.TurnTime += took
}

// Ended is what Config.Ended is told. It holds for the time of the call.
type Ended struct {
	Transport Transport // its getters answer
	Protocol  Protocol  // nil: it never had one
	Listener  *Listener // that accepted it; nil: it is outgoing
	Reason    Reason
	Err       error // says more; nil = nothing
}

// Age is how long it was since it was accepted, or Connect was called. Loop only.
func (e Ended) Age() time.Duration { return e.Transport.Loop().sys.Now() - e.Transport.Stats().Opened }

// TLS is the version of TLS, such as 0x0304 for 1.3, and the name that the client asked
// for; 0 and "" where it is not known. Loop only.
func (e Ended) TLS() (version uint16, serverName string) {
	c, ok := e.Transport.(*connection)
	if !ok {
		return 0, ""
	}
	f := c.tlsFacts()
	return f.version, f.serverName
}

// tellEnded tells of a connection that is over, before anything of it is let go of.
func (c *connection) tellEnded() {
	tell := c.loop.r.cfg.Ended
	if tell == nil {
		return
	}
	p := c.proto
	if p == nil && c.client != nil {
		p = c.client.proto
	}
	tell(Ended{Transport: c, Protocol: p, Listener: c.listener, Reason: c.reason, Err: c.err})
}
