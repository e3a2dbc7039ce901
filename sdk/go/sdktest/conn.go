package sdktest

import (
	"fmt"
	"slices"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// Most bytes that one DataReceived gets.
const mostReceived = 64 << 10

// Conn is a connection as its peer sees it.
type Conn struct {
	Endpoint string // of an outgoing connection, what the plugin asked for
	As       *Conn  // of one of ConnectAs, that on whose behalf it is; else nil

	// HandedTo is the plugin that it was handed over to, and HandedFirst what that one gets first.
	HandedTo    string
	HandedFirst []byte

	server  *Server
	handle  int32
	bits    wirehost.State
	peer    string
	host    string
	alpn    string
	cert    []byte
	pending bool // outgoing, neither made nor failed

	listener int32 // a Port's handle, or 0

	input   []byte // sent by the peer, not yet delivered: reading is paused
	shaking bool   // from StartTLS until Handshake
	fin     bool   // and behind it the end of the peer's writing
	out     []byte // written by the plugin, since Take
	queued  int    // bytes of it that the peer has not read
	stalled bool   // the peer does not read

	push, pull bool // a producer is registered
	throttled  bool // and was told to pause
	fed        bool // and wrote since it was asked last
	half       bool // LoseWriteConnection waits for it
	idle       int32
	aborted    bool
	ended      bool
	reason     wirehost.Reason
}

// Handle is the number that the plugin knows the connection by.
func (c *Conn) Handle() int32 { return c.handle }

// must says that there is no connection, where a test has not looked at what Accept gave.
func (c *Conn) must() {
	if c == nil {
		panic("sdktest: found no connection: Accept gives nil where the factory refuses it")
	}
}

// Send lets the peer send text.
func (c *Conn) Send(text string) { c.SendBytes([]byte(text)) }

// SendBytes lets the peer send data. It is delivered in pieces of at most 64
// KiB; what the plugin does not read now is delivered when it resumes. What comes
// after the plugin closed is dropped. Between the plugin's StartTLS and Handshake
// it is plain text where TLS is wanted, which ends the connection (TLSFailure),
// and so does what was not yet delivered when StartTLS was called.
func (c *Conn) SendBytes(data []byte) {
	if c.must(); c.fin {
		panic("sdktest: Send after Finish")
	}
	c.input = append(c.input, data...)
	c.server.callback(c.deliver)
}

// Finish closes the peer's writing side.
func (c *Conn) Finish() {
	c.must()
	c.fin = true
	c.server.callback(c.deliver)
}

// deliver gives the plugin what it may get now: one piece, and the rest after
// the callback.
func (c *Conn) deliver() {
	if c.shaking && (len(c.input) > 0 || c.fin) {
		c.lose(wirehost.TLSFailure)
	}
	if c.ended || c.pending || c.bits&(wirehost.StatePaused|wirehost.StateClosing) != 0 {
		return
	}
	switch {
	case len(c.input) > 0:
		n := min(len(c.input), mostReceived)
		piece := slices.Clone(c.input[:n])
		c.input = c.input[n:]
		c.active()
		c.server.guest.DataReceived(c.handle, piece)
		for i := range piece { // a protocol that kept it notices
			piece[i] = 0xdb
		}
		c.server.later(c.deliver)
	case c.fin && c.bits&wirehost.StatePeerClosed == 0:
		c.bits |= wirehost.StatePeerClosed
		c.server.guest.ReadConnectionLost(c.handle)
		c.server.later(c.settle)
	}
}

// Break ends the connection for reason, as if the network or the server did.
func (c *Conn) Break(reason wirehost.Reason) { c.server.callback(func() { c.lose(reason) }) }

// Handshake completes TLS, with what ALPN agreed on and the peer's certificate.
func (c *Conn) Handshake(alpn string, cert []byte) {
	c.bits |= wirehost.StateTLS
	c.shaking = false
	c.alpn, c.cert = alpn, cert
	c.server.callback(func() { c.server.guest.HandshakeCompleted(c.handle) })
}

// Establish makes a connection that the plugin asked for.
func (c *Conn) Establish() {
	c.mustPend()
	c.pending = false
	c.server.drop(-c.handle)
	c.peer, c.host = c.Endpoint, "tcp://127.0.0.1:40000"
	c.server.callback(func() {
		c.server.guest.ConnectionMade(c.handle)
		c.server.later(c.deliver)
	})
}

// Fail lets a connection that the plugin asked for fail.
func (c *Conn) Fail(reason wirehost.Reason) {
	c.mustPend()
	c.server.callback(func() { c.fail(reason) })
}

func (c *Conn) mustPend() {
	if !c.pending {
		panic(fmt.Sprintf("sdktest: connection %d is not one that is being made", c.handle))
	}
}

func (c *Conn) fail(reason wirehost.Reason) {
	if c.pending {
		c.pending = false
		c.last(reason, func() { c.server.guest.ClientConnectionFailed(c.handle, reason) })
	}
}

// lose delivers the loss, once.
func (c *Conn) lose(reason wirehost.Reason) {
	if c.ended || c.pending {
		return
	}
	if c.push || c.pull {
		c.push, c.pull = false, false
		c.server.guest.StopProducing(c.handle)
	}
	c.last(reason, func() { c.server.guest.ConnectionLost(c.handle, reason) })
}

// last runs a connection's last callback.
func (c *Conn) last(reason wirehost.Reason, call func()) {
	c.server.drop(-c.handle)
	c.ended, c.reason = true, reason
	c.server.inside = c
	call()
	c.server.inside = nil
	delete(c.server.conns, c.handle)
}

// Output is what the plugin wrote since the last Take.
func (c *Conn) Output() string {
	c.must()
	return string(c.out)
}

// Take is Output, and forgets it.
func (c *Conn) Take() string {
	text := c.Output()
	c.out = nil
	return text
}

// Stall lets the peer read no more: output stays queued until Drain.
func (c *Conn) Stall() { c.stalled = true }

// Queued is how many bytes the peer has not read.
func (c *Conn) Queued() int { return c.queued }

// Drain lets a peer that is stalled read all that is queued now. It stays
// stalled.
func (c *Conn) Drain() {
	c.server.callback(func() {
		c.queued = 0
		c.active()
		c.settle()
	})
}

// settle does what an output that has become shorter brings with it.
func (c *Conn) settle() {
	if c.ended || c.pending {
		return
	}
	if !c.stalled {
		c.queued = 0
	}
	if c.push && c.throttled && c.queued < c.server.options.Low {
		c.throttled = false
		c.server.guest.ResumeProducing(c.handle)
	}
	if c.pull && c.queued == 0 {
		if !c.fed { // once per emptying
			return
		}
		c.fed = false
		c.server.guest.ResumeProducing(c.handle)
		if !c.stalled {
			c.server.later(c.settle)
		}
		return
	}
	c.finishClosing()
}

// finishClosing closes what waits for the output and the producer.
func (c *Conn) finishClosing() {
	if c.ended || c.queued > 0 || c.push || c.pull {
		return
	}
	if c.half {
		c.half = false
		c.bits |= wirehost.StateWriteClosed
		c.server.guest.WriteConnectionLost(c.handle)
	}
	const both = wirehost.StatePeerClosed | wirehost.StateWriteClosed
	if c.bits&wirehost.StateClosing != 0 || c.bits&both == both {
		c.server.later(func() { c.lose(wirehost.Done) })
	}
}

// State is the connection's state as the plugin sees it.
func (c *Conn) State() wirehost.State {
	const never = wirehost.StateTLS | wirehost.StateOutgoing | wirehost.StateClosing | wirehost.StateWriteClosed
	if c.server.options.TLS && !c.ended && c.bits&never == 0 {
		return c.bits | wirehost.StateCanStartTLS
	}
	return c.bits
}

// Disconnecting tells whether LoseConnection was called, or the connection has
// ended.
func (c *Conn) Disconnecting() bool { return c.ended || c.bits&wirehost.StateClosing != 0 }

// Ended tells whether the connection has ended, and why.
func (c *Conn) Ended() (wirehost.Reason, bool) { return c.reason, c.ended }

// Producer tells which kind of producer is registered.
func (c *Conn) Producer() (registered, streaming bool) { return c.push || c.pull, c.push }

// active begins the idle time anew.
func (c *Conn) active() {
	s := c.server
	s.drop(-c.handle)
	if c.idle > 0 && !c.ended {
		s.at(&timer{handle: -c.handle, call: func() { c.lose(wirehost.Timeout) }},
			time.Duration(c.idle)*time.Millisecond)
	}
}
