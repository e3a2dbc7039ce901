package main

import (
	"bytes"
	"slices"
	"strings"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// member is one connection. Until it has a name it is not in the room.
type member struct {
	wirehost.LineOnlyReceiver
	room *room
	name string
}

func (m *member) ConnectionMade() { m.tell("* your name?") }

func (m *member) ConnectionLost(wirehost.Reason) { m.room.leave(m) }

func (m *member) LineReceived(line []byte) {
	text := string(bytes.TrimSuffix(line, []byte("\r")))
	switch {
	case m.name == "":
		m.introduce(text)
	case text == "":
	case text == "/who":
		m.tell("* " + strings.Join(m.room.names(), ", "))
	case text == "/quit":
		_ = m.Transport.LoseConnection() // it is lost already where this fails
	default:
		m.room.say("<"+m.name+"> "+printable(text), m)
	}
}

// introduce takes the name that a new connection says first.
func (m *member) introduce(name string) {
	if err := validName(name); err != nil {
		m.tell("* " + err.Error())
		return
	}
	if m.room.find(name) != nil {
		m.tell("* " + name + " is here already; another name?")
		return
	}
	m.name = name
	m.room.enter(m)
}

// tell writes a line. Who does not read is thrown out: the room's output to it
// would grow without end, and there is no one speaker to pause.
func (m *member) tell(line string) {
	_, err := m.Transport.WriteString(line + "\n")
	if err != nil {
		return // ConnectionLost comes
	}
	if queued, err := m.Transport.Flush(); err == nil && queued > mostQueued {
		_ = m.Transport.AbortConnection() // it is lost already where this fails
	}
}

// names are the members' names, sorted: a reload restores the members in any
// order.
func (r *room) names() []string {
	names := make([]string, len(r.members))
	for i, m := range r.members {
		names[i] = m.name
	}
	slices.Sort(names)
	return names
}

// printable replaces control characters, which would play tricks on the others'
// terminals.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return '.'
		}
		return r
	}, strings.ToValidUTF8(text, "."))
}
