// Command syslog takes messages of syslog over UDP and TCP, and writes them to the
// server's log.
package main

import (
	"bytes"
	"cmp"
	"errors"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/datagram"
)

const longest = 8 << 10 // bytes of a message; the server's log cuts earlier

// The numbers' names (RFC 5424, tables 1 and 2).
var (
	facilities = strings.Fields("kern user mail daemon auth syslog lpr news uucp cron authpriv ftp ntp audit alert " +
		"clock local0 local1 local2 local3 local4 local5 local6 local7")
	severities = strings.Fields("emerg alert crit err warning notice info debug")
	levels     = [...]wirehost.Level{4: wirehost.LevelWarn, wirehost.LevelInfo, wirehost.LevelInfo, wirehost.LevelDebug}

	// A message is <PRI> and the text of RFC 3164, with a time that the log has itself, or what
	// RFC 5424 has: version, time, HOST, PROGRAM, PROCESS, kind, structured data, TEXT.
	message = regexp.MustCompile(`(?s)^<(\d\d?|1[0-8]\d|19[01])>([A-Z][a-z][a-z] [ \d]\d \d\d:\d\d:\d\d )?(.*)`)
	rfc5424 = regexp.MustCompile(`(?s)^1 \S+ (\S+) (\S+) (\S+) \S+ ` +
		`(?:-|(?:\[(?:[^"\]]|"(?:\\.|[^"\\])*")*\])+)(?: \x{feff}?(.*))?$`)
)

// parse reads a message.
func parse(b []byte) (level wirehost.Level, text string, ok bool) {
	m := message.FindStringSubmatch(string(b))
	if m == nil {
		return 0, "", false
	}
	n, _ := strconv.Atoi(m[1]) // which are digits
	if m[2] == "" && strings.HasPrefix(m[3], "1 ") {
		f := rfc5424.FindStringSubmatch(m[3])
		if f == nil {
			return 0, "", false
		}
		m[3] = f[1] + " " + strings.TrimSuffix(f[2]+"["+f[3]+"]", "[-]") + ": " + f[4]
	}
	return cmp.Or(levels[n&7], wirehost.LevelError), facilities[n>>3] + "." + severities[n&7] + " " + m[3], true
}

// factory makes the protocols of both sockets and connections.
type factory struct {
	reactor            *wirehost.Reactor
	messages, rejected wirehost.Metric
}

// StartFactory defines the metrics.
func (f *factory) StartFactory(r *wirehost.Reactor) error {
	var err, err2 error
	f.messages, err = r.Metric(wirehost.Counter, "messages_total")
	f.rejected, err2 = r.Metric(wirehost.Counter, "rejected_total")
	f.reactor = r
	return errors.Join(err, err2)
}

func (f *factory) LogPrefix() string                                   { return "syslog" }
func (f *factory) BuildProtocol(*wirehost.Transport) wirehost.Protocol { return &stream{factory: f} }

func (f *factory) BuildDatagramProtocol(t *wirehost.Transport) wirehost.Protocol {
	return datagram.New(t, &socket{factory: f})
}

func init() { wirehost.Register(new(factory)) }
func main() {}

// take logs a message. Calls whose errors are dropped leave nobody to tell it.
func (f *factory) take(text []byte) {
	if level, line, ok := parse(bytes.TrimRight(text, "\r\n\x00")); ok {
		_ = f.messages.Record(1)
		_ = f.reactor.Log(level, line)
	} else {
		_ = f.rejected.Record(1)
	}
}

// socket takes a message from each datagram (RFC 5426).
type socket struct {
	datagram.Base
	factory *factory
}

func (s *socket) DatagramReceived(data []byte, _ netip.AddrPort) { s.factory.take(data) }

// stream takes messages from a connection, framed in either way of RFC 6587: behind
// their length in bytes and a space, or up to the end of a line.
type stream struct {
	wirehost.Base
	factory *factory
	rest    []byte // not understood yet
}

func (s *stream) DataReceived(data []byte) {
	s.rest = append(s.rest, data...)
	for at := 0; ; {
		text, n, ok := frame(s.rest[at:])
		switch {
		case !ok: // nobody could find the next one
			_ = s.factory.rejected.Record(1)
			_ = s.Transport.LoseConnection()
			return
		case n == 0:
			s.rest = append(s.rest[:0], s.rest[at:]...)
			return
		case len(text) > 0:
			s.factory.take(text)
		}
		at += n
	}
}

// ReadConnectionLost takes a last line that has no end.
func (s *stream) ReadConnectionLost() {
	if len(s.rest) > 0 {
		s.factory.take(s.rest)
	}
	_ = s.Transport.LoseConnection()
}

func (s *stream) WriteConnectionLost() {}

// frame is the first message of b, and how many bytes it takes, or 0 while it is not
// whole; not ok is what is no frame.
func frame(b []byte) (text []byte, n int, ok bool) {
	if len(b) == 0 || b[0] < '1' || b[0] > '9' {
		end := bytes.IndexByte(b[:min(len(b), longest+1)], '\n')
		return b[:max(end, 0)], end + 1, end >= 0 || len(b) <= longest
	}
	digits, _, found := bytes.Cut(b[:min(len(b), 6)], []byte(" "))
	size, err := strconv.Atoi(string(digits))
	n = len(digits) + 1 + size
	switch {
	case err != nil || size > longest || !found && len(b) >= 6:
		return nil, 0, false
	case !found || len(b) < n:
		return nil, 0, true
	}
	return b[len(digits)+1 : n], n, true
}
