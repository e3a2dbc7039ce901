// Command v2 is the second version of counter: it counts bytes too, and takes
// over the connections of the first.
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
	bytes uint64 // of lines, without their ends; since version 2 counts them
}

func (c *counter) LineReceived(line []byte) {
	c.lines++
	c.bytes += uint64(len(line))
	_ = c.SendLine(fmt.Appendf(nil, "line %d, %d bytes", c.lines, c.bytes)) // what went wrong, ConnectionLost tells too
}

// Layouts of SaveState.
const (
	linesOnly    = 1 // the number of lines, then the framer's half line
	stateVersion = 2 // the numbers of lines and bytes, then the framer's half line
)

// SaveState writes layout 2.
func (c *counter) SaveState() ([]byte, bool) {
	b := binary.AppendUvarint(nil, c.lines)
	b = binary.AppendUvarint(b, c.bytes)
	return c.AppendState(b), true
}

// RestoreState reads layouts 1 and 2.
func (c *counter) RestoreState(version int32, state []byte) error {
	counts := []*uint64{&c.lines, &c.bytes}
	switch version {
	case linesOnly:
		counts = counts[:1]
	case stateVersion:
	default:
		return fmt.Errorf("found state version %d, wanted %d or %d", version, linesOnly, stateVersion)
	}
	for _, count := range counts {
		n, size := binary.Uvarint(state)
		if size <= 0 {
			return errors.New("counts: found no number")
		}
		*count, state = n, state[size:]
	}
	_, err := c.LoadState(state)
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
