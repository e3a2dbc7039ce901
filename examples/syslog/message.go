package main

import (
	"strings"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// message is one, of RFC 5424 or of RFC 3164.
type message struct {
	facility, severity int
	text               string // host, program and what it says
}

// facilities and severities are the numbers' names (RFC 5424, tables 1 and 2).
var (
	facilities = strings.Fields("kern user mail daemon auth syslog lpr news uucp cron authpriv ftp ntp audit alert " +
		"clock local0 local1 local2 local3 local4 local5 local6 local7")
	severities = strings.Fields("emerg alert crit err warning notice info debug")
)

// parse reads a message: <PRI>, and what either RFC has behind it.
func parse(b []byte) (m message, ok bool) {
	pri, rest, found := strings.Cut(string(b), ">")
	if !found || len(pri) < 2 || len(pri) > 4 || pri[0] != '<' {
		return m, false
	}
	n := 0
	for _, c := range pri[1:] {
		if c < '0' || c > '9' {
			return m, false
		}
		n = n*10 + int(c-'0')
	}
	if m.facility, m.severity = n>>3, n&7; m.facility >= len(facilities) {
		return m, false
	}
	if after, ok := strings.CutPrefix(rest, "1 "); ok {
		m.text, ok = parse5424(after)
		return m, ok
	}
	m.text = rest
	const stamp = len("Jan _2 15:04:05 ")
	if len(rest) > stamp && rest[3] == ' ' && rest[6] == ' ' && rest[9] == ':' && rest[12] == ':' && rest[15] == ' ' {
		m.text = rest[stamp:] // the log has its own
	}
	return m, true
}

// parse5424 reads what is behind the version: time, host, program, process, message's kind,
// structured data, text.
func parse5424(s string) (text string, ok bool) {
	words := strings.SplitN(s, " ", 6)
	if len(words) < 6 {
		return "", false
	}
	data := words[5]
	if after, none := strings.CutPrefix(data, "-"); none {
		data = after
	} else if data, ok = skipData(data); !ok {
		return "", false
	}
	program := words[2]
	if process := words[3]; process != "-" {
		program += "[" + process + "]"
	}
	data = strings.TrimPrefix(strings.TrimPrefix(data, " "), "\ufeff")
	return words[1] + " " + program + ": " + data, true
}

// skipData skips structured data: [ID NAME="VALUE" …], with \ in front of what would end a
// value.
func skipData(s string) (rest string, ok bool) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == ']' && !quoted && (i+1 == len(s) || s[i+1] != '['):
			return s[i+1:], s[0] == '['
		}
	}
	return "", false
}

func (m message) String() string {
	return facilities[m.facility] + "." + severities[m.severity] + " " + m.text
}

// level is how heavy the message is in the server's log.
func (m message) level() wirehost.Level {
	switch {
	case m.severity <= 3:
		return wirehost.LevelError
	case m.severity == 4:
		return wirehost.LevelWarn
	case m.severity <= 6:
		return wirehost.LevelInfo
	}
	return wirehost.LevelDebug
}
