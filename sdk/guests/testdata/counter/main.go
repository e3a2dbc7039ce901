// Command counter answers each line with how many there were. Its state is the
// count, 4 bytes little-endian, and then the half line that is received: the same
// in every language, so that a reload may go from one to another.
package main

import (
	"encoding/binary"
	"errors"
	"strconv"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

type counter struct {
	wirehost.LineReceiver
	count uint32
}

func (p *counter) LineReceived([]byte) {
	p.count++
	// What the server answers a write with, ConnectionLost tells too.
	_ = p.SendLine(strconv.AppendUint(nil, uint64(p.count), 10))
}

// SaveState leaves out what the SDK's own layout has before the half line: a byte
// of flags and its length.
func (p *counter) SaveState() ([]byte, bool) {
	framer := p.AppendState(nil)
	_, n := binary.Uvarint(framer[1:])
	return append(binary.LittleEndian.AppendUint32(nil, p.count), framer[1+n:]...), true
}

func (p *counter) RestoreState(version int32, state []byte) error {
	if version != 1 || len(state) < 4 {
		return errors.New("no state of a counter")
	}
	p.count = binary.LittleEndian.Uint32(state)
	half := state[4:]
	_, err := p.LoadState(append(binary.AppendUvarint([]byte{0}, uint64(len(half))), half...))
	return err
}

type factory struct{}

func (factory) BuildProtocol(*wirehost.Transport) wirehost.Protocol { return new(counter) }
func (factory) LogPrefix() string                                   { return "counter" }
func (factory) StateVersion() int32                                 { return 1 }

func init() { wirehost.Register(factory{}) }

func main() {}
