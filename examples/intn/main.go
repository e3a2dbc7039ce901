// Command intn answers each string that has its length in front, in one, two or
// four bytes, with the same string reversed.
package main

import (
	"fmt"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// config is the plugin's config section.
type config struct {
	Bits      int `json:"bits"`       // of a length
	MaxLength int `json:"max_length"` // bytes of a string
}

// mostLength bounds config.max_length: a string is kept until it is whole, and
// its answer beside it.
const mostLength = 4 << 20

// factory makes the connections that are configured.
type factory struct{ config }

// StartFactory reads the configuration.
func (f *factory) StartFactory(r *wirehost.Reactor) error {
	f.config = config{Bits: 32, MaxLength: wirehost.MaxStringLength}
	if err := r.Config(&f.config); err != nil {
		return err
	}
	if f.Bits != 8 && f.Bits != 16 && f.Bits != 32 {
		return fmt.Errorf("config.bits: found %d, wanted 8, 16 or 32", f.Bits)
	}
	if f.MaxLength < 1 || f.MaxLength > mostLength {
		return fmt.Errorf("config.max_length: found %d, wanted 1 to %d", f.MaxLength, mostLength)
	}
	return nil
}

func (f *factory) BuildProtocol(t *wirehost.Transport) wirehost.Protocol {
	switch f.Bits {
	case 8:
		p := &conn8{}
		p.MaxLength = f.MaxLength
		p.begin(p, t, 8)
		return p
	case 16:
		p := &conn16{}
		p.MaxLength = f.MaxLength
		p.begin(p, t, 16)
		return p
	default:
		p := &conn32{}
		p.MaxLength = f.MaxLength
		p.begin(p, t, 32)
		return p
	}
}

func (f *factory) LogPrefix() string { return "intn" }

func (f *factory) StateVersion() int32 { return stateVersion }

func init() { wirehost.Register(&factory{}) }

func main() {}
