// Command ntp is a time server for NTP's simple clients (SNTP, RFC 4330): each answer
// has the server's clock, and nothing is remembered.
package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/datagram"
)

// settings are the plugin's config section.
type settings struct {
	Stratum   int    `json:"stratum"`   // 1: with a clock of its own, 2: set by such a one, …
	Reference string `json:"reference"` // four letters: where the time comes from
}

// factory makes the sockets' protocols.
type factory struct{ settings }

// StartFactory reads the configuration.
func (f *factory) StartFactory(r *wirehost.Reactor) error {
	f.settings = settings{Stratum: 10, Reference: "LOCL"}
	if err := r.Config(&f.settings); err != nil {
		return err
	}
	if f.Stratum < 1 || f.Stratum > 15 {
		return fmt.Errorf("config.stratum: found %d, wanted 1 to 15", f.Stratum)
	}
	if len(f.Reference) > 4 {
		return fmt.Errorf("config.reference: found %q, wanted four letters at most", f.Reference)
	}
	return nil
}

// BuildProtocol refuses: there are no connections.
func (f *factory) BuildProtocol(*wirehost.Transport) wirehost.Protocol { return nil }

// BuildDatagramProtocol makes that of a socket.
func (f *factory) BuildDatagramProtocol(t *wirehost.Transport) wirehost.Protocol {
	return datagram.New(t, &clock{factory: f})
}

func (f *factory) LogPrefix() string { return "ntp" }

func init() { wirehost.Register(&factory{}) }

func main() {}

// clock answers a socket's clients.
type clock struct {
	datagram.Base
	factory *factory
}

// DatagramReceived answers a question. Whatever is none gets no answer, so that two
// servers can't be made to talk to each other for ever.
func (c *clock) DatagramReceived(data []byte, from netip.AddrPort) {
	now := c.Reactor().Time()
	if a, ok := answer(data, c.factory.settings, now); ok {
		_ = c.Transport.Write(a[:], from) // fails only on a socket that has ended
	}
}

const (
	size      = 48 // bytes of a message without the keys that nobody here has
	client    = 3  // modes
	server    = 4
	oldest    = 1 // versions of NTP
	newest    = 4
	precision = 0xec                    // 2^-20 s, about what a callback's clock has
	epoch     = 70*365*86400 + 17*86400 // of Unix, in seconds since 1900
)

// answer is that to a message of RFC 5905, section 7.3:
//
//	0  leap (2 bits), version (3), mode (3)   16  time of the last setting
//	1  stratum                                24  origin: the client's own time
//	2  poll                                   32  when we got it
//	3  precision                              40  when we sent it
//	4  root delay and dispersion, reference
func answer(q []byte, s settings, now time.Time) (a [size]byte, ok bool) {
	if len(q) < size || q[0]&7 != client {
		return a, false
	}
	version := q[0] >> 3 & 7
	if version < oldest || version > newest {
		return a, false
	}
	a[0], a[1], a[2], a[3] = version<<3|server, byte(s.Stratum), q[2], precision
	copy(a[12:16], s.Reference)
	stamp := timestamp(now)
	binary.BigEndian.PutUint64(a[16:], stamp)
	copy(a[24:32], q[40:48])
	binary.BigEndian.PutUint64(a[32:], stamp)
	binary.BigEndian.PutUint64(a[40:], stamp)
	return a, true
}

// timestamp is a time in seconds since 1900, in 32.32 bits; in 2036 it begins anew.
func timestamp(t time.Time) uint64 {
	return uint64(t.Unix()+epoch)<<32 | uint64(t.Nanosecond())<<32/1e9
}
