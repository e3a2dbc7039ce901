package main

import (
	"fmt"
	"strings"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// longestQuery is in bytes.
const longestQuery = 512

// conn is one connection: a line, its answer, and the end. It saves no state,
// so that at a reload it ends on the version that it began on.
type conn struct {
	wirehost.LineOnlyReceiver
	wirehost.TimeoutMixin
	factory *factory
}

// ConnectionMade begins the time to ask. Calls whose errors are dropped, here and
// below, fail where the connection is lost already, of which ConnectionLost
// tells.
func (p *conn) ConnectionMade() {
	if err := p.SetTimeout(time.Duration(p.factory.Seconds) * time.Second); err != nil {
		_ = p.Reactor().Logf(wirehost.LevelError, "timer: %v", err)
		_ = p.Transport.AbortConnection()
	}
}

func (p *conn) LineReceived(line []byte) {
	_, _ = p.Transport.WriteString(p.factory.answer(parse(string(line))))
	_ = p.Transport.LoseConnection()
}

// query is what a line asks for.
type query struct {
	verbose bool   // /W
	name    string // "" asks for all users
}

// parse reads a line (RFC 1288, section 2.3): maybe /W, maybe a name.
func parse(line string) query {
	var q query
	words := strings.Fields(line)
	if len(words) > 0 && strings.EqualFold(words[0], "/W") {
		q.verbose, words = true, words[1:]
	}
	q.name = strings.Join(words, " ")
	return q
}

// answer is what there is to say.
func (f *factory) answer(q query) string {
	var b strings.Builder
	u := f.find(q.name)
	switch {
	case strings.Contains(q.name, "@"): // RFC 1288, section 3.2.1
		b.WriteString("Finger forwarding service denied.\n")
	case q.name == "" && len(f.Users) == 0:
		b.WriteString("No one is here.\n")
	case q.name == "":
		fmt.Fprintf(&b, "%-16s %-24s %s\n", "Login", "Name", "Office")
		for _, u := range f.Users {
			line := fmt.Sprintf("%-16s %-24s %s", u.Login, u.Name, u.Office)
			b.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	case u == nil:
		fmt.Fprintf(&b, "finger: %s: no such user.\n", q.name)
	default:
		u.describe(&b, q.verbose)
	}
	return printable(b.String())
}

// describe is a user's own page; with verbose the plan is on it.
func (u *user) describe(b *strings.Builder, verbose bool) {
	fmt.Fprintf(b, "Login: %s\nName: %s\n", u.Login, u.Name)
	if u.Office != "" {
		fmt.Fprintf(b, "Office: %s\n", u.Office)
	}
	switch {
	case !verbose:
	case u.Plan == "":
		b.WriteString("No Plan.\n")
	default:
		fmt.Fprintf(b, "Plan:\n%s\n", strings.TrimRight(u.Plan, "\n"))
	}
}

// printable ends lines with CRLF and replaces what is not printable ASCII, which
// would play tricks on a terminal (RFC 1288, sections 2.2 and 3.3).
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r > '~' {
			return '.'
		}
		return r
	}, text)
	return strings.ReplaceAll(text, "\n", "\r\n")
}
