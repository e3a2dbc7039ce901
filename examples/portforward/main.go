// Command portforward passes connections on to another endpoint (Twisted's
// portforward).
package main

import (
	"errors"
	"time"

	"github.com/wirehost/wirehost/examples/internal/relay"
	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// config is the plugin's config section.
type config struct {
	Target  string `json:"target"`  // endpoint, such as tcp://127.0.0.1:7007
	Seconds int    `json:"timeout"` // to connect to it; 0 is the server's own time
}

// factory makes incoming connections.
type factory struct {
	config
	pairs relay.Pairs
}

// StartFactory reads the configuration.
func (f *factory) StartFactory(r *wirehost.Reactor) error {
	if err := r.Config(&f.config); err != nil {
		return err
	}
	if f.Target == "" {
		return errors.New(`config.target: found "", wanted an endpoint such as tcp://127.0.0.1:7007`)
	}
	if f.Seconds < 0 {
		return errors.New("config.timeout: found less than 0")
	}
	return nil
}

func (f *factory) BuildProtocol(*wirehost.Transport) wirehost.Protocol {
	return &incoming{factory: f}
}

// BuildClientProtocol is for reloads.
func (f *factory) BuildClientProtocol(*wirehost.Transport) wirehost.ClientProtocol {
	return &outgoing{factory: f}
}

func (f *factory) LogPrefix() string { return "portforward" }

// incoming is an accepted connection. It is not read until the outgoing one is
// there.
type incoming struct {
	relay.Side
	factory *factory
}

// ConnectionMade begins to connect. Calls whose errors are dropped fail where
// the connection is lost already, of which ConnectionLost tells.
func (p *incoming) ConnectionMade() {
	_ = p.Transport.PauseProducing()
	out := &outgoing{factory: p.factory}
	if _, err := p.Reactor().Connect(p.factory.Target, time.Duration(p.factory.Seconds)*time.Second, out); err != nil {
		_ = p.Reactor().Logf(wirehost.LevelError, "connect to %s: %v", p.factory.Target, err)
		_ = p.Transport.AbortConnection()
		return
	}
	relay.Link(p, out)
}

// outgoing is the connection to the target.
type outgoing struct {
	relay.Side
	factory *factory
}

func (p *outgoing) ConnectionMade() {
	if err := p.Join(); err != nil {
		_ = p.Transport.AbortConnection()
	}
}

func (p *outgoing) ClientConnectionFailed(reason wirehost.Reason) {
	if text, err := p.Transport.ReasonText(); err == nil && reason != wirehost.Aborted {
		_ = p.Reactor().Logf(wirehost.LevelWarn, "connect to %s: %s", p.factory.Target, text)
	}
	p.ConnectionLost(reason)
}

// SaveState has which connection belongs to which.
func (p *incoming) SaveState() ([]byte, bool) { return p.AppendState(nil), true }

// RestoreState reads what SaveState wrote.
func (p *incoming) RestoreState(_ int32, state []byte) error {
	_, err := p.LoadState(p, &p.factory.pairs, state)
	return err
}

// SaveState has which connection belongs to which.
func (p *outgoing) SaveState() ([]byte, bool) { return p.AppendState(nil), true }

// RestoreState reads what SaveState wrote.
func (p *outgoing) RestoreState(_ int32, state []byte) error {
	_, err := p.LoadState(p, &p.factory.pairs, state)
	return err
}

func init() { wirehost.Register(&factory{}) }

func main() {}
