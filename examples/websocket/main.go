// Command websocket ends the WebSocket protocol (RFC 6455) in front of any plugin: it is the
// first in a listener's chain, and what messages carry goes to the one behind.
package main

import (
	"fmt"
	"time"

	"github.com/wirehost/wirehost/examples/internal/relay"
	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// mostMessage is how long config.max_message lets messages be, in bytes.
const mostMessage = 1 << 30

// config is the plugin's config section.
type config struct {
	Behind       string   `json:"behind"`       // endpoint; plugin://next is the next in the chain
	Messages     messages `json:"messages"`     // what they are to the one behind
	Most         int      `json:"max_message"`  // bytes
	Origins      []string `json:"origins"`      // whose pages may come, beside this server's own; * is all
	Subprotocols []string `json:"subprotocols"` // that are agreed to
	Page         bool     `json:"page"`         // who asks for / gets the page
	Patience     int      `json:"timeout"`      // seconds to ask in, and to close in
	Ping         int      `json:"ping"`         // seconds; 0 is never
}

// factory makes the clients' connections.
type factory struct {
	config
	pairs relay.Pairs
}

// StartFactory reads the configuration.
func (f *factory) StartFactory(r *wirehost.Reactor) error {
	f.config = config{Behind: "plugin://next", Messages: asBytes, Most: 1 << 20, Patience: 10, Ping: 30}
	if err := r.Config(&f.config); err != nil {
		return err
	}
	switch {
	case !f.Messages.isOne():
		return fmt.Errorf("config.messages: found %q, wanted bytes, lines or frames", f.Messages)
	case f.Most < 1 || f.Most > mostMessage:
		return fmt.Errorf("config.max_message: found %d, wanted 1 to %d bytes", f.Most, mostMessage)
	case f.Patience < 1 || f.Patience > 3600:
		return fmt.Errorf("config.timeout: found %d, wanted 1 to 3600 seconds", f.Patience)
	case f.Ping < 0 || f.Ping > 3600:
		return fmt.Errorf("config.ping: found %d, wanted 0 to 3600 seconds", f.Ping)
	}
	return nil
}

func (c *config) patience() time.Duration { return time.Duration(c.Patience) * time.Second }

func (f *factory) BuildProtocol(*wirehost.Transport) wirehost.Protocol { return &client{factory: f} }

// BuildClientProtocol is for reloads.
func (f *factory) BuildClientProtocol(*wirehost.Transport) wirehost.ClientProtocol {
	return &behind{factory: f}
}

func (f *factory) LogPrefix() string { return "websocket" }

func init() { wirehost.Register(&factory{}) }

func main() {}
