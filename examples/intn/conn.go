package main

import (
	"fmt"
	"slices"

	"github.com/wirehost/wirehost/examples/internal/pace"
	"github.com/wirehost/wirehost/examples/internal/state"
	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// One connection, of each kind of length.
type (
	conn8 struct {
		wirehost.Int8StringReceiver
		reverser
	}
	conn16 struct {
		wirehost.Int16StringReceiver
		reverser
	}
	conn32 struct {
		wirehost.Int32StringReceiver
		reverser
	}
)

// framer is what the three have from the SDK.
type framer interface {
	pace.Framer
	SendString(s []byte) error
	AppendState(b []byte) []byte
	LoadState(b []byte) (rest []byte, err error)
}

// reverser is what they have in common.
type reverser struct {
	framer framer
	bits   byte
	pace   pace.Pace
}

func (p *reverser) begin(f framer, t *wirehost.Transport, bits byte) {
	p.framer, p.bits = f, bits
	p.pace.Init(f, t)
}

// StringReceived answers. Why that could not be, ConnectionLost tells: the
// answer is as long as the string, so its length fits. s is ours until it
// returns.
func (p *reverser) StringReceived(s []byte) {
	slices.Reverse(s)
	_ = p.framer.SendString(s)
	p.pace.Wrote(len(s) + int(p.bits)/8)
}

// LengthLimitExceeded says so; the connection is closed then.
func (p *reverser) LengthLimitExceeded(length uint32) {
	_ = p.framer.SendString(fmt.Appendf(nil, "%d bytes are too long", length))
}

// stateVersion numbers the layout of what connections save.
const stateVersion = 1

// SaveState has the kind of length, and the string that has arrived in part.
func (p *reverser) SaveState() ([]byte, bool) { return p.framer.AppendState([]byte{p.bits}), true }

// RestoreState reads what SaveState wrote. What is left of a string means
// something else where lengths are of another kind.
func (p *reverser) RestoreState(version int32, saved []byte) error {
	if err := state.Version(version, stateVersion); err != nil {
		return err
	}
	if len(saved) == 0 {
		return state.ErrShort
	}
	if saved[0] != p.bits {
		return fmt.Errorf("found lengths of %d bits, wanted %d", saved[0], p.bits)
	}
	rest, err := p.framer.LoadState(saved[1:])
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return state.ErrLong
	}
	return p.pace.Restore()
}
