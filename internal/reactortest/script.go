package reactortest

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wirehost/wirehost/reactor"
)

// Script is the factory of protocols that do what they are told, and tell what
// they are told: the native one of the two that Suite is for. A guest that obeys
// the same words can stand in its place.
//
// The first connection that is made is the control connection. It carries lines.
// From the test:
//
//	on EVENT COMMAND   from now on, new connections do COMMAND at each EVENT;
//	                   EVENT is one of those below, without its arguments
//	clear              forgets those
//	half on|off        whether new connections go on after the peer's FIN (off:
//	                   as a protocol without readConnectionLost)
//	hold on|off        whether new connections have to wait for their protocol;
//	                   each is told of with "N held" (native scripts only)
//	ping WORD          is answered with "pong WORD"
//	N COMMAND          connection N does COMMAND now; the others count from 1
//
// The commands:
//
//	write N            N bytes of Pattern, from where the last write ended, in
//	                   calls of at most 64 KiB; tells "wrote QUEUED" of the last,
//	                   or "wrote error"
//	sequence A B ...   the same with one writeSequence of pieces of A, B, ... bytes
//	echo               (at data) writes what came
//	lose, losewrite, abort, pause, resume, unregister
//	push               registers a push producer; tells "registered" or "busy"
//	pull N             registers a pull producer that writes N pieces of 1000 bytes
//	                   and then unregisters
//	timeout MS, later MS
//	state              tells "state BITS"
//	panic              a native protocol panics, a guest traps
//	build, refuse      (of one that is held) its protocol is there, or is refused
//
// To the test, each after the connection's number:
//
//	made, data LEN TOTAL CRC32, readlost, writelost, lost REASON, handshake,
//	pause, resume, stop, timer; of one that is held, gone
//
// with " nested" behind them if they came inside a call to the transport.
type Script struct {
	control reactor.Transport
	line    []byte
	conns   []*scripted
	on      map[string][]string
	half    bool
	hold    bool
	inside  bool // a call to the transport runs
}

// NewScript makes a factory for one loop.
func NewScript() *Script { return &Script{on: map[string][]string{}, half: true} }

// BuildProtocol makes the control connection's protocol, then scripted ones.
func (s *Script) BuildProtocol(t reactor.Transport) (reactor.Protocol, error) {
	if s.control == nil {
		s.control = t
		return (*control)(s), nil
	}
	c := &scripted{s: s, number: len(s.conns) + 1, on: map[string][]string{}}
	for event, list := range s.on {
		c.on[event] = list[:len(list):len(list)]
	}
	s.conns = append(s.conns, c)
	var p reactor.Protocol = c
	if s.half {
		p = scriptedHalf{c}
	}
	if s.hold {
		c.t = t
		c.event("held", "", nil)
		return nil, held{c, p}
	}
	return p, nil
}

// held is who is asked again for the protocol of a connection that is held.
type held struct {
	c *scripted
	p reactor.Protocol
}

func (h held) Error() string { return "held by the script" }
func (h held) Gone()         { h.c.event("gone", "", nil) }

func (h held) BuildProtocol(reactor.Transport) (reactor.Protocol, error) {
	if h.c.refused {
		return nil, errors.New("refused by the script")
	}
	return h.p, nil
}

// control is the control connection's protocol.
type control Script

func (s *control) ConnectionMade(t reactor.Transport)            { s.control = t }
func (s *control) ConnectionLost(reason reactor.Reason, _ error) {}
func (s *control) DataReceived(p []byte) {
	s.line = append(s.line, p...)
	for {
		line, rest, ok := bytes.Cut(s.line, []byte("\n"))
		if !ok {
			return
		}
		s.line = rest
		(*Script)(s).obey(strings.Fields(string(line)))
	}
}

func (s *Script) tell(format string, args ...any) {
	_, _ = s.control.Write(fmt.Appendf(nil, format+"\n", args...)) // the test sees that it is missing
}

func (s *Script) obey(words []string) {
	switch words[0] {
	case "on":
		s.on[words[1]] = append(s.on[words[1]], strings.Join(words[2:], " "))
	case "clear":
		clear(s.on)
	case "half":
		s.half = words[1] == "on"
	case "hold":
		s.hold = words[1] == "on"
	case "ping":
		s.tell("pong %s", words[1])
	default:
		n, err := strconv.Atoi(words[0])
		if err != nil || n < 1 || n > len(s.conns) {
			s.tell("0 unknown %s", strings.Join(words, " "))
			return
		}
		s.conns[n-1].do(words[1:], nil)
	}
}

// scripted is a protocol that obeys.
type scripted struct {
	s       *Script
	number  int
	t       reactor.Transport
	on      map[string][]string
	written int
	total   int
	sum     uint32
	pull    int // pieces that are left
	refused bool
}

