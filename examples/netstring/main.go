// Command netstring answers each netstring (https://cr.yp.to/proto/netstrings.txt)
// with the netstring of its SHA-256 in hexadecimal digits.
package main

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/wirehost/wirehost/examples/internal/pace"
	"github.com/wirehost/wirehost/examples/internal/state"
	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// answer is how long an answer is: 64:, the digits and a comma.
const answer = 3 + 2*sha256.Size + 1

// digest is one connection.
type digest struct {
	wirehost.NetstringReceiver
	pace pace.Pace
}

// StringReceived answers. Why that could not be, ConnectionLost tells.
func (p *digest) StringReceived(s []byte) {
	sum := sha256.Sum256(s)
	var digits [2 * sha256.Size]byte
	hex.Encode(digits[:], sum[:])
	_ = p.SendString(digits[:])
	p.pace.Wrote(answer)
}

// SaveState has the string that has arrived in part.
func (p *digest) SaveState() ([]byte, bool) { return p.AppendState(nil), true }

// RestoreState reads what SaveState wrote.
func (p *digest) RestoreState(version int32, saved []byte) error {
	if err := state.Version(version, stateVersion); err != nil {
		return err
	}
	rest, err := p.LoadState(saved)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return state.ErrLong
	}
	return p.pace.Restore()
}

// stateVersion numbers the layout of what connections save.
const stateVersion = 1

// factory makes connections.
type factory struct{}

func (factory) BuildProtocol(t *wirehost.Transport) wirehost.Protocol {
	p := &digest{}
	p.pace.Init(p, t)
	return p
}

func (factory) LogPrefix() string { return "netstring" }

func (factory) StateVersion() int32 { return stateVersion }

func init() { wirehost.Register(factory{}) }

func main() {}
