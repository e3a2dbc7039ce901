// Command socks is a proxy for clients that speak SOCKS4, SOCKS4a or SOCKS5
// (RFC 1928), without authentication.
package main

import (
	"fmt"
	"time"

	"github.com/wirehost/wirehost/examples/internal/relay"
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

// BuildProtocol makes that of a client; in a reload also of who came to a client's listener that
// is closed since. Such a one who is only coming has come too late, and ConnectionMade ends it.
func (f *factory) BuildProtocol(t *wirehost.Transport) wirehost.Protocol {
	if door, err := t.Listener(); err == nil && door != 0 {
		return &target{factory: f}
	}
	return &client{factory: f}
}

// BuildClientProtocol is for reloads.
func (f *factory) BuildClientProtocol(*wirehost.Transport) wirehost.ClientProtocol {
	return &target{factory: f}
}

func (f *factory) LogPrefix() string { return "socks" }

func init() { wirehost.Register(&factory{}) }

func main() {}
