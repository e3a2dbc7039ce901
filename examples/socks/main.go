// Command socks is a proxy for clients that speak SOCKS4, SOCKS4a or SOCKS5
// (RFC 1928), without authentication. It connects; it has neither BIND nor UDP.
package main

import (
	"fmt"
	"time"

	"github.com/wirehost/wirehost/examples/portforward/relay"
	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// config is the plugin's config section.
type config struct {
	Seconds int `json:"timeout"` // for a client to ask, and for what it asks for to answer
}

// factory makes the clients' connections.
type factory struct {
	config
	pairs relay.Pairs
}

// StartFactory reads the configuration.
func (f *factory) StartFactory(r *wirehost.Reactor) error {
	f.config = config{Seconds: 30}
	if err := r.Config(&f.config); err != nil {
		return err
	}
	if f.Seconds < 1 || f.Seconds > 3600 {
		return fmt.Errorf("config.timeout: found %d, wanted 1 to 3600 seconds", f.Seconds)
	}
	return nil
}

func (f *factory) timeout() time.Duration { return time.Duration(f.Seconds) * time.Second }

func (f *factory) BuildProtocol(*wirehost.Transport) wirehost.Protocol { return &client{factory: f} }

// BuildClientProtocol is for reloads.
func (f *factory) BuildClientProtocol(*wirehost.Transport) wirehost.ClientProtocol {
	return &target{factory: f}
}

func (f *factory) LogPrefix() string { return "socks" }

func init() { wirehost.Register(&factory{}) }

func main() {}
