// Command syslog takes messages of syslog over UDP and TCP, and writes them to the
// server's log.
package main

import (
	"bytes"
	"net/netip"
	"strconv"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/datagram"
)

// longest is how many bytes of a message are taken; the server's log cuts earlier.
const longest = 8 << 10

// factory makes the protocols of both sockets and connections.
type factory struct {
	reactor  *wirehost.Reactor
	messages wirehost.Metric
	rejected wirehost.Metric
}

// StartFactory defines the metrics.
func (f *factory) StartFactory(r *wirehost.Reactor) (err error) {
	f.reactor = r
	if f.messages, err = r.Metric(wirehost.Counter, "messages_total"); err != nil {
		return err
	}
	f.rejected, err = r.Metric(wirehost.Counter, "rejected_total")
	return err
}

func (f *factory) BuildProtocol(*wirehost.Transport) wirehost.Protocol { return &stream{factory: f} }

func (f *factory) BuildDatagramProtocol(t *wirehost.Transport) wirehost.Protocol {
	return datagram.New(t, &socket{factory: f})
}

func (f *factory) LogPrefix() string { return "syslog" }

func init() { wirehost.Register(new(factory)) }

func main() {}

// take logs a message. Calls whose errors are dropped leave nobody to tell it.
func (f *factory) take(text []byte) {
	m, ok := parse(bytes.TrimRight(text, "\r\n\x00"))
	if !ok {
		_ = f.rejected.Record(1)
		return
	}
	_ = f.messages.Record(1)
	_ = f.reactor.Log(m.level(), m.String())
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
	rest := s.rest
	for {
		text, n, ok := frame(rest)
		if !ok { // nobody could find the next one
			_ = s.factory.rejected.Record(1)
			_ = s.Transport.LoseConnection()
			s.rest = nil
			return
		}
		if n == 0 {
			s.rest = append(s.rest[:0], rest...)
			return
		}
		if len(text) > 0 {
			s.factory.take(text)
		}
		rest = rest[n:]
	}
}

// ReadConnectionLost takes a last line that has no end.
func (s *stream) ReadConnectionLost() {
	if len(s.rest) > 0 {
		s.factory.take(s.rest)
	}
	_ = s.Transport.LoseConnection()
}

// WriteConnectionLost is no news.
func (s *stream) WriteConnectionLost() {}

// frame is the first message of b, and how many bytes it takes, or 0 while it is not
// whole; not ok is what is no frame.
func frame(b []byte) (text []byte, n int, ok bool) {
	if len(b) == 0 {
		return nil, 0, true
	}
	if b[0] < '1' || b[0] > '9' {
		end := bytes.IndexByte(b[:min(len(b), longest+1)], '\n')
		if end < 0 {
			return nil, 0, len(b) <= longest
		}
		return b[:end], end + 1, true
	}
	digits, _, found := bytes.Cut(b[:min(len(b), 6)], []byte(" "))
	size, err := strconv.Atoi(string(digits))
	switch {
	case err != nil || size > longest || !found && len(b) >= 6:
		return nil, 0, false
	case !found || len(b) < len(digits)+1+size:
		return nil, 0, true
	}
	n = len(digits) + 1 + size
	return b[len(digits)+1 : n], n, true
}
