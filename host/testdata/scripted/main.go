// Command scripted is the guest that obeys the words of reactortest.Script, so
// that every promise of a connection can be held against guests as well.
package main

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// scripts is the factory: a control connection, and those that come after it,
// have a script of their own.
type scripts struct{ now *script }

func (f *scripts) BuildProtocol(t *wirehost.Transport) wirehost.Protocol {
	if f.now == nil {
		f.now = &script{on: map[string][]string{}, half: true}
		f.now.control = &control{s: f.now, f: f}
		return f.now.control
	}
	return f.now.build()
}

// script is what one control connection rules.
type script struct {
	control *control
	conns   []*scripted
	on      map[string][]string
	half    bool
	inside  bool // a call to the server runs
}

func (s *script) build() wirehost.Protocol {
	c := &scripted{s: s, number: len(s.conns) + 1, on: map[string][]string{}}
	for event, list := range s.on {
		c.on[event] = list[:len(list):len(list)]
	}
	s.conns = append(s.conns, c)
	if s.half {
		return &scriptedHalf{c}
	}
	return c
}

// control is the control connection.
type control struct {
	wirehost.Base
	f    *scripts
	s    *script
	line []byte
}

// ConnectionLost ends the script: the next connection is the control connection
// of another.
func (p *control) ConnectionLost(wirehost.Reason) { p.f.now = nil }

func (p *control) DataReceived(data []byte) {
	p.line = append(p.line, data...)
	for {
		line, rest, ok := bytes.Cut(p.line, []byte("\n"))
		if !ok {
			return
		}
		p.line = rest
		p.s.obey(strings.Fields(string(line)))
	}
}

// tell writes a line to the test, at once: a trap must not swallow it.
func (s *script) tell(format string, args ...any) {
	t := s.control.Transport
	_, _ = t.Write(fmt.Appendf(nil, format+"\n", args...))
	_, _ = t.Flush()
}

func (s *script) obey(words []string) {
	switch words[0] {
	case "on":
		s.on[words[1]] = append(s.on[words[1]], strings.Join(words[2:], " "))
	case "clear":
		clear(s.on)
	case "half":
		s.half = words[1] == "on"
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

// scripted is a connection that obeys.
type scripted struct {
	wirehost.Base
	s       *script
	number  int
	on      map[string][]string
	written int
	total   int
	sum     uint32
	pull    int
}

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

func (c *scripted) ConnectionMade() { c.event("made", "", nil) }

func (c *scripted) DataReceived(p []byte) {
	c.total += len(p)
	c.sum = crc32.Update(c.sum, crc32.IEEETable, p)
	c.event("data", fmt.Sprintf(" %d %d %d", len(p), c.total, c.sum), p)
}

func (c *scripted) ConnectionLost(reason wirehost.Reason) {
	c.event("lost", fmt.Sprintf(" %d", int32(reason)), nil)
}

func (c *scripted) HandshakeCompleted() { c.event("handshake", "", nil) }
func (c *scripted) PauseProducing()     { c.event("pause", "", nil) }
func (c *scripted) StopProducing()      { c.event("stop", "", nil) }

func (c *scripted) ResumeProducing() {
	c.event("resume", "", nil)
	if c.pull > 0 {
		c.write([]int{1000}, false)
		if c.pull--; c.pull == 0 {
			c.call(c.Transport.UnregisterProducer)
		}
	}
}

// scriptedHalf is a connection that goes on after the peer's FIN.
type scriptedHalf struct{ *scripted }

func (c *scriptedHalf) ReadConnectionLost()  { c.event("readlost", "", nil) }
func (c *scriptedHalf) WriteConnectionLost() { c.event("writelost", "", nil) }

func (c *scripted) call(f func() error) error {
	c.s.inside = true
	defer func() { c.s.inside = false }()
	return f()
}

func (c *scripted) do(words []string, data []byte) {
	number := func(i int) int {
		n, _ := strconv.Atoi(words[i])
		return n
	}
	t := c.Transport
	ms := func(i int) time.Duration { return time.Duration(number(i)) * time.Millisecond }
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
		_ = c.call(func() error { _, err := t.Write(data); return err })
	case "lose":
		_ = c.call(t.LoseConnection)
	case "losewrite":
		_ = c.call(t.LoseWriteConnection)
	case "abort":
		_ = c.call(t.AbortConnection)
	case "pause":
		_ = c.call(t.PauseProducing)
	case "resume":
		_ = c.call(t.ResumeProducing)
	case "unregister":
		_ = c.call(t.UnregisterProducer)
	case "push":
		c.register(true)
	case "pull":
		c.pull = number(1)
		c.register(false)
	case "timeout":
		_ = c.call(func() error { return t.SetTimeout(ms(1)) })
	case "later":
		_ = c.call(func() error {
			_, err := t.Reactor().CallLater(ms(1), func() { c.event("timer", "", nil) })
			return err
		})
	case "state":
		state, err := t.State()
		if err != nil {
			c.s.tell("%d state %v", c.number, err)
			return
		}
		c.s.tell("%d state %d", c.number, uint32(state))
	case "panic":
		panic("the script says so")
	default:
		c.s.tell("%d unknown %s", c.number, strings.Join(words, " "))
	}
}

func (c *scripted) register(streaming bool) {
	if err := c.call(func() error { return c.Transport.RegisterProducer(c, streaming) }); err != nil {
		c.s.tell("%d busy", c.number)
		return
	}
	c.s.tell("%d registered", c.number)
}

func (c *scripted) write(sizes []int, sequence bool) {
	var queued int
	err := c.call(func() error {
		t := c.Transport
		if sequence {
			var pieces [][]byte
			for _, n := range sizes {
				pieces = append(pieces, pattern(c.written, n))
				c.written += n
			}
			if err := t.WriteSequence(pieces...); err != nil {
				return err
			}
		} else {
			for left := sizes[0]; left > 0; {
				n := min(left, 64<<10)
				if _, err := t.Write(pattern(c.written, n)); err != nil {
					return err
				}
				c.written += n
				left -= n
			}
		}
		var err error
		queued, err = t.Flush()
		return err
	})
	if err != nil {
		c.s.tell("%d wrote error", c.number)
		return
	}
	c.s.tell("%d wrote %d", c.number, queued)
}

// pattern is reactortest.Pattern.
func pattern(offset, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		at := offset + i
		p[i] = byte(at>>2*0x9d>>(at&3*2) + at)
	}
	return p
}

func init() { wirehost.Register(&scripts{}) }

func main() {}