// event tells one, and does what is to be done at it.
func (c *scripted) event(name, args string, data []byte) {
	nested := ""
	if c.s.inside {
		nested = " nested"
	}
	c.s.tell("%d %s%s%s", c.number, name, args, nested)
	for _, command := range c.on[name] {
		c.do(strings.Fields(command), data)
	}
}

func (c *scripted) ConnectionMade(t reactor.Transport) {
	c.t = t
	c.event("made", "", nil)
}

func (c *scripted) DataReceived(p []byte) {
	c.total += len(p)
	c.sum = crc32.Update(c.sum, crc32.IEEETable, p)
	c.event("data", fmt.Sprintf(" %d %d %d", len(p), c.total, c.sum), p)
}

func (c *scripted) ConnectionLost(reason reactor.Reason, _ error) {
	c.event("lost", fmt.Sprintf(" %d", reason), nil)
}

func (c *scripted) HandshakeCompleted() { c.event("handshake", "", nil) }
func (c *scripted) PauseProducing()     { c.event("pause", "", nil) }
func (c *scripted) StopProducing()      { c.event("stop", "", nil) }

func (c *scripted) ResumeProducing() {
	c.event("resume", "", nil)
	if c.pull > 0 {
		c.write([]int{1000}, false)
		if c.pull--; c.pull == 0 {
			c.call(c.t.UnregisterProducer)
		}
	}
}

type scriptedHalf struct{ *scripted }

func (c scriptedHalf) ReadConnectionLost()  { c.event("readlost", "", nil) }
func (c scriptedHalf) WriteConnectionLost() { c.event("writelost", "", nil) }

// call runs f, a call to the transport, and takes note if it calls back.
func (c *scripted) call(f func()) {
	c.s.inside = true
	defer func() { c.s.inside = false }()
	f()
}

const scriptedPanic = "the script says so"

func (c *scripted) do(words []string, data []byte) {
	number := func(i int) int {
		n, _ := strconv.Atoi(words[i]) // the test's own mistake, and it shows
		return n
	}
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
		c.call(func() { _, _ = c.t.Write(data) }) // over the limit: connectionLost says so
	case "lose":
		c.call(c.t.LoseConnection)
	case "losewrite":
		c.call(c.t.LoseWriteConnection)
	case "abort":
		c.call(c.t.AbortConnection)
	case "pause":
		c.call(c.t.PauseProducing)
	case "resume":
		c.call(c.t.ResumeProducing)
	case "unregister":
		c.call(c.t.UnregisterProducer)
	case "build", "refuse":
		c.refused = words[0] == "refuse"
		c.call(c.t.BuildAgain)
	case "push":
		c.register(true)
	case "pull":
		c.pull = number(1)
		c.register(false)
	case "timeout":
		c.call(func() { c.t.SetTimeout(time.Duration(number(1)) * time.Millisecond) })
	case "later":
		c.call(func() {
			c.t.Loop().CallLater(time.Duration(number(1))*time.Millisecond, func() { c.event("timer", "", nil) })
		})
	case "state":
		c.s.tell("%d state %d", c.number, c.t.State())
	case "panic":
		panic(scriptedPanic)
	default:
		c.s.tell("%d unknown %s", c.number, strings.Join(words, " "))
	}
}

func (c *scripted) register(streaming bool) {
	var err error
	c.call(func() { err = c.t.RegisterProducer(c, streaming) })
	if err != nil {
		c.s.tell("%d busy", c.number)
		return
	}
	c.s.tell("%d registered", c.number)
}

// write writes pieces of the pattern.
func (c *scripted) write(sizes []int, sequence bool) {
	var queued int
	var err error
	c.call(func() {
		if sequence {
			var pieces [][]byte
			for _, n := range sizes {
				pieces = append(pieces, Pattern(c.written, n))
				c.written += n
			}
			queued, err = c.t.WriteSequence(pieces)
			return
		}
		for left := sizes[0]; left > 0 && err == nil; {
			n := min(left, 64<<10)
			queued, err = c.t.Write(patternPart(c.written, n))
			c.written += n
			left -= n
		}
	})
	if err != nil {
		c.s.tell("%d wrote error", c.number)
		return
	}
	c.s.tell("%d wrote %d", c.number, queued)
}

// patternTable is the beginning of Pattern, made once: the suite uses much of it.
var patternTable = sync.OnceValue(func() []byte { return Pattern(0, much) })

// patternPart is Pattern, for those who only read it.
func patternPart(offset, n int) []byte {
	if offset+n <= much {
		return patternTable()[offset : offset+n : offset+n]
	}
	return Pattern(offset, n)
}
