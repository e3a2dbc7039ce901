// Command scripted is the guest that obeys the words of internal/script, so that
// every promise of a connection can be held against guests as well.
package main

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/wirehost/wirehost/internal/script"
	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// scripts is the factory: a control connection, and those that come after it,
// have a script of their own.
type scripts struct{ now *script.Script }

func (f *scripts) BuildProtocol(t *wirehost.Transport) wirehost.Protocol {
	if f.now == nil {
		f.now = script.New(func(line []byte) { // at once: a trap must not swallow it
			_, _ = t.Write(line)
			_, _ = t.Flush()
		})
		return &control{f: f, s: f.now}
	}
	acts := &guest{Transport: t}
	c := &scripted{Connection: f.now.Connect(acts)}
	acts.producer = c
	if f.now.HalfCloseable() {
		return &scriptedHalf{c, script.HalfCloseable{Connection: c.Connection}}
	}
	return c
}

// control is the control connection.
type control struct {
	wirehost.Base
	f *scripts
	s *script.Script
}

// ConnectionLost ends the script: the next connection is the control connection
// of another.
func (p *control) ConnectionLost(wirehost.Reason) { p.f.now = nil }
func (p *control) DataReceived(data []byte)       { p.s.Obey(data) }

// scripted is a connection, and a producer, that obeys.
type scripted struct {
	wirehost.Base
	*script.Connection
}

func (c *scripted) ConnectionMade()                       { c.Made() }
func (c *scripted) DataReceived(data []byte)              { c.Connection.DataReceived(data) }
func (c *scripted) ConnectionLost(reason wirehost.Reason) { c.Lost(int(int32(reason))) }

// scriptedHalf is one that goes on after the peer's FIN.
type scriptedHalf struct {
	*scripted
	half script.HalfCloseable
}

func (c *scriptedHalf) ReadConnectionLost()  { c.half.ReadConnectionLost() }
func (c *scriptedHalf) WriteConnectionLost() { c.half.WriteConnectionLost() }

// guest lends a script the SDK's transport. That a call fails shows in what is
// told of the connection.
type guest struct {
	*wirehost.Transport
	producer wirehost.Producer
}

func (g *guest) Write(p []byte) error {
	_, err := g.Transport.Write(p)
	return err
}

func (g *guest) WriteSequence(pieces [][]byte) error { return g.Transport.WriteSequence(pieces...) }
func (g *guest) Queued() (int, error)                { return g.Flush() }

func (g *guest) LoseConnection()            { _ = g.Transport.LoseConnection() }
func (g *guest) LoseWriteConnection()       { _ = g.Transport.LoseWriteConnection() }
func (g *guest) AbortConnection()           { _ = g.Transport.AbortConnection() }
func (g *guest) PauseProducing()            { _ = g.Transport.PauseProducing() }
func (g *guest) ResumeProducing()           { _ = g.Transport.ResumeProducing() }
func (g *guest) UnregisterProducer()        { _ = g.Transport.UnregisterProducer() }
func (g *guest) SetTimeout(d time.Duration) { _ = g.Transport.SetTimeout(d) }

func (g *guest) RegisterProducer(streaming bool) error {
	return g.Transport.RegisterProducer(g.producer, streaming)
}

func (g *guest) HandOver(first []byte) error          { return g.Transport.HandOver("guest", first) }
func (g *guest) CallLater(d time.Duration, fn func()) { _, _ = g.Reactor().CallLater(d, fn) }

func (g *guest) State() (uint32, error) {
	state, err := g.Transport.State()
	return uint32(state), err
}

// listening is the factory where the configuration is an endpoint: there it listens, for
// scripted connections. Others are told the address, and end the listener by a byte.
type listening struct {
	scripts
	port *wirehost.Port
}

func (f *listening) StartFactory(r *wirehost.Reactor) (err error) {
	var endpoint string
	text, err := r.ConfigJSON()
	if err != nil || json.Unmarshal(text, &endpoint) != nil {
		return err // there is none
	}
	f.port, err = r.Listen(endpoint, &f.scripts)
	return err
}

func (f *listening) BuildProtocol(t *wirehost.Transport) wirehost.Protocol {
	if f.port == nil || host(t) == host(f.port) { // handed over
		return f.scripts.BuildProtocol(t)
	}
	return &operator{port: f.port}
}

// host is where somebody listens, without a scheme: that of TLS has only the listener.
func host(of interface{ Host() (string, error) }) string {
	text, err := of.Host()
	if err != nil {
		return err.Error()
	}
	_, text, _ = strings.Cut(text, "://")
	return text
}

// operator is the protocol of who asks for the listener.
type operator struct {
	wirehost.Base
	port *wirehost.Port
}

func (p *operator) ConnectionMade() {
	_, _ = p.Transport.Write([]byte(host(p.port))) // the test misses it
	_ = p.Transport.LoseWriteConnection()
}

func (p *operator) DataReceived([]byte) {
	if p.port.StopListening() == nil {
		_ = p.Transport.LoseConnection()
	}
}

func init() { wirehost.Register(&listening{}) }

func main() {}
