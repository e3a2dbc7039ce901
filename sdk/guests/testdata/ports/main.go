// Command ports takes lines. `listen ENDPOINT` opens a port, and is answered with where it is, or
// "refused"; `stop` closes it, and any other line is answered with "main". Who comes to a port, and
// each of his lines, gets "passive". The factory's state is the port's handle, 4 bytes
// little-endian, 0 of none; those of connections are empty.
package main

import (
	"encoding/binary"
	"errors"
	"strings"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// stateless is the state of what has none.
type stateless struct{}

func (stateless) SaveState() ([]byte, bool) { return nil, true }

func (stateless) RestoreState(_ int32, state []byte) error {
	if len(state) > 0 {
		return errors.New("found a state, wanted none")
	}
	return nil
}

type passive struct {
	wirehost.LineReceiver
	stateless
}

func (p *passive) ConnectionMade()     { _ = p.SendLine([]byte("passive")) }
func (p *passive) LineReceived([]byte) { _ = p.SendLine([]byte("passive")) }

type passiveFactory struct{}

func (passiveFactory) BuildProtocol(*wirehost.Transport) wirehost.Protocol { return new(passive) }

type control struct {
	wirehost.LineReceiver
	stateless
	factory *factory
}

func (p *control) LineReceived(line []byte) {
	answer := "main"
	if endpoint, ok := strings.CutPrefix(string(line), "listen "); ok {
		answer = p.factory.listen(endpoint)
	} else if string(line) == "stop" {
		answer = "stopped"
		if p.factory.port == nil || p.factory.port.StopListening() != nil {
			answer = "refused"
		}
	}
	_ = p.SendLine([]byte(answer))
}

type factory struct {
	reactor *wirehost.Reactor
	port    *wirehost.Port
}

func (f *factory) StartFactory(r *wirehost.Reactor) error {
	f.reactor = r
	return nil
}

func (f *factory) listen(endpoint string) string {
	port, err := f.reactor.Listen(endpoint, passiveFactory{})
	if err != nil {
		return "refused"
	}
	f.port = port
	host, err := port.Host()
	if err != nil {
		return err.Error()
	}
	return host
}

func (f *factory) SaveState() ([]byte, bool) {
	handle := int32(0)
	if f.port != nil {
		handle = f.port.Handle()
	}
	return binary.LittleEndian.AppendUint32(nil, uint32(handle)), true
}

func (f *factory) RestoreState(version int32, state []byte) error {
	if version != 1 || len(state) != 4 {
		return errors.New("no state of a port")
	}
	if handle := int32(binary.LittleEndian.Uint32(state)); handle > 0 {
		f.port = f.reactor.RestorePort(handle, passiveFactory{})
	}
	return nil
}

func (f *factory) BuildProtocol(*wirehost.Transport) wirehost.Protocol { return &control{factory: f} }
func (f *factory) LogPrefix() string                                   { return "ports" }

func init() { wirehost.Register(&factory{}) }

func main() {}
