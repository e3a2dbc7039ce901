// Command v1 is the first version of a protocol that answers each line with its
// number.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// counter is one connection.
type counter struct {
	wirehost.LineOnlyReceiver
	lines uint64
}

func (c *counter) LineReceived([]byte) {
	c.lines++
	_ = c.SendLine(fmt.Appendf(nil, "line %d", c.lines)) // what went wrong, ConnectionLost tells too
}

// stateVersion numbers the layout of SaveState: the number of lines, then the
// framer's half line.
const stateVersion = 1

// SaveState writes layout 1.
func (c *counter) SaveState() ([]byte, bool) {
	return c.AppendState(binary.AppendUvarint(nil, c.lines)), true
}

// RestoreState reads layout 1. Any other it refuses: a later version knows this
// one's layout, this one can't know a later version's.
func (c *counter) RestoreState(version int32, state []byte) error {
	if version != stateVersion {
		return fmt.Errorf("found state version %d, wanted %d", version, stateVersion)
	}
	lines, n := binary.Uvarint(state)
	if n <= 0 {
		return errors.New("lines: found no number")
	}
	c.lines = lines
	_, err := c.LoadState(state[n:])
	return err
}

type factory struct{}

func (factory) BuildProtocol(*wirehost.Transport) wirehost.Protocol {
	c := &counter{}
	c.Delimiter = []byte("\n")
	return c
}

func (factory) LogPrefix() string   { return "counter" }
func (factory) StateVersion() int32 { return stateVersion }

func init() { wirehost.Register(factory{}) }

func main() {}
