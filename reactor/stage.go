package reactor

// stage is how far a connection's life has come. enter is the only one that
// changes it, and follows is the table of its steps:
//
//	  Connect         accepted
//	     |                |            a Later
//	     v                v         ------------>
//	connecting -----> unbuilt                     awaiting
//	     |                |         <------------    |
//	     |                |            BuildAgain    |
//	     |                v ConnectionMade           |
//	     |              open                         |
//	     |                v LoseConnection           |
//	     |             closing                       |
//	     v                v                          v
//	------------------- over ---------------------------   endWith, from any of these
//	                      v StopProducing, of a producer
//	                  stopping
//	                      v ConnectionLost
//	                    lost
//	                      v where we have closed in order
//	                 lingering
//	                      v the peer has closed too
//	                    gone
//
// From open and closing a connection may be frozen, and go back from there; one that is
// adopted begins there. From open it may be handed over, and is awaiting again, for
// another protocol.
//
// Without a producer over is followed by lost, and after a loss that is not an
// orderly close by us lost by gone. Any stage but the last may be followed by
// gone: a connection that is refused before it has a protocol, and what is left
// when the end of a loop has taken too long.
type stage uint8

const (
	stageConnecting stage = iota // Connect has no socket that is made: a name is resolved, addresses are tried
	stageUnbuilt                 // no protocol yet: its PROXY header, its factory or, of Connect, TLS is awaited
	stageAwaiting                // its factory had no protocol yet; it is in Loop.awaiting
	stageOpen                    // it has its protocol
	stageClosing                 // LoseConnection was called: output is flushed, a producer waited for
	stageOver                    // it has its reason, and the protocol is to be told
	stageStopping                // its producer was told, the protocol is still to be
	stageLost                    // the protocol was told
	stageLingering               // the protocol is gone; input is drained until the peer closes
	stageFrozen                  // of Freeze: nothing happens to it until Thaw or Forget
	stageHanding                 // of HandOver: its protocol is to be told, or it changes loops
	stageGone                    // its socket is closed and its slot given back
)

// follows are the stages that may come after each.
var follows = [...]uint16{
	stageConnecting: 1<<stageUnbuilt | 1<<stageOver | 1<<stageGone,
	stageUnbuilt:    1<<stageAwaiting | 1<<stageOpen | 1<<stageOver | 1<<stageGone,
	stageAwaiting:   1<<stageUnbuilt | 1<<stageOver | 1<<stageGone,
	stageOpen:       1<<stageClosing | 1<<stageOver | 1<<stageGone | 1<<stageFrozen | 1<<stageHanding,
	stageClosing:    1<<stageOver | 1<<stageGone | 1<<stageFrozen,
	// unbuilt: buildProtocol says why
	stageOver:      1<<stageUnbuilt | 1<<stageStopping | 1<<stageLost | 1<<stageGone,
	stageStopping:  1<<stageLost | 1<<stageGone,
	stageLost:      1<<stageLingering | 1<<stageGone,
	stageLingering: 1 << stageGone,
	stageFrozen:    1<<stageOpen | 1<<stageClosing | 1<<stageGone,
	stageHanding:   1<<stageAwaiting | 1<<stageOver | 1<<stageGone,
	stageGone:      0,
}

var stageTexts = [...]string{
	stageConnecting: "connecting", stageUnbuilt: "unbuilt", stageAwaiting: "awaiting", stageOpen: "open",
	stageClosing: "closing", stageOver: "over", stageStopping: "stopping", stageLost: "lost",
	stageLingering: "lingering", stageFrozen: "frozen", stageHanding: "handed over", stageGone: "gone",
}

func (s stage) String() string { return stageTexts[s] }

const notAStep = "a connection takes a step that its life does not have"

// enter takes the connection to its next stage. A step that follows does not
// have is a fault of this package's: it is logged, which the suite and the
// simulator take for a failure, and taken all the same.
func (c *connection) enter(s stage) {
	if follows[c.stage]>>s&1 == 0 {
		c.loop.r.log.Error(notAStep, "from", c.stage, "to", s)
	}
	c.stage = s
	if s < stageOver {
		c.reached = s
	}
}

// ended tells whether it is over: nothing is read or written any more, though
// the protocol may still have to be told.
func (c *connection) ended() bool { return c.stage >= stageOver }

// unbuilt tells whether it has no protocol, or had none when it was over.
func (c *connection) unbuilt() bool { return c.reached < stageOpen }

// closing tells whether LoseConnection was called before it was over.
func (c *connection) closing() bool { return c.reached == stageClosing }

// side is how far one direction of a connection has come.
type side uint8

const (
	sideOpen   side = iota
	sideEnding      // reading: a FIN was seen behind bytes that are not read; writing: LoseWriteConnection was called
	sideEnded       // reading: the end of file was read; writing: it is shut down
)
