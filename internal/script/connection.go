package script

import (
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"
)

// Transport is what a connection's commands act on.
type Transport interface {
	Write(p []byte) error
	WriteSequence(pieces [][]byte) error
	Queued() (int, error) // what the last write has left queued

	LoseConnection()
	LoseWriteConnection()
	AbortConnection()
	PauseProducing()
	ResumeProducing()

	StartTLSClient(name string) error
	HandOver(first []byte) error           // to the factory of the same script
	RegisterProducer(streaming bool) error // of the Connection itself
	UnregisterProducer()
	SetTimeout(d time.Duration)
	CallLater(d time.Duration, fn func())
	State() (uint32, error)
}

// Connection is a protocol that obeys, but for what differs between native
// protocols and guests: they call Made and Lost, and its other methods are theirs.
type Connection struct {
	s       *Script
	number  int
	t       Transport
	on      map[string][]string
	written int
	total   int
	sum     uint32
	pull    int // pieces that are left
	refused bool
}

// Refused tells whether its protocol is refused; Held and Gone tell the test.
func (c *Connection) Refused() bool { return c.refused }

// Held is when it has to wait for its protocol.
func (c *Connection) Held() { c.event("held", "", nil) }

// Gone is when it has ended in that wait.
func (c *Connection) Gone() { c.event("gone", "", nil) }

// Made is connectionMade.
func (c *Connection) Made() { c.event("made", "", nil) }

// Lost is connectionLost.
func (c *Connection) Lost(reason int) { c.event("lost", fmt.Sprintf(" %d", reason), nil) }

// DataReceived tells how much came, in all too, and its checksum.
func (c *Connection) DataReceived(p []byte) {
	c.total += len(p)
	c.sum = crc32.Update(c.sum, crc32.IEEETable, p)
	c.event("data", fmt.Sprintf(" %d %d %d", len(p), c.total, c.sum), p)
}

// HandshakeCompleted is when TLS is up.
func (c *Connection) HandshakeCompleted() { c.event("handshake", "", nil) }

// PauseProducing is when output is above high water.
func (c *Connection) PauseProducing() { c.event("pause", "", nil) }

// ResumeProducing has a pull producer write its next piece.
func (c *Connection) ResumeProducing() {
	c.event("resume", "", nil)
	if c.pull > 0 {
		c.write([]int{1000}, false)
		if c.pull--; c.pull == 0 {
			c.call(c.t.UnregisterProducer)
		}
	}
}

// StopProducing comes before the loss.
func (c *Connection) StopProducing() { c.event("stop", "", nil) }

// HalfCloseable is a Connection that goes on after the peer's FIN.
type HalfCloseable struct{ *Connection }

// ReadConnectionLost says that the peer has closed its writing side.
func (c HalfCloseable) ReadConnectionLost() { c.event("readlost", "", nil) }

// WriteConnectionLost says that ours is closed.
func (c HalfCloseable) WriteConnectionLost() { c.event("writelost", "", nil) }

// event tells one, and does what is to be done at it.
func (c *Connection) event(name, args string, data []byte) {
	nested := ""
	if c.s.inside {
		nested = " nested"
	}
	c.s.tell("%d %s%s%s", c.number, name, args, nested)
	for _, command := range c.on[name] {
		c.do(strings.Fields(command), data)
	}
}

// call runs f, a call to the transport, and takes note if it calls back.
func (c *Connection) call(f func()) {
	c.s.inside = true
	defer func() { c.s.inside = false }()
	f()
}

const scriptedPanic = "the script says so"

func (c *Connection) do(words []string, data []byte) {
	if f := c.plain(words[0]); f != nil {
		c.call(f)
		return
	}
	number := func(i int) int {
		n, _ := strconv.Atoi(words[i]) // the test's own mistake, and it shows
		return n
	}
	ms := func() time.Duration { return time.Duration(number(1)) * time.Millisecond }
	switch words[0] {
	case "write":
		c.write([]int{number(1)}, false)
	case "sequence":
		var sizes []int
		for i := range words[1:] {
			sizes = append(sizes, number(i+1))
		}
		c.write(sizes, true)
	case "echo":
		c.call(func() { _ = c.t.Write(data) }) // over the limit: connectionLost says so
	case "push":
		c.register(true)
	case "pull":
		c.pull = number(1)
		c.register(false)
	case "timeout":
		c.call(func() { c.t.SetTimeout(ms()) })
	case "later":
		c.call(func() { c.t.CallLater(ms(), func() { c.event("timer", "", nil) }) })
	case "tlsclient":
		c.startTLSClient(words[1])
	case "hand":
		c.handOver(number(1), number(2))
	case "state":
		c.tellState()
	case "panic":
		panic(scriptedPanic)
	default:
		c.s.tell("%d unknown %s", c.number, strings.Join(words, " "))
	}
}

// plain is the call to the transport that word stands for, nil where it stands
// for none, or for more than that.
func (c *Connection) plain(word string) func() {
	switch word {
	case "lose":
		return c.t.LoseConnection
	case "losewrite":
		return c.t.LoseWriteConnection
	case "abort":
		return c.t.AbortConnection
	case "pause":
		return c.t.PauseProducing
	case "resume":
		return c.t.ResumeProducing
	case "unregister":
		return c.t.UnregisterProducer
	case "build", "refuse":
		if t, ok := c.t.(interface{ BuildAgain() }); ok {
			c.refused = word == "refuse"
			return t.BuildAgain
		}
	}
	return nil
}

func (c *Connection) startTLSClient(name string) {
	var err error
	c.call(func() { err = c.t.StartTLSClient(name) })
	if err != nil {
		c.s.tell("%d tlsclient error", c.number)
		return
	}
	c.s.tell("%d tlsclient begun", c.number)
}

func (c *Connection) handOver(offset, n int) {
	var err error
	c.call(func() { err = c.t.HandOver(Pattern(offset, n)) })
	if err != nil {
		c.s.tell("%d hand error", c.number)
	}
}

func (c *Connection) tellState() {
	bits, err := c.t.State()
	if err != nil {
		c.s.tell("%d state %v", c.number, err)
		return
	}
	c.s.tell("%d state %d", c.number, bits)
}

func (c *Connection) register(streaming bool) {
	var err error
	c.call(func() { err = c.t.RegisterProducer(streaming) })
	if err != nil {
		c.s.tell("%d busy", c.number)
		return
	}
	c.s.tell("%d registered", c.number)
}

// maxCall is the most that one call writes.
const maxCall = 64 << 10

// write writes pieces of the pattern.
func (c *Connection) write(sizes []int, sequence bool) {
	queued, err := 0, error(nil)
	c.call(func() {
		if sequence {
			err = c.t.WriteSequence(c.pieces(sizes))
		}
		for left := sizes[0]; left > 0 && err == nil && !sequence; {
			n := min(left, maxCall)
			err = c.t.Write(Pattern(c.written, n))
			c.written += n
			left -= n
		}
		if err == nil {
			queued, err = c.t.Queued()
		}
	})
	if err != nil {
		c.s.tell("%d wrote error", c.number)
		return
	}
	c.s.tell("%d wrote %d", c.number, queued)
}

func (c *Connection) pieces(sizes []int) (list [][]byte) {
	for _, n := range sizes {
		list = append(list, Pattern(c.written, n))
		c.written += n
	}
	return list
}
