// Command echo is a plugin that sends each datagram back.
package main

import (
	"net/netip"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/datagram"
)

type factory struct{}

// BuildProtocol refuses connections.
func (factory) BuildProtocol(*wirehost.Transport) wirehost.Protocol { return nil }

// BuildDatagramProtocol makes a socket's protocol.
func (factory) BuildDatagramProtocol(t *wirehost.Transport) wirehost.Protocol {
	return datagram.New(t, new(echo))
}

type echo struct{ datagram.Base }

// DatagramReceived drops Write's error: the peer sees what is missing.
func (p *echo) DatagramReceived(data []byte, from netip.AddrPort) { _ = p.Transport.Write(data, from) }

func init() { wirehost.Register(factory{}) }

func main() {}
