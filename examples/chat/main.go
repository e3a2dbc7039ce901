// Command chat is one room: what a member says, every other member reads. The
// room is the Factory's state, shared by its connections, and is kept across a
// reload.
package main

import (
	"errors"
	"fmt"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// Limits of a room. They bound what it holds, and so what it saves.
const (
	mostHistory = 20      // last lines, shown to who comes in
	longestLine = 512     // bytes
	longestName = 20      // bytes
	mostQueued  = 1 << 20 // bytes a member may leave unread before it is thrown out
)

// room is the Factory: who is in, and what was said last.
type room struct {
	members []*member
	history []string
}

func (r *room) BuildProtocol(*wirehost.Transport) wirehost.Protocol {
	p := &member{room: r}
	p.Delimiter, p.MaxLength = []byte("\n"), longestLine
	return p
}

func (r *room) LogPrefix() string { return "chat" }

// find is the member with a name, or nil.
func (r *room) find(name string) *member {
	for _, m := range r.members {
		if m.name == name {
			return m
		}
	}
	return nil
}

// say tells a line to every member but one, and keeps it.
func (r *room) say(line string, but *member) {
	r.history = append(r.history, line)
	if len(r.history) > mostHistory {
		r.history = r.history[1:]
	}
	for _, m := range r.members {
		if m != but {
			m.tell(line)
		}
	}
}

// enter lets a member in.
func (r *room) enter(m *member) {
	for _, line := range r.history {
		m.tell(line)
	}
	r.members = append(r.members, m)
	r.say("* "+m.name+" came in", m)
	m.tell(fmt.Sprintf("* welcome, %s; %d here", m.name, len(r.members)))
}

// leave takes a member out.
func (r *room) leave(m *member) {
	for i, one := range r.members {
		if one == m {
			r.members = append(r.members[:i], r.members[i+1:]...)
			r.say("* "+m.name+" left", m)
			return
		}
	}
}

// validName accepts letters, digits, - and _.
func validName(name string) error {
	if len(name) == 0 || len(name) > longestName {
		return fmt.Errorf("found a name of %d bytes, wanted 1 to %d", len(name), longestName)
	}
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return errors.New("a name has letters, digits, - and _")
		}
	}
	return nil
}

func init() { wirehost.Register(&room{}) }

func main() {}
