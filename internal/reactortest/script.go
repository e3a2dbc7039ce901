package reactortest

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"

	"github.com/wirehost/wirehost/internal/script"
	"github.com/wirehost/wirehost/reactor"
)

// Script is the factory of native protocols that obey the words of package
// script. A guest that obeys the same words can stand in its place.
type Script struct {
	script  *script.Script
	control reactor.Transport
	roots   *x509.CertPool
}

// NewScript makes a factory for one loop. roots verify those whom its protocols are TLS's
// clients of.
func NewScript(roots *x509.CertPool) *Script {
	s := &Script{roots: roots}
	s.script = script.New(func(line []byte) { _, _ = s.control.Write(line) }) // the test sees that it is missing
	return s
}

// BuildProtocol makes the control connection's protocol, then scripted ones.
func (s *Script) BuildProtocol(t reactor.Transport) (reactor.Protocol, error) {
	if s.control == nil {
		s.control = t
		return control{s.script}, nil
	}
	acts := &native{Transport: t, script: s, roots: s.roots}
	c := scripted{s.script.Connect(acts)}
	acts.producer = c
	var p reactor.Protocol = c
	if s.script.HalfCloseable() {
		p = scriptedHalf{c, script.HalfCloseable{Connection: c.Connection}}
	}
	if s.script.Holds() {
		c.Held()
		return nil, held{c, p}
	}
	return p, nil
}

// held is who is asked again for the protocol of a connection that is held.
type held struct {
	c scripted
	p reactor.Protocol
}

func (h held) Error() string { return "held by the script" }
func (h held) Gone()         { h.c.Gone() }

func (h held) BuildProtocol(reactor.Transport) (reactor.Protocol, error) {
	if h.c.Refused() {
		return nil, errors.New("refused by the script")
	}
	return h.p, nil
}

// control is the control connection's protocol.
type control struct{ s *script.Script }

func (c control) ConnectionMade(reactor.Transport)                {}
func (c control) ConnectionLost(reason reactor.Reason, err error) {}
func (c control) DataReceived(p []byte)                           { c.s.Obey(p) }

// scripted is a protocol, and a producer, that obeys.
type scripted struct{ *script.Connection }

func (c scripted) ConnectionMade(reactor.Transport)              { c.Made() }
func (c scripted) ConnectionLost(reason reactor.Reason, _ error) { c.Lost(int(reason)) }

// scriptedHalf goes on after the peer's FIN.
type scriptedHalf struct {
	scripted
	half script.HalfCloseable
}

func (c scriptedHalf) ReadConnectionLost()  { c.half.ReadConnectionLost() }
func (c scriptedHalf) WriteConnectionLost() { c.half.WriteConnectionLost() }

// native lends a script the reactor's own transport.
type native struct {
	reactor.Transport
	producer reactor.Producer
	script   *Script
	roots    *x509.CertPool
	queued   int
}

func (n *native) Write(p []byte) (err error) {
	n.queued, err = n.Transport.Write(p)
	return err
}

func (n *native) WriteSequence(pieces [][]byte) (err error) {
	n.queued, err = n.Transport.WriteSequence(pieces)
	return err
}

func (n *native) Queued() (int, error)   { return n.queued, nil }
func (n *native) State() (uint32, error) { return uint32(n.Transport.State()), nil }

func (n *native) StartTLSClient(name string) error {
	return n.Transport.StartTLSClient(&tls.Config{RootCAs: n.roots, ServerName: name})
}

func (n *native) HandOver(first []byte) error {
	return n.Transport.HandOver(reactor.Destination{Factory: n.script, Loop: -1}, first)
}

func (n *native) RegisterProducer(streaming bool) error {
	return n.Transport.RegisterProducer(n.producer, streaming)
}

func (n *native) CallLater(d time.Duration, fn func()) { n.Loop().CallLater(d, fn) }
