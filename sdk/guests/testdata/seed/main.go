// Command seed sends the seed of its instance, a number that Go's runtime makes of
// another, and 16 random bytes, and closes.
package main

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

type protocol struct {
	wirehost.Base
	seed [32]byte
}

// ConnectionMade: what the server answers, ConnectionLost tells too.
func (p *protocol) ConnectionMade() {
	_, _ = p.Transport.Write(binary.NativeEndian.AppendUint64(p.seed[:], rand.Uint64()))
	drawn := make([]byte, 70000)
	if err := p.Reactor().Random(drawn); err != nil || p.Reactor().Time().Sub(time.Now()).Abs() > time.Second {
		panic("no random bytes, or no time")
	}
	_, _ = p.Transport.Write(drawn[len(drawn)-16:])
	_ = p.Transport.LoseConnection()
}

type factory struct{ seed [32]byte }

func (f *factory) InstanceMade(seed [32]byte) { f.seed = seed }

func (f *factory) BuildProtocol(*wirehost.Transport) wirehost.Protocol {
	return &protocol{seed: f.seed}
}

func init() { wirehost.Register(new(factory)) }

func main() {}
