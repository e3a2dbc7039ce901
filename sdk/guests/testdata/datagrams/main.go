// Command datagrams writes back every datagram, but for "count", which it answers with how
// many there were, and "ask ENDPOINT": it opens a socket there, says hello, and tells the asker
// what comes of it. "join GROUP" and "leave GROUP", and "mhops N", "loop N", "broadcast N" and
// "hops N", which set an option, are answered with "yes" where that was done and with "no"; "shout
// PORT" sends itself to 239.1.2.3 and then to 255.255.255.255. Its state is the count, 4 bytes
// little-endian.
package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
	"strings"

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
	word, rest, _ := strings.Cut(string(data), " ")
	switch word {
	case "count":
		data = strconv.AppendUint(nil, uint64(p.count), 10)
	case "join":
		data = answer(p.Transport.JoinGroup(rest))
	case "leave":
		data = answer(p.Transport.LeaveGroup(rest))
	case "shout":
		p.shout(data, number(rest))
		return
	default:
		if option, ok := options[word]; ok {
			data = answer(p.Transport.SetDatagramOption(option, number(rest)))
		}
	}
	_ = p.Transport.Write(data, from) // what is dropped, the peer asks for again
}

var options = map[string]wirehost.DatagramOption{
	"mhops": wirehost.MulticastHops, "loop": wirehost.MulticastLoop, "broadcast": wirehost.Broadcast,
	"hops": wirehost.Hops,
}

func number(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}

func answer(err error) []byte {
	if err != nil {
		return []byte("no")
	}
	return []byte("yes")
}

func (p *server) shout(data []byte, port int) {
	for _, to := range [][4]byte{{239, 1, 2, 3}, {255, 255, 255, 255}} {
		_ = p.Transport.Write(data, netip.AddrPortFrom(netip.AddrFrom4(to), uint16(port)))
	}
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
