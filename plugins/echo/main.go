// Command echo is the built-in plugin echo: it writes back every byte.
package main

import wirehost "github.com/wirehost/wirehost/sdk/go"

// echo is one connection. It has no state of its own, so a reload moves it as
// it is.
type echo struct{ wirehost.Base }

func (p *echo) DataReceived(data []byte) {
	// What the server answers a write with, ConnectionLost tells too.
	_, _ = p.Transport.Write(data)
}

func (p *echo) SaveState() ([]byte, bool)        { return nil, true }
func (p *echo) RestoreState(int32, []byte) error { return nil }

// factory builds the protocols.
type factory struct{}

func (factory) BuildProtocol(*wirehost.Transport) wirehost.Protocol { return new(echo) }
func (factory) LogPrefix() string                                   { return "echo" }

func init() { wirehost.Register(factory{}) }

func main() {}
