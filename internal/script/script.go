package script

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Script is what one control connection rules. All of it is for one goroutine.
type Script struct {
	write  func(line []byte)
	line   []byte
	conns  []*Connection
	on     map[string][]string
	half   bool
	hold   bool
	inside bool // a call to a transport runs
}

// New makes a script that tells the test with write, which gets whole lines and
// keeps none of them.
func New(write func(line []byte)) *Script {
	return &Script{write: write, on: map[string][]string{}, half: true}
}

// HalfCloseable tells whether new connections go on after the peer's FIN.
func (s *Script) HalfCloseable() bool { return s.half }

// Holds tells whether new connections have to wait for their protocol.
func (s *Script) Holds() bool { return s.hold }

// Obey takes bytes of the control connection, cut anywhere.
func (s *Script) Obey(p []byte) {
	s.line = append(s.line, p...)
	for {
		line, rest, ok := bytes.Cut(s.line, []byte("\n"))
		if !ok {
			return
		}
		s.line = rest
		s.obeyLine(strings.Fields(string(line)))
	}
}

func (s *Script) obeyLine(words []string) {
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

func (s *Script) tell(format string, args ...any) { s.write(fmt.Appendf(nil, format+"\n", args...)) }

// Connect makes the next connection, which acts on t.
func (s *Script) Connect(t Transport) *Connection {
	c := &Connection{s: s, t: t, number: len(s.conns) + 1, on: map[string][]string{}}
	for event, list := range s.on {
		c.on[event] = list[:len(list):len(list)]
	}
	s.conns = append(s.conns, c)
	return c
}
