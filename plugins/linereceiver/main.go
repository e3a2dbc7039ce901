// Command linereceiver is the built-in plugin linereceiver: it writes back every
// line followed by the delimiter.
package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// config is the plugin's config section.
type config struct {
	Delimiter string `json:"delimiter"`  // ends a line
	MaxLength int    `json:"max_length"` // bytes of a line without the delimiter
	Raw       bool   `json:"raw"`        // a line `raw N` is answered by the next N raw bytes
}

// lines is one connection.
type lines struct {
	wirehost.LineReceiver
	mayRaw bool
	raw    uint64 // raw bytes still to come
}

func (p *lines) LineReceived(line []byte) {
	if p.mayRaw {
		if n, ok := rawCount(line); ok {
			p.expectRaw(n)
			return
		}
	}
	// What the server answers a write with, ConnectionLost tells too.
	_ = p.SendLine(line)
}

// expectRaw takes the next n bytes as they come.
func (p *lines) expectRaw(n uint64) {
	if p.raw = n; n > 0 {
		p.SetRawMode()
	}
}

func (p *lines) RawDataReceived(data []byte) {
	n := min(uint64(len(data)), p.raw)
	_, _ = p.Transport.Write(data[:n])
	if p.raw -= n; p.raw == 0 {
		p.SetLineMode(data[n:])
	}
}

// rawCount reads a line `raw N`, N in decimal digits.
func rawCount(line []byte) (n uint64, ok bool) {
	digits, ok := bytes.CutPrefix(line, []byte("raw "))
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(string(digits), 10, 63)
	return n, err == nil
}

// SaveState has the half line, the mode, and the raw bytes still to come.
func (p *lines) SaveState() ([]byte, bool) {
	return binary.AppendUvarint(p.AppendState(nil), p.raw), true
}

// RestoreState reads what SaveState wrote.
func (p *lines) RestoreState(version int32, state []byte) error {
	if version != stateVersion {
		return fmt.Errorf("found state version %d, wanted %d", version, stateVersion)
	}
	rest, err := p.LoadState(state)
	if err != nil {
		return err
	}
	raw, n := binary.Uvarint(rest)
	if n <= 0 || n != len(rest) {
		return errors.New("raw count: found other bytes than one number")
	}
	if p.raw = raw; p.RawMode() != (raw > 0) {
		return fmt.Errorf("found raw mode %t with %d raw bytes to come", p.RawMode(), raw)
	}
	return nil
}

// stateVersion numbers the layout of SaveState.
const stateVersion = 1

// factory builds the protocols.
type factory struct{ config }

// StartFactory reads the configuration.
func (f *factory) StartFactory(r *wirehost.Reactor) error {
	f.config = config{Delimiter: "\r\n", MaxLength: wirehost.MaxLineLength}
	if err := r.Config(&f.config); err != nil {
		return err
	}
	if f.Delimiter == "" {
		return errors.New(`config.delimiter: found "", wanted at least one byte`)
	}
	if f.MaxLength < 1 {
		return fmt.Errorf("config.max_length: found %d, wanted 1 or more", f.MaxLength)
	}
	return nil
}

func (f *factory) BuildProtocol(*wirehost.Transport) wirehost.Protocol {
	p := &lines{mayRaw: f.Raw}
	p.Delimiter, p.MaxLength = []byte(f.Delimiter), f.MaxLength
	return p
}

func (f *factory) LogPrefix() string   { return "linereceiver" }
func (f *factory) StateVersion() int32 { return stateVersion }

func init() { wirehost.Register(&factory{}) }

func main() {}
