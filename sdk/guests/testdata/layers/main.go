// Command layers takes lines, and answers each: `state` with the transport's bits, `who` with peer, host, ALPN and
// the sum of the certificate's bytes, `time` with the seconds since 1970, `random N` with N bytes.
// `over NAME` hands the connection over, with "who" as its first line. `connect ENDPOINT` and
// `as ENDPOINT` make a connection, of which "made", "failed" or "lost", with the reason, is told;
// `> LINE` sends a line there, and what comes back is passed on, but for `go NAME`: TLS begins there,
// with who has that name, and "secure" is told. What can't be done is answered with "refused". The
// state is the handle of the other connection, 4 bytes little-endian, 0 of none.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// sides are all connections, by their handles.
var sides = map[int32]*side{}

// side is a connection, and knows the other one by its handle.
type side struct {
	wirehost.LineReceiver
	other int32
}

func (s *side) say(line string) {
	if s != nil {
		_ = s.SendLine([]byte(line))
	}
}

func (s *side) SaveState() ([]byte, bool) {
	return binary.LittleEndian.AppendUint32(nil, uint32(s.other)), true
}

func (s *side) RestoreState(version int32, state []byte) error {
	if version != 1 || len(state) != 4 {
		return errors.New("no state of a side")
	}
	s.other = int32(binary.LittleEndian.Uint32(state))
	return nil
}

// front is an accepted connection.
type front struct{ side }

func (p *front) LineReceived(line []byte) {
	word, rest, _ := strings.Cut(string(line), " ")
	if !p.does(word, rest) {
		p.say("refused")
	}
}

func (p *front) does(word, rest string) bool {
	switch word {
	case "state":
		state, err := p.Transport.State()
		p.say(fmt.Sprint(int32(state)))
		return err == nil
	case "who":
		return p.who()
	case "time":
		p.say(fmt.Sprint(p.Reactor().Time().Unix()))
	case "random":
		n, _ := strconv.Atoi(rest)
		b := make([]byte, n)
		err := p.Reactor().Random(b)
		_, _ = p.Transport.Write(b)
		return err == nil
	case "over":
		return p.Transport.HandOver(rest, []byte("who\r\n")) == nil
	case ">":
		sides[p.other].say(rest)
	default:
		return p.connects(word, rest)
	}
	return true
}

func (p *front) who() bool {
	peer, e1 := p.Transport.Peer()
	host, e2 := p.Transport.Host()
	alpn, e3 := p.Transport.NegotiatedProtocol()
	certificate, e4 := p.Transport.PeerCertificate()
	sum := 0
	for _, b := range certificate {
		sum += int(b)
	}
	p.say(fmt.Sprintf("%s %s %s %d", peer, host, alpn, sum))
	return errors.Join(e1, e2, e3, e4) == nil
}

func (p *front) connects(word, endpoint string) bool {
	b := new(back)
	b.other = p.Transport.Handle()
	var t *wirehost.Transport
	err := error(wirehost.ErrInvalid)
	switch word {
	case "connect":
		t, err = p.Reactor().Connect(endpoint, 0, b)
	case "as":
		t, err = p.Reactor().ConnectAs(p.Transport, endpoint, 0, b)
	}
	if err != nil {
		return false
	}
	p.other = t.Handle()
	sides[p.other] = &b.side
	return true
}

func (p *front) ConnectionLost(wirehost.Reason) {
	if to := sides[p.other]; to != nil {
		_ = to.Transport.LoseConnection()
	}
	delete(sides, p.Transport.Handle())
}

// back is one that was made.
type back struct{ side }

func (p *back) ConnectionMade()     { sides[p.other].say("made") }
func (p *back) HandshakeCompleted() { sides[p.other].say("secure") }

func (p *back) LineReceived(line []byte) {
	if name, ok := strings.CutPrefix(string(line), "go "); !ok {
		sides[p.other].say(string(line))
	} else if p.Transport.StartTLSClient(name) != nil {
		sides[p.other].say("refused")
	}
}

func (p *back) ConnectionLost(why wirehost.Reason)         { p.ended("lost", why) }
func (p *back) ClientConnectionFailed(why wirehost.Reason) { p.ended("failed", why) }

func (p *back) ended(how string, why wirehost.Reason) {
	text, _ := p.Transport.ReasonText()
	sides[p.other].say(fmt.Sprintf("%s %d %s", how, int32(why), text))
	delete(sides, p.Transport.Handle())
}

type factory struct{}

func (factory) BuildProtocol(t *wirehost.Transport) wirehost.Protocol {
	p := new(front)
	sides[t.Handle()] = &p.side
	return p
}

func (factory) BuildClientProtocol(t *wirehost.Transport) wirehost.ClientProtocol {
	p := new(back)
	sides[t.Handle()] = &p.side
	return p
}

func (factory) LogPrefix() string { return "layers" }

func init() { wirehost.Register(factory{}) }

func main() {}
