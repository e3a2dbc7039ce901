// Command datagrams writes back every datagram, but for "count", which it answers with how
// many there were, and "ask ENDPOINT": it opens a socket there, says hello, and tells the
// asker what comes of it. Its state is the count, 4 bytes little-endian.
package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/datagram"
)

type server struct {
	datagram.Base
	count uint32
}

func (p *server) DatagramReceived(data []byte, from netip.AddrPort) {
	p.count++
	if endpoint, ok := bytes.CutPrefix(data, []byte("ask ")); ok {
		if _, err := datagram.Open(p.Reactor(), string(endpoint), &client{server: p, asker: from}); err != nil {
			data = []byte("not allowed")
		} else {
			return
		}
	}
	if string(data) == "count" {
		data = strconv.AppendUint(nil, uint64(p.count), 10)
	}
	_ = p.Transport.Write(data, from) // what is dropped, the peer asks for again
}

func (p *server) SaveState() ([]byte, bool) {
	return binary.LittleEndian.AppendUint32(nil, p.count), true
}

func (p *server) RestoreState(version int32, state []byte) error {
	if version != 1 || len(state) != 4 {
		return errors.New("no state of a count")
	}
	p.count = binary.LittleEndian.Uint32(state)
	return nil
}

// client tells what comes of asking.
type client struct {
	datagram.Base
	server *server
	asker  netip.AddrPort
}

func (c *client) StartProtocol() { _ = c.Transport.Send([]byte("hello")) }

func (c *client) DatagramReceived(data []byte, _ netip.AddrPort) { c.tell(data) }
func (c *client) ConnectionRefused()                             { c.tell([]byte("refused")) }

func (c *client) tell(what []byte) {
	_ = c.server.Transport.Write(what, c.asker)
	_ = c.Transport.LoseConnection()
}

type factory struct{}

func (factory) BuildProtocol(*wirehost.Transport) wirehost.Protocol { return nil }

func (factory) BuildDatagramProtocol(t *wirehost.Transport) wirehost.Protocol {
	return datagram.New(t, new(server))
}

func init() { wirehost.Register(factory{}) }

func main() {}
